import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase } from './harness/database.ts';
import type { TestDatabase } from './harness/database.ts';
import { followFeed, pollFeed } from './harness/feed.ts';
import { startTestProgram, until } from './harness/program.ts';
import type { TestProgram } from './harness/program.ts';
import { startReceiver } from './harness/receiver.ts';
import type { Receiver } from './harness/receiver.ts';
import { tenantOf } from './harness/tenant.ts';

let database: TestDatabase;
let program: TestProgram;
let receiver: Receiver;

beforeAll(async () => {
  database = await createTestDatabase();
});
beforeEach(async () => {
  program = await startTestProgram(database.url);
  receiver = await startReceiver();
});
afterEach(async () => {
  await program.stop();
  await receiver.close();
});
afterAll(() => database.drop());

/** Where the feed is now. */
const now = async (): Promise<string> => (await followFeed(program, null, () => true)).batches[0]!.cursor;

describe('the live feed over a WebSocket', () => {
  it('goes on however much its answers come to, though one answer may not be as large', async () => {
    const tenant = tenantOf(program);
    const { id } = await tenant.createWebhook(receiver.url, ['ticket.created']);
    const begin = await now();
    // 372 events, 95 MB.
    for (let n = 0; n < 12; n++) {
      const event = { type: 'ticket.created', data: { text: 'x'.repeat(255_000) } };
      await tenant.publishMany(Array.from({ length: 31 }, () => event));
    }
    const told = await until('all of them in the feed', async () => {
      const events = await pollFeed(program, begin);
      return events.length === 372 ? events : null;
    });
    const BODY = 'delivery { event { data } }';
    const read = await followFeed(program, begin, (events) => events.length === 372, undefined, BODY);
    expect(read.events).toMatchObject(told.map(({ cursor }) => ({ cursor, webhookId: id })));
    const pages = [begin, ...[99, 199, 299].map((at) => told[at]!.cursor)].map(
      (cursor, n) => `page${n}: deliveryEvents(after: "${cursor}") { events { ${BODY} } }`,
    );
    await expect(program.graphql(`{ ${pages.join(' ')} }`)).rejects.toThrow('QUERY_TOO_COMPLEX');
    await tenant.remove(id);
  });

  it('begins at once with a cursor, tells every attempt once, and goes on from any cursor after a restart', async () => {
    const tenant = tenantOf(program);
    const { id } = await tenant.createWebhook(receiver.url, ['ticket.*']);
    const since = Date.now();
    const [begin] = (await followFeed(program, null, () => true)).batches;
    expect(Date.now() - since).toBeLessThan(2_000);
    expect(begin).toMatchObject({ events: [], hasMore: false });
    const reading = followFeed(program, begin!.cursor, (events) => events.length >= 50);
    const events = Array.from({ length: 50 }, (_, n) => ({ type: 'ticket.created', data: { n } }));
    await tenant.publishMany(events);
    const told = (await reading).events;
    expect(new Set(told.map((event) => event.deliveryId)).size).toBe(50);
    for (const event of told) {
      expect(event).toMatchObject({ status: 'DELIVERED', attemptNumber: 1, webhookId: id, webhookName: 'Test' });
    }

    await program.stop();
    program = await startTestProgram(database.url);
    expect(await pollFeed(program, begin!.cursor)).toEqual(told);
    await tenantOf(program).publishMany(events.slice(0, 10));
    const all = await until('the rest', async () => {
      const polled = await pollFeed(program, begin!.cursor);
      return polled.length >= 60 ? polled : null;
    });
    // After each of them exactly what follows it.
    for (let at = 0; at < 60; at += 1) expect(await pollFeed(program, all[at]!.cursor)).toEqual(all.slice(at + 1));
    for (const at of [0, 17, 49, 58]) {
      const rest = await followFeed(program, all[at]!.cursor, (some) => some.length >= 59 - at);
      expect(rest.events).toEqual(all.slice(at + 1));
    }
    await tenantOf(program).remove(id);
  });

  it('tells each change of a delivery in its order: retries, holding, resuming, cancelling, tests', async () => {
    const tenant = tenantOf(program);
    receiver.answer = (_, index) => ({ status: index === 0 ? 500 : 200 });
    const { id } = await tenant.createWebhook(receiver.url, ['ticket.*'], { retrySchedule: [1] });
    const from = await now();
    await tenant.publish('ticket.created');
    const [repeated] = await tenant.reached(id, 'DELIVERED');
    const { delivery: test } = await tenant.sendTest(id, 'ticket.closed');
    await tenant.update(id, { status: 'PAUSED' });
    await tenant.publish('ticket.assigned');
    const [held] = await tenant.reached(id, 'HELD');
    await tenant.update(id, { status: 'DISABLED' });
    await tenant.reached(id, 'CANCELLED');
    const { events } = await followFeed(program, from, (some) => some.at(-1)?.status === 'CANCELLED');
    const of = (deliveryId: string): unknown[] =>
      events.filter((event) => event.deliveryId === deliveryId).map((event) => [event.status, event.attemptNumber]);
    expect(of(repeated.id)).toEqual([
      ['RETRYING', 1],
      ['DELIVERED', 2],
    ]);
    expect(of(test.id)).toEqual([['DELIVERED', 1]]);
    expect(of(held.id).at(-1)).toEqual(['CANCELLED', 0]);
    expect(await pollFeed(program, from)).toEqual(events);
  });
});

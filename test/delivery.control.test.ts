import { array, assert, boolean, integer, property, tuple } from 'fast-check';
import { Client as PgClient } from 'pg';
import { describe, expect, it } from 'vitest';
import { decodeId } from '../src/platform/ids.ts';
import { afterAttempt, circuitState } from '../src/domain/deliveries/breaker.ts';
import { afterRequest, nextRequestAt, rateLimit } from '../src/domain/deliveries/limiter.ts';
import { pollFeed } from './harness/feed.ts';
import type { FeedEvent } from './harness/feed.ts';
import { until } from './harness/program.ts';
import { useScene } from './harness/scene.ts';

const scene = useScene();

const numbers = (): number[] =>
  scene.receiver.requests.map((request) => (JSON.parse(request.body) as { data: { n: number } }).data.n);

describe('the rate limiter', () => {
  it('never allows more than the rate and its tolerance, and never less than the rate to one who keeps asking', () => {
    assert(
      property(
        integer({ min: 1, max: 60_000 }),
        array(integer({ min: 0, max: 5_000 }), { maxLength: 300 }),
        (perMinute, waits) => {
          const limit = rateLimit(perMinute);
          let now = 1_000_000;
          let due = 0;
          const sent: number[] = [];
          for (const wait of waits) {
            now += wait;
            if (nextRequestAt(limit, due) > now) continue;
            due = afterRequest(limit, due, now);
            sent.push(now);
          }
          for (const [index, at] of sent.entries()) {
            const inMinute = sent.slice(index).filter((other) => other < at + 60_000).length;
            expect(inMinute).toBeLessThanOrEqual(perMinute + limit.toleranceMs / limit.intervalMs + 1);
          }
        },
      ),
    );
    // Asked too late each time, by less than the tolerance, it makes up for it.
    const limit = rateLimit(10);
    let [now, due, sent] = [0, 0, 0];
    for (; now < 600_000; now = Math.max(now, nextRequestAt(limit, due)) + 900, sent++)
      due = afterRequest(limit, due, now);
    expect(sent).toBeGreaterThanOrEqual(99);
  });
});

describe('the circuit', () => {
  it('opens after ten failures in a row and no sooner, tries one after 30 s, and closes with any success', () => {
    assert(
      property(array(tuple(boolean(), integer({ min: 0, max: 40_000 })), { maxLength: 100 }), (attempts) => {
        let circuit = { failures: 0, until: null as number | null };
        let inARow = 0;
        let now = 1_000_000;
        for (const [isOk, wait] of attempts) {
          now += wait;
          const before = circuitState(circuit.until, now);
          circuit = afterAttempt(circuit, isOk, now);
          inARow = isOk ? 0 : inARow + 1;
          const after = circuitState(circuit.until, now);
          expect(after).toBe(inARow >= 10 ? 'OPEN' : 'CLOSED');
          if (!isOk && before === 'HALF_OPEN') expect(circuit.until).toBe(now + 30_000);
        }
      }),
    );
  });

  it('spares a dead receiver: ten attempts, none while it is open, and waiting costs none', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = () => ({ status: 500 });
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], { retrySchedule: [1], maxConcurrency: 1 });
    await tenant.publishMany(Array.from({ length: 30 }, (_, n) => ({ type, data: { n } })));
    await until('the circuit is open', async () => (await circuitOf(id)) === 'OPEN');
    expect(receiver.requests).toHaveLength(10);
    expect(await tenant.reached(id, 'PENDING', 20)).toHaveLength(20);
    // Another address is another try.
    receiver.answer = () => ({ status: 200 });
    await tenant.update(id, { url: new URL('/new', receiver.url).href });
    await tenant.reached(id, 'DELIVERED', 30);
    expect(await circuitOf(id)).toBe('CLOSED');
  });
});

const circuitOf = async (id: string): Promise<string> => {
  const { webhook } = await scene.tenant.graphql('query ($id: ID!) { webhook(id: $id) { health { circuit } } }', {
    id,
  });
  return webhook.health.circuit;
};

describe('a webhook', () => {
  it('with a rate limit gets no more than that, and everything in the end', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], { rateLimitPerMinute: 1_200, maxConcurrency: 50 });
    const startedAt = Date.now();
    await tenant.publishMany(Array.from({ length: 60 }, (_, n) => ({ type, data: { n } })));
    await tenant.reached(id, 'DELIVERED', 60);
    const seconds = (Date.now() - startedAt) / 1_000;
    // 20 a second, and a second's worth ahead.
    expect(seconds).toBeGreaterThan(1.8);
    expect(seconds).toBeLessThan(8);
  });

  it('with strict order gets each event after the one before, through its retries', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = (_request, index) => ({ status: index % 3 === 1 ? 500 : 200 });
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], {
      ordering: 'STRICT',
      retrySchedule: [1, 1, 1, 1],
      maxConcurrency: 10,
    });
    for (let n = 0; n < 4; n++) await tenant.publish(type, { n });
    await tenant.publishMany(Array.from({ length: 4 }, (_, n) => ({ type, data: { n: n + 4 } })));
    await tenant.reached(id, 'DELIVERED', 8);
    expect(numbers()).toEqual([...numbers()].sort((a, b) => a - b));
    expect(new Set(numbers())).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7]));
    expect(numbers().length).toBeGreaterThan(8);
  });

  it('goes on in strict order after a head that is abandoned', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = ({ body }) => ({ status: body.includes('"n":0') ? 500 : 200 });
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], { ordering: 'STRICT', retrySchedule: [1] });
    await tenant.publishMany([0, 1, 2].map((n) => ({ type, data: { n } })));
    await tenant.reached(id, 'DELIVERED', 2);
    await tenant.reached(id, 'ABANDONED', 1);
    expect(numbers()).toEqual([0, 0, 1, 2]);
  });

  it('goes on in strict order at once where the head that it waits for is cancelled', async () => {
    const { tenant, receiver } = scene;
    const [first, second] = [await tenant.registerType(), await tenant.registerType()];
    receiver.answer = ({ body }) => ({ status: body.includes(`"${first}"`) ? 500 : 200 });
    const { id } = await tenant.createWebhook(receiver.url, [first, second], {
      ordering: 'STRICT',
      retrySchedule: [3_600],
    });
    await tenant.publish(first);
    await tenant.publish(second);
    await tenant.reached(id, 'RETRYING');
    const { deliveriesCancel } = await tenant.graphql(
      `mutation ($filter: DeliveryFilter!) { deliveriesCancel(filter: $filter) { __typename } }`,
      { filter: { webhookId: id, eventTypes: [first] } },
    );
    expect(deliveriesCancel.__typename).toBe('BulkOperationSuccess');
    await tenant.reached(id, 'CANCELLED');
    await tenant.reached(id, 'DELIVERED');
  });

  it('gets its static headers, whose values are nowhere to be read', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const secret = 'Bearer 8c1f3a5e';
    const { id } = await tenant.createWebhook(receiver.url, [type], {
      headers: [
        { name: 'Authorization', value: secret },
        { name: 'X-Team', value: 'blue' },
      ],
    });
    await tenant.publish(type);
    const [delivery] = await tenant.reached(id, 'DELIVERED');
    expect(receiver.requests[0]!.headers).toMatchObject({ authorization: secret, 'x-team': 'blue' });
    expect(JSON.stringify(delivery)).not.toContain(secret);
    expect(delivery.attempts[0].requestHeaders).toMatchObject({ Authorization: '***', 'X-Team': '***' });
    // Named again without its value it stays; what isn't named goes.
    expect(await tenant.update(id, { headers: [{ name: 'authorization' }] })).not.toHaveProperty('code');
    await tenant.publish(type);
    await tenant.reached(id, 'DELIVERED', 2);
    expect(receiver.requests[1]!.headers).toMatchObject({ authorization: secret });
    expect(receiver.requests[1]!.headers).not.toHaveProperty('x-team');
    expect(await tenant.update(id, { headers: [{ name: 'X-New' }] })).toMatchObject({
      code: 'BAD_REQUEST',
      path: ['input', 'headers', '0', 'value'],
    });
    for (const name of ['webhook-signature', 'X-Alga-Event-Id', 'Connection', 'bad name']) {
      expect(await tenant.update(id, { headers: [{ name, value: 'x' }] })).toMatchObject({
        code: 'BAD_REQUEST',
        path: ['input', 'headers', '0', 'name'],
      });
    }
  });

  it('that is paused tells nothing of a delivery that somebody is ending just then, unless it is not ended after all', async () => {
    const { tenant, receiver, program, database } = scene;
    receiver.answer = () => ({ status: 500 });
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], { retrySchedule: [600] });
    await tenant.publishMany([0, 1].map((n) => ({ type, data: { n } })));
    const [ending, other] = await tenant.reached(id, 'RETRYING', 2);
    const heldIds = async (): Promise<string[]> =>
      (await pollFeed(program, null)).filter((event) => event.status === 'HELD').map((event) => event.deliveryId);
    const somebody = new PgClient({ connectionString: database.url });
    await somebody.connect();
    try {
      await somebody.query('begin');
      await somebody.query('delete from delivery_open where id = $1', [decodeId('delivery', ending.id)]);
      await tenant.update(id, { isActive: false });
      await until('the other is told as held', async () => (await heldIds()).includes(other.id));
      expect(await heldIds()).not.toContain(ending.id);
      await somebody.query('rollback');
    } finally {
      await somebody.end();
    }
    await until('it is told too', async () => (await heldIds()).includes(ending.id));
    expect(await heldIds()).toHaveLength(2);
  });

  it('that was paused, disabled and enabled tells of what comes then only what becomes of it', async () => {
    const { tenant, receiver, program } = scene;
    const type = await tenant.registerType();
    receiver.answer = () => ({ status: 500 });
    const { id } = await tenant.createWebhook(receiver.url, [type], { retrySchedule: [600] });
    await tenant.publish(type);
    await tenant.reached(id, 'RETRYING');
    const told = async (): Promise<string[]> =>
      (await pollFeed(program, null)).filter((event: FeedEvent) => event.webhookId === id).map((event) => event.status);
    const toldAs = async (status: string, count: number): Promise<void> => {
      const all = async (): Promise<boolean> => (await told()).filter((one) => one === status).length === count;
      await until(`${count} to be told as ${status}`, all);
    };
    // What is told has been told to its end: what comes from now on is told as it comes.
    await tenant.update(id, { status: 'PAUSED' });
    await toldAs('HELD', 1);
    await tenant.publish(type);
    await toldAs('HELD', 2);
    await tenant.update(id, { status: 'DISABLED' });
    await toldAs('CANCELLED', 2);
    receiver.answer = () => ({ status: 200 });
    await tenant.update(id, { isActive: true });
    await tenant.publish(type);
    await toldAs('DELIVERED', 1);
    expect(await told()).toEqual(['RETRYING', 'HELD', 'HELD', 'CANCELLED', 'CANCELLED', 'DELIVERED']);
  });

  it('that is paused and resumed is told so, delivery by delivery, also what came meanwhile, before the first is sent', async () => {
    const { tenant, receiver, program } = scene;
    const type = await tenant.registerType();
    receiver.answer = () => ({ status: 500 });
    const { id } = await tenant.createWebhook(receiver.url, [type], { retrySchedule: [600] });
    await tenant.publishMany([0, 1, 2].map((n) => ({ type, data: { n } })));
    await tenant.reached(id, 'RETRYING', 3);
    const told = async (): Promise<string[]> =>
      (await pollFeed(program, null)).filter((event: FeedEvent) => event.webhookId === id).map((event) => event.status);
    await tenant.update(id, { isActive: false });
    await until('three are told as held', async () => (await told()).filter((one) => one === 'HELD').length === 3);
    await tenant.publish(type, { n: 3 });
    await until('so is the one that came meanwhile', async () => (await told()).length === 7);
    receiver.answer = () => ({ status: 200 });
    await tenant.update(id, { isActive: true });
    await until('the new one is delivered', async () => (await told()).includes('DELIVERED'));
    expect((await told()).slice(0, 7)).toEqual(['RETRYING', 'RETRYING', 'RETRYING', 'HELD', 'HELD', 'HELD', 'HELD']);
    expect((await told()).slice(7, 11).sort()).toEqual(['PENDING', 'RETRYING', 'RETRYING', 'RETRYING']);
    expect((await told()).slice(11)).toEqual(['DELIVERED']);
    const [delivered] = await tenant.reached(id, 'DELIVERED');
    expect(delivered.attempts).toMatchObject([{ trigger: 'RESUME' }]);
  });
});

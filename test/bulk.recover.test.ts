import { describe, expect, it } from 'vitest';
import { bulkOf, followOperation } from './harness/bulk.ts';
import { until } from './harness/program.ts';
import { useScene } from './harness/scene.ts';

const scene = useScene();

const bulk = () => bulkOf(scene.tenant);
const numbers = (): number[] =>
  scene.receiver.requests.map((request) => JSON.parse(request.body).data.n as number).toSorted((a, b) => a - b);

const publish = async (type: string, ns: readonly number[], more: object = {}): Promise<void> => {
  const { results } = await scene.tenant.publishMany(ns.map((n) => ({ type, data: { n }, ...more })));
  expect(results).toHaveLength(ns.length);
};

/** A moment before which everything so far was published, and after which everything else is. */
const moment = async (): Promise<Date> => {
  const before = Date.now();
  await until('the next millisecond', () => Date.now() > before);
  return new Date();
};

describe('webhookRecover', () => {
  it('sends what was published before the webhook was there, since the moment and no earlier', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    await publish(type, [1, 2]);
    const since = await moment();
    await publish(type, [3, 4]);
    const { id } = await tenant.createWebhook(receiver.url, [type]);
    const started = await bulk().recover(id, since);
    expect(started).toMatchObject({ kind: 'RECOVER', total: 2 });
    expect(await bulk().ended(started)).toMatchObject({ status: 'COMPLETED', total: 2, succeeded: 2, failed: 0 });
    const delivered = await tenant.reached(id, 'DELIVERED', 2);
    expect(numbers()).toEqual([3, 4]);
    for (const { attempts, attemptCount } of delivered) {
      expect(attemptCount).toBe(1);
      expect(attempts[0].trigger).toBe('BULK');
    }
  });

  it('sends what failed and what was cancelled or never queued, and not what was delivered, held or tested', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], { retrySchedule: [] });
    const since = await moment();
    await publish(type, [1]);
    await tenant.reached(id, 'DELIVERED');
    receiver.answer = () => ({ status: 500 });
    await publish(type, [2]);
    await tenant.reached(id, 'ABANDONED');
    await tenant.sendTest(id);
    await tenant.update(id, { status: 'PAUSED' });
    await publish(type, [3]);
    await tenant.update(id, { status: 'DISABLED' });
    await tenant.reached(id, 'CANCELLED');
    await publish(type, [4]);
    await tenant.update(id, { isActive: true });
    await tenant.update(id, { status: 'PAUSED' });
    await publish(type, [5]);
    receiver.requests.length = 0;
    receiver.answer = () => ({});
    expect(await bulk().ended(await bulk().recover(id, since))).toMatchObject({ succeeded: 3, total: 3 });
    await tenant.reached(id, 'HELD', 4);
    expect(receiver.requests).toHaveLength(0);
    await tenant.update(id, { isActive: true });
    await until('all that was missed', () => receiver.requests.length === 4);
    expect(numbers()).toEqual([2, 3, 4, 5]);
    await tenant.reached(id, 'DELIVERED', 5);
  });

  it('goes by what the webhook wants now: its types, entities and payload fields', async () => {
    const { tenant, receiver } = scene;
    const [wanted, other] = [await tenant.registerType(), await tenant.registerType()];
    const since = await moment();
    await publish(wanted, [1], { entityId: 'a' });
    await publish(wanted, [2], { entityId: 'b' });
    await publish(wanted, [3]);
    await publish(other, [4], { entityId: 'a' });
    await publish('ticket.created', [5], { entityId: 'a' });
    const { id } = await tenant.createWebhook(receiver.url, [wanted, 'ticket.*'], {
      entityIds: ['a'],
      payloadFields: ['m'],
    });
    await bulk().ended(await bulk().recover(id, since));
    const delivered = await tenant.reached(id, 'DELIVERED', 2);
    expect(receiver.requests).toHaveLength(2);
    expect(new Set(receiver.requests.map(({ body }) => JSON.parse(body).event_type))).toEqual(
      new Set([wanted, 'ticket.created']),
    );
    expect(receiver.requests.every(({ body }) => JSON.parse(body).data.n === undefined)).toBe(true);
    expect(delivered.every(({ requestBody }) => receiver.requests.some(({ body }) => body === requestBody))).toBe(true);
  });

  it('done again, even at the same time, sends nothing twice', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const since = await moment();
    await publish(type, [1, 2, 3]);
    const { id } = await tenant.createWebhook(receiver.url, [type]);
    const operations = await Promise.all(Array.from({ length: 4 }, () => bulk().recover(id, since)));
    const ended = await Promise.all(operations.map((operation) => bulk().ended(operation)));
    expect(ended.reduce((sum, { succeeded }) => sum + succeeded, 0)).toBe(3);
    await tenant.reached(id, 'DELIVERED', 3);
    expect(await bulk().ended(await bulk().recover(id, since))).toMatchObject({ status: 'COMPLETED', total: 0 });
    expect(numbers()).toEqual([1, 2, 3]);
  });

  it('keeps the order of the events, also under strict order', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const since = await moment();
    const all = Array.from({ length: 300 }, (_, n) => n);
    await publish(type, all);
    const { id } = await tenant.createWebhook(receiver.url, [type], { ordering: 'STRICT' });
    await bulk().ended(await bulk().recover(id, since));
    await until('all', () => receiver.requests.length === 300);
    expect(receiver.requests.map(({ body }) => JSON.parse(body).data.n)).toEqual(all);
  });

  it('fails, and says why, when its webhook is disabled meanwhile; what was done stays', async () => {
    const { tenant, receiver, program } = scene;
    const type = await tenant.registerType();
    const since = await moment();
    for (let at = 0; at < 5; at++)
      await publish(
        type,
        Array.from({ length: 1_000 }, (_, n) => n),
      );
    const { id } = await tenant.createWebhook(receiver.url, [type]);
    await tenant.update(id, { status: 'PAUSED' });
    const started = await bulk().recover(id, since);
    const disabling: Promise<unknown>[] = [];
    const told = await followOperation(program, started.id, ({ processed }) => {
      if (processed > 0 && disabling.length === 0) disabling.push(tenant.update(id, { status: 'DISABLED' }));
    });
    await Promise.all(disabling);
    expect(told.at(-1)).toMatchObject({ status: 'FAILED', error: expect.stringMatching(/disabled/) });
    expect(told.at(-1)!.processed).toBeLessThan(5_000);
  });

  it('is refused for a moment to come, and for a webhook that is disabled or not there', async () => {
    const { tenant, receiver } = scene;
    const { id } = await tenant.createWebhook(receiver.url, ['ticket.created']);
    const later = new Date(Date.now() + 60_000);
    expect(await bulk().recover(id, later)).toMatchObject({ code: 'BAD_REQUEST', path: ['since'] });
    await tenant.update(id, { status: 'DISABLED' });
    expect(await bulk().recover(id, new Date(0))).toMatchObject({ code: 'CONFLICT', path: ['id'] });
    await tenant.remove(id);
    expect(await bulk().recover(id, new Date(0))).toMatchObject({ code: 'NOT_FOUND' });
    expect(await bulk().recover('wh_nonsense', new Date(0))).toMatchObject({ code: 'NOT_FOUND' });
  });
});

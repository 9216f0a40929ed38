import { describe, expect, it } from 'vitest';
import { bulkOf, followOperation } from './harness/bulk.ts';
import type { Operation } from './harness/bulk.ts';
import { followFeed, pollFeed } from './harness/feed.ts';
import { until } from './harness/program.ts';
import { useScene } from './harness/scene.ts';
import type { TestTenant } from './harness/tenant.ts';

const scene = useScene();

const bulk = () => bulkOf(scene.tenant);
const done = (count: number, failed = 0): Partial<Operation> => ({
  status: 'COMPLETED',
  total: count + failed,
  processed: count + failed,
  succeeded: count,
  failed,
  error: null,
});

const publish = async (type: string, count: number, from = 0): Promise<void> => {
  for (let at = 0; at < count; at += 1_000) {
    const size = Math.min(1_000, count - at);
    const events = Array.from({ length: size }, (_, n) => ({ type, data: { n: from + at + n } }));
    const { results } = await scene.tenant.publishMany(events);
    expect(results).toHaveLength(size);
  }
};

const countOf = async (filter: object): Promise<number> =>
  (
    await scene.tenant.graphql(`query ($filter: DeliveryFilter) { deliveries(filter: $filter) { totalCount } }`, {
      filter,
    })
  ).deliveries.totalCount;

const numbers = (): number[] => scene.receiver.requests.map((request) => JSON.parse(request.body).data.n as number);

const webhookOf = async (more: object = {}, tenant: TestTenant = scene.tenant) => {
  const type = await tenant.registerType();
  const { id } = await tenant.createWebhook(scene.receiver.url, [type], more);
  return { id, type };
};

/** A webhook of which so many deliveries were cancelled without an attempt; active again. */
const webhookWithCancelled = async (count: number, more: object = {}) => {
  const { tenant } = scene;
  const webhook = await webhookOf(more);
  await tenant.update(webhook.id, { status: 'PAUSED' });
  await publish(webhook.type, count);
  await tenant.update(webhook.id, { status: 'DISABLED' });
  await until('all cancelled', async () => (await countOf({ webhookId: webhook.id, status: ['CANCELLED'] })) === count);
  await tenant.update(webhook.id, { isActive: true });
  return webhook;
};

describe('deliveriesRetry', () => {
  it('sends the abandoned ones again where no status is given, and nothing else', async () => {
    const { tenant, receiver } = scene;
    const { id, type } = await webhookOf({ retrySchedule: [] });
    await publish(type, 2, 100);
    await tenant.reached(id, 'DELIVERED', 2);
    receiver.answer = () => ({ status: 500 });
    await publish(type, 5);
    const abandoned = await tenant.reached(id, 'ABANDONED', 5);
    await tenant.sendTest(id);
    receiver.requests.length = 0;
    receiver.answer = () => ({});
    const before = (await tenant.webhook(id)).health;
    expect(before).toMatchObject({ status: 'FAILING' });

    const started = await bulk().retry({ webhookId: id });
    expect(started).toMatchObject({ kind: 'RETRY', status: 'RUNNING', total: 5, completedAt: null });
    expect(await bulk().ended(started)).toMatchObject({ ...done(5), completedAt: expect.any(String) });
    const delivered = await tenant.reached(id, 'DELIVERED', 7);
    const again = delivered.filter((delivery) => delivery.attemptCount === 2);
    expect(new Set(again.map((delivery) => delivery.id))).toEqual(new Set(abandoned.map((delivery) => delivery.id)));
    expect(again).toHaveLength(5);
    for (const { attempts } of again) {
      expect(attempts.map(({ trigger }: { trigger: string }) => trigger)).toEqual(['INITIAL', 'BULK']);
    }
    expect(numbers().toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
  });

  it('takes thousands in slices, tells how far it is, and each is sent once, the older first', async () => {
    const { program, receiver } = scene;
    const { id } = await webhookWithCancelled(2_500, { maxConcurrency: 1 });
    receiver.requests.length = 0;
    const [begin] = (await followFeed(program, null, () => true)).batches;
    const started = await bulk().retry({ webhookId: id, status: ['CANCELLED'] });
    const told = await followOperation(program, started.id);
    expect(told.at(-1)).toMatchObject({ id: started.id, ...done(2_500) });
    expect(told.length).toBeGreaterThan(1);
    for (const [n, { processed, total }] of told.entries()) {
      expect(processed).toBeGreaterThanOrEqual(told[n - 1]?.processed ?? 0);
      expect(processed).toBeLessThanOrEqual(total);
    }
    await until('every delivery', () => receiver.requests.length >= 2_500, 60_000);
    expect(new Set(numbers()).size).toBe(receiver.requests.length);
    // Published by the thousand, at different moments.
    const thousands = numbers().map((n) => Math.floor(n / 1_000));
    expect(thousands).toEqual(thousands.toSorted((a, b) => a - b));
    const events = await until('all in the feed', async () => {
      const all = (await pollFeed(program, begin!.cursor)).filter(
        ({ webhookId, status }) => webhookId === id && ['PENDING', 'DELIVERED'].includes(status),
      );
      return all.length >= 5_000 ? all : null;
    });
    const of = (status: string) => new Set(events.filter((event) => event.status === status).map((e) => e.deliveryId));
    expect([of('PENDING').size, of('DELIVERED').size, events.length]).toEqual([2_500, 2_500, 5_000]);
  }, 90_000);

  it('lets live deliveries pass', async () => {
    const { tenant, receiver } = scene;
    const { id, type } = await webhookWithCancelled(300, { maxConcurrency: 1 });
    receiver.answer = () => ({ delayMs: 10 });
    receiver.requests.length = 0;
    await bulk().ended(await bulk().retry({ webhookId: id, status: ['CANCELLED'] }));
    await until('bulk work is under way', () => receiver.requests.length > 5);
    const before = receiver.requests.length;
    await tenant.publish(type, { n: 999 });
    await until('the live one', () => numbers().includes(999));
    expect(numbers().indexOf(999) - before).toBeLessThan(20);
  });

  it('leaves what is disabled or deleted as it is, and counts it as failed', async () => {
    const { tenant } = scene;
    const [first, second, third] = [
      await webhookWithCancelled(3),
      await webhookWithCancelled(2),
      await webhookWithCancelled(1),
    ];
    await tenant.update(second.id, { status: 'DISABLED' });
    await tenant.remove(third.id);
    const filter = { eventTypes: [first.type, second.type, third.type], status: ['CANCELLED'] };
    expect(await bulk().ended(await bulk().retry(filter))).toMatchObject(done(3, 3));
    await tenant.reached(first.id, 'DELIVERED', 3);
    expect(await countOf({ eventTypes: [second.type, third.type], status: ['CANCELLED'] })).toBe(3);
  });

  it('holds what belongs to a paused webhook', async () => {
    const { tenant, receiver } = scene;
    const { id } = await webhookWithCancelled(3);
    await tenant.update(id, { status: 'PAUSED' });
    receiver.requests.length = 0;
    expect(await bulk().ended(await bulk().retry({ webhookId: id, status: ['CANCELLED'] }))).toMatchObject(done(3));
    await tenant.reached(id, 'HELD', 3);
    expect(receiver.requests).toHaveLength(0);
    await tenant.update(id, { isActive: true });
    await tenant.reached(id, 'DELIVERED', 3);
  });

  it('asked for twice at once makes one further attempt of each, also where that fails again', async () => {
    const { tenant, receiver } = scene;
    const { id, type } = await webhookOf({ retrySchedule: [] });
    receiver.answer = () => ({ status: 500 });
    await publish(type, 4);
    await tenant.reached(id, 'ABANDONED', 4);
    const operations = await Promise.all([bulk().retry({ webhookId: id }), bulk().retry({ webhookId: id })]);
    const ended = await Promise.all(operations.map((operation) => bulk().ended(operation)));
    expect(ended.map(({ status }) => status)).toEqual(['COMPLETED', 'COMPLETED']);
    expect(ended[0]!.succeeded + ended[1]!.succeeded).toBe(4);
    await until('they failed again', async () => {
      const all = await tenant.reached(id, 'ABANDONED', 4);
      return all.every((delivery) => delivery.attemptCount === 2);
    });
    expect(receiver.requests).toHaveLength(8);
  });

  it('goes by the same filter as the list', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = (request) => ({ status: request.path === '/gone' ? 404 : 500 });
    const [one, other] = [await webhookOf({ retrySchedule: [] }), await webhookOf({ retrySchedule: [] })];
    const { id: third } = await tenant.createWebhook(new URL('/gone', receiver.url).href, [one.type, other.type], {
      retrySchedule: [],
    });
    const { event } = await tenant.publish(one.type);
    await tenant.reached(third, 'ABANDONED', 1);
    const between = new Date().toISOString();
    await publish(other.type, 2);
    await tenant.reached(other.id, 'ABANDONED', 2);
    await tenant.reached(third, 'ABANDONED', 3);
    await tenant.sendTest(third);
    // Paused, so that what one filter opened stays open and doesn't end with another time.
    for (const id of [one.id, other.id, third]) await tenant.update(id, { status: 'PAUSED' });
    const mine = { eventTypes: [one.type, other.type] };
    const filters = [
      { webhookId: one.id },
      { eventId: event.id },
      { ...mine, responseStatus: 404, range: { from: between } },
      { ...mine, range: { to: between } },
      { ...mine, isTest: false },
      { ...mine, status: ['DELIVERED', 'CANCELLED'] },
      { webhookId: 'wh_nonsense' },
      mine,
    ];
    let opened = 0;
    for (const filter of filters) {
      const expected = await countOf({ status: ['ABANDONED'], isTest: false, ...filter });
      const operation = await bulk().ended(await bulk().retry(filter));
      expect(operation, JSON.stringify(filter)).toMatchObject(done(expected));
      opened += expected;
    }
    expect(opened).toBe(6);
  });

  it.each([
    ['nothing', {}, ['filter']],
    ['an empty range', { range: {} }, ['filter']],
    ['what is open', { status: ['ABANDONED', 'PENDING'] }, ['filter', 'status']],
    ['what was filtered', { status: ['FILTERED'] }, ['filter', 'status']],
    ['tests', { isTest: true }, ['filter', 'isTest']],
  ])('refuses a filter for %s', async (_, filter, path) => {
    expect(await bulk().retry(filter)).toMatchObject({ code: 'BAD_REQUEST', path });
  });
});

describe('deliveriesCancel', () => {
  it('ends what waits, is held or is pending, tells the feed, and nothing of it is sent', async () => {
    const { tenant, receiver, program } = scene;
    receiver.answer = (request) => (request.body.includes('"fail"') ? { status: 500 } : { delayMs: 400 });
    const waiting = await webhookOf({ retrySchedule: [1] });
    await tenant.publish(waiting.type, { fail: true });
    const held = await webhookOf();
    await tenant.update(held.id, { status: 'PAUSED' });
    await publish(held.type, 2);
    await tenant.reached(waiting.id, 'RETRYING');
    const [begin] = (await followFeed(program, null, () => true)).batches;
    const filter = { eventTypes: [waiting.type, held.type] };
    expect(await bulk().ended(await bulk().cancel(filter))).toMatchObject({ kind: 'CANCEL', ...done(3) });
    const [retrying] = await tenant.reached(waiting.id, 'CANCELLED');
    expect(retrying).toMatchObject({ attemptCount: 1, responseStatus: 500, nextAttemptAt: null });
    await tenant.reached(held.id, 'CANCELLED', 2);
    const told = await until('all in the feed', async () => {
      const events = (await pollFeed(program, begin!.cursor)).filter(
        ({ eventType, status }) => filter.eventTypes.includes(eventType) && status === 'CANCELLED',
      );
      return events.length >= 3 ? events : null;
    });
    expect(told.map(({ webhookName }) => webhookName)).toEqual(['Test', 'Test', 'Test']);
    // Longer than the retry would have waited.
    await tenant.update(held.id, { isActive: true });
    await tenant.publish(held.type, { last: true });
    await until('the next one', () => receiver.requests.length === 2);
    await until('the retry would have come', () => Date.now() - receiver.requests[0]!.at > 1_500);
    expect(receiver.requests).toHaveLength(2);
  });

  it('stops a lane that has read ahead', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = () => ({ delayMs: 100 });
    const { id, type } = await webhookOf({ maxConcurrency: 1 });
    await publish(type, 50);
    await until('the first', () => receiver.requests.length > 0);
    const operation = await bulk().ended(await bulk().cancel({ webhookId: id }));
    expect(operation.succeeded).toBeGreaterThan(40);
    await until('nothing is open', async () => (await tenant.webhook(id)).health.pendingCount === 0);
    const sent = receiver.requests.length;
    await publish(type, 1, 1_000);
    await until('the next one', () => numbers().includes(1_000));
    expect(receiver.requests.length).toBeLessThanOrEqual(sent + 2);
  });

  it('does not call back what is under way: delivered after all, or cancelled with one attempt more', async () => {
    const { tenant, receiver, program } = scene;
    const answering: (() => void)[] = [];
    receiver.answer = (request) => ({
      status: request.body.includes('"n":0') ? 200 : 500,
      until: new Promise<void>((resolve) => answering.push(resolve)),
    });
    const { id, type } = await webhookOf({ retrySchedule: [3_600] });
    await publish(type, 2);
    await until('both are under way', () => answering.length === 2);
    const [begin] = (await followFeed(program, null, () => true)).batches;
    expect(await bulk().ended(await bulk().cancel({ webhookId: id }))).toMatchObject(done(2));
    await tenant.reached(id, 'CANCELLED', 2);
    for (const answer of answering) answer();
    const [delivered] = await tenant.reached(id, 'DELIVERED');
    expect(delivered).toMatchObject({ attemptCount: 1, responseStatus: 200, attempts: [{ trigger: 'INITIAL' }] });
    const cancelled = await until('the failure', async () => {
      const [one] = await tenant.reached(id, 'CANCELLED');
      return one.attemptCount === 1 && one;
    });
    expect(cancelled).toMatchObject({ responseStatus: 500, nextAttemptAt: null, error: { code: 'HTTP_STATUS' } });
    expect(receiver.requests).toHaveLength(2);
    const told = await until('all in the feed', async () => {
      const events = (await pollFeed(program, begin!.cursor)).filter(({ webhookId }) => webhookId === id);
      return events.length >= 4 ? events : null;
    });
    expect(told.filter(({ deliveryId }) => deliveryId === delivered.id).map(({ status }) => status)).toEqual([
      'CANCELLED',
      'DELIVERED',
    ]);
    expect((await tenant.webhook(id)).health).toMatchObject({ consecutiveFailures: 1, pendingCount: 0 });
  });

  it('frees what waited behind a failed one under strict order', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = (request) => ({ status: request.body.includes('"n":0') ? 500 : 200 });
    const { id, type } = await webhookOf({ ordering: 'STRICT', retrySchedule: [3_600] });
    await publish(type, 3);
    const [head] = await tenant.reached(id, 'RETRYING');
    const { event } = (await tenant.graphql(`query ($id: ID!) { delivery(id: $id) { event { id } } }`, { id: head.id }))
      .delivery;
    expect(await bulk().ended(await bulk().cancel({ eventId: event.id }))).toMatchObject(done(1));
    await tenant.reached(id, 'DELIVERED', 2);
    expect(numbers()).toEqual([0, 1, 2]);
  });

  it('goes by status, and leaves what comes later alone', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = () => ({ status: 500 });
    const { id, type } = await webhookOf({ retrySchedule: [3_600] });
    await tenant.publish(type);
    await tenant.reached(id, 'RETRYING');
    expect(await bulk().cancel({ webhookId: id, status: ['PENDING', 'HELD'] })).toMatchObject(done(0));
    await tenant.update(id, { status: 'PAUSED' });
    const operation = await bulk().ended(await bulk().cancel({ webhookId: id, status: ['HELD'] }));
    expect(operation).toMatchObject(done(1));
    await publish(type, 2);
    expect(await bulk().find(operation.id)).toMatchObject(done(1));
    await tenant.reached(id, 'HELD', 2);
  });

  it('refuses a filter for everything, and for what has ended', async () => {
    expect(await bulk().cancel({})).toMatchObject({ code: 'BAD_REQUEST', path: ['filter'] });
    expect(await bulk().cancel({ status: ['ABANDONED'] })).toMatchObject({
      code: 'BAD_REQUEST',
      path: ['filter', 'status'],
    });
  });
});

describe('bulkOperationCancel', () => {
  it('stops an operation where it is; what was done stays', async () => {
    const { tenant, program } = scene;
    const { id } = await webhookWithCancelled(4_000);
    await tenant.update(id, { status: 'PAUSED' });
    const started = await bulk().retry({ webhookId: id, status: ['CANCELLED'] });
    const calling: Promise<Operation>[] = [];
    const told = await followOperation(program, started.id, ({ processed }) => {
      if (processed > 0) calling.push(bulk().callOff(started.id));
    });
    expect(await calling[0]).toMatchObject({ status: 'CANCELLED' });
    expect(told.at(-1)).toMatchObject({ status: 'CANCELLED', completedAt: expect.any(String) });
    const { succeeded } = told.at(-1)!;
    expect(succeeded).toBeLessThan(4_000);
    expect(await countOf({ webhookId: id, status: ['HELD'] })).toBe(succeeded);
    expect(await bulk().callOff(started.id)).toMatchObject({ status: 'CANCELLED', succeeded });
    await bulk().ended(await bulk().cancel({ webhookId: id }));
  });

  it('leaves one that has ended as it is, and tells nobody else of it', async () => {
    const { id } = await webhookWithCancelled(1);
    const ended = await bulk().ended(await bulk().retry({ webhookId: id, status: ['CANCELLED'] }));
    expect(await bulk().callOff(ended.id)).toEqual(ended);
    expect(await bulk().callOff('bop_nonsense')).toMatchObject({ code: 'NOT_FOUND' });
    expect(await bulk().find('bop_nonsense')).toBeNull();
    expect(await followOperation(scene.program, 'bop_nonsense')).toEqual([]);
    const { tenantCreate } = await scene.tenant.graphql(
      `mutation { tenantCreate(input: { slug: "bulk-stranger" }) { ... on TenantCreateSuccess { secret } } }`,
    );
    expect(await followOperation(scene.program, ended.id, () => undefined, tenantCreate.secret)).toEqual([]);
    expect(await followOperation(scene.program, ended.id)).toHaveLength(1);
    const { node } = await scene.tenant.graphql(`query ($id: ID!) { node(id: $id) { __typename id } }`, {
      id: ended.id,
    });
    expect(node).toEqual({ __typename: 'BulkOperation', id: ended.id });
  });
});

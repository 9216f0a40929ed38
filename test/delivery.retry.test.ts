import { describe, expect, it } from 'vitest';
import { bulkOf } from './harness/bulk.ts';
import { followFeed, pollFeed } from './harness/feed.ts';
import type { FeedEvent } from './harness/feed.ts';
import { inboundOf, post } from './harness/inbound.ts';
import { until } from './harness/program.ts';
import { useScene } from './harness/scene.ts';

const scene = useScene();

// oxlint-disable-next-line typescript/no-explicit-any -- whatever the query asked for
const retry = async (id: string): Promise<any> =>
  (
    await scene.tenant.graphql(
      `mutation ($id: ID!) { deliveryRetry(id: $id) {
         ... on DeliveryRetrySuccess { delivery { id status attemptCount nextAttemptAt completedAt } }
         ... on Error { code message path } } }`,
      { id },
    )
  ).deliveryRetry;

const feedCursor = async (): Promise<string> => (await followFeed(scene.program, null, () => true)).batches[0]!.cursor;

/** Waits until the feed ends with these statuses of a delivery; what came before the cursor may be told late. */
const told = async (after: string, deliveryId: string, statuses: readonly string[]): Promise<FeedEvent[]> =>
  until(`${statuses.join(', ')} in the feed`, async () => {
    const events = (await pollFeed(scene.program, after)).filter((event) => event.deliveryId === deliveryId);
    const last = events.slice(-statuses.length);
    return last.map(({ status }) => status).join() === statuses.join() ? last : null;
  });

/** A webhook with one delivery that was abandoned after as many attempts as the schedule gives. */
const abandoned = async (retrySchedule: number[] = []) => {
  const { tenant, receiver } = scene;
  receiver.answer = () => ({ status: 500 });
  const type = await tenant.registerType();
  const { id } = await tenant.createWebhook(receiver.url, [type], { retrySchedule });
  await tenant.publish(type);
  const [delivery] = await tenant.reached(id, 'ABANDONED');
  return { webhookId: id, delivery, type };
};

describe('a delivery that is sent again', () => {
  it('makes a further attempt with the same ids and bytes, and is in one list at a time', async () => {
    const { tenant, receiver } = scene;
    const { webhookId, delivery } = await abandoned();
    receiver.answer = () => ({});
    const cursor = await feedCursor();
    expect(await retry(delivery.id)).toMatchObject({
      delivery: { id: delivery.id, status: 'RETRYING', attemptCount: 1, completedAt: null },
    });
    const [again] = await tenant.reached(webhookId, 'DELIVERED');
    expect(again).toMatchObject({ id: delivery.id, attemptCount: 2, responseStatus: 200, error: null });
    expect(again.attempts.map(({ number, trigger }: { number: number; trigger: string }) => [number, trigger])).toEqual(
      [
        [1, 'INITIAL'],
        [2, 'MANUAL'],
      ],
    );
    expect(await tenant.deliveriesOf(webhookId)).toHaveLength(1);
    const [first, second] = receiver.requests;
    expect(second!.body).toBe(first!.body);
    expect(second!.headers['x-alga-delivery-id']).toBe(delivery.id);
    expect(second!.headers['webhook-id']).toBe(first!.headers['webhook-id']);
    expect(second!.headers['x-alga-delivery-attempt']).toBe('2');
    const events = await told(cursor, delivery.id, ['RETRYING', 'DELIVERED']);
    expect(events.map(({ attemptNumber }) => attemptNumber)).toEqual([1, 2]);
  });

  it('has its whole retry schedule before it again', async () => {
    const { tenant } = scene;
    const { webhookId, delivery } = await abandoned([1]);
    expect(delivery.attemptCount).toBe(2);
    await retry(delivery.id);
    const [again] = await until('the second end', async () =>
      (await tenant.reached(webhookId, 'ABANDONED')).filter(({ attemptCount }) => attemptCount === 4),
    );
    expect(again.attempts.map(({ trigger }: { trigger: string }) => trigger)).toEqual([
      'INITIAL',
      'RETRY',
      'MANUAL',
      'RETRY',
    ]);
  });

  it('may have been delivered or cancelled before', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type]);
    await tenant.publish(type);
    const [delivered] = await tenant.reached(id, 'DELIVERED');
    await retry(delivered.id);
    await until('it came again', () => receiver.requests.length === 2);
    await tenant.reached(id, 'DELIVERED');

    await tenant.update(id, { status: 'PAUSED' });
    await tenant.publish(type);
    await tenant.reached(id, 'HELD');
    await tenant.update(id, { status: 'DISABLED' });
    const [cancelled] = await tenant.reached(id, 'CANCELLED');
    await tenant.update(id, { isActive: true });
    expect(await retry(cancelled.id)).toMatchObject({ delivery: { status: 'PENDING', attemptCount: 0 } });
    await until('it came at last', () => receiver.requests.length === 3);
  });

  it('is held while its webhook is paused, and sent when that is resumed', async () => {
    const { tenant, receiver } = scene;
    const { webhookId, delivery } = await abandoned();
    receiver.answer = () => ({});
    await tenant.update(webhookId, { status: 'PAUSED' });
    const cursor = await feedCursor();
    expect(await retry(delivery.id)).toMatchObject({ delivery: { status: 'HELD', nextAttemptAt: null } });
    await told(cursor, delivery.id, ['HELD']);
    expect(receiver.requests).toHaveLength(1);
    await tenant.update(webhookId, { isActive: true });
    await tenant.reached(webhookId, 'DELIVERED');
  });

  it('may be a forward of an inbound request', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = () => ({ status: 500 });
    const inbound = inboundOf(tenant);
    const { id, slugUrl } = await inbound.create({ url: receiver.url });
    await post(slugUrl, '{ "n": 1 }');
    const forwards = async () =>
      (
        await tenant.graphql(
          `query ($id: ID!) { deliveries(filter: { inboundWebhookId: $id }) { nodes { id status attempts { trigger } } } }`,
          { id },
        )
      ).deliveries.nodes;
    await until('it failed', async () => (await forwards())[0]?.status === 'RETRYING');
    const bulk = bulkOf(tenant);
    expect(await bulk.ended(await bulk.cancel({ inboundWebhookId: id }))).toMatchObject({ succeeded: 1 });
    const [{ id: forward }] = await forwards();
    await inbound.update(id, { url: null });
    expect(await retry(forward)).toMatchObject({ code: 'CONFLICT', message: expect.stringMatching(/no address/) });
    expect(await bulk.ended(await bulk.retry({ inboundWebhookId: id, status: ['CANCELLED'] }))).toMatchObject({
      status: 'COMPLETED',
      failed: 1,
    });
    receiver.answer = () => ({});
    await inbound.update(id, { url: receiver.url });
    expect(await retry(forward)).toMatchObject({ delivery: { id: forward, status: 'RETRYING' } });
    const [delivered] = await until('it came', async () => {
      const all = await forwards();
      return all[0].status === 'DELIVERED' && all;
    });
    expect(delivered.attempts.map(({ trigger }: { trigger: string }) => trigger)).toEqual(['INITIAL', 'MANUAL']);
    expect(receiver.requests.map(({ body }) => body)).toEqual(['{ "n": 1 }', '{ "n": 1 }']);
    await bulk.ended(await bulk.retry({ inboundWebhookId: id, status: ['DELIVERED'] }));
    await until('it came once more', () => receiver.requests.length === 3);
  });

  it('counts in the health of its webhook by what comes of it, not by being asked for', async () => {
    const { tenant, receiver } = scene;
    const { webhookId, delivery } = await abandoned();
    const before = (await tenant.webhook(webhookId)).health;
    await tenant.update(webhookId, { status: 'PAUSED' });
    await retry(delivery.id);
    expect((await tenant.webhook(webhookId)).health).toEqual({ ...before, pendingCount: 1 });
    receiver.answer = () => ({});
    await tenant.update(webhookId, { isActive: true });
    await tenant.reached(webhookId, 'DELIVERED');
    expect((await tenant.webhook(webhookId)).health).toMatchObject({ status: 'HEALTHY', consecutiveFailures: 0 });
  });

  it('is sent once more and no oftener, however many ask for it at once', async () => {
    const { tenant, receiver } = scene;
    const { webhookId, delivery } = await abandoned();
    receiver.answer = () => ({ delayMs: 300 });
    const answers = await Promise.all(Array.from({ length: 8 }, () => retry(delivery.id)));
    expect(answers.filter((answer) => answer.delivery)).toHaveLength(1);
    expect(answers.filter((answer) => answer.code === 'CONFLICT')).toHaveLength(7);
    const [again] = await tenant.reached(webhookId, 'DELIVERED');
    expect(again.attemptCount).toBe(2);
    expect(receiver.requests).toHaveLength(2);
  });
});

describe('a delivery is not sent again', () => {
  it('while it is under way, waits or is held', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = (_, index) => (index === 0 ? { status: 500 } : { delayMs: 1_000 });
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], { retrySchedule: [3_600] });
    await tenant.publish(type);
    const [waiting] = await tenant.reached(id, 'RETRYING');
    expect(await retry(waiting.id)).toMatchObject({
      code: 'CONFLICT',
      path: ['id'],
      message: expect.stringMatching(/under way already/),
    });
    await tenant.publish(type);
    const [pending] = await tenant.reached(id, 'PENDING');
    await until('it is under way', () => receiver.requests.length === 2);
    expect(await retry(pending.id)).toMatchObject({ code: 'CONFLICT' });
    await tenant.update(id, { status: 'PAUSED' });
    expect(await retry(waiting.id)).toMatchObject({ code: 'CONFLICT', message: expect.stringMatching(/is held/) });
  });

  it('as a test', async () => {
    const { tenant, receiver } = scene;
    const { id } = await tenant.createWebhook(receiver.url, ['ticket.created']);
    const { delivery } = await tenant.sendTest(id);
    expect(await retry(delivery.id)).toMatchObject({ code: 'CONFLICT', message: expect.stringMatching(/a test/) });
    expect(receiver.requests).toHaveLength(1);
  });

  it('where its webhook is disabled or deleted', async () => {
    const { tenant, receiver } = scene;
    const { webhookId, delivery } = await abandoned();
    await tenant.update(webhookId, { status: 'DISABLED' });
    expect(await retry(delivery.id)).toMatchObject({ code: 'CONFLICT', message: expect.stringMatching(/is disabled/) });
    await tenant.remove(webhookId);
    expect(await retry(delivery.id)).toMatchObject({ code: 'CONFLICT', message: expect.stringMatching(/was deleted/) });
    expect(receiver.requests).toHaveLength(1);
    const { delivery: kept } = await tenant.graphql(`query ($id: ID!) { delivery(id: $id) { status } }`, {
      id: delivery.id,
    });
    expect(kept.status).toBe('ABANDONED');
  });
});

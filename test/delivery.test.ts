// oxlint-disable typescript/no-explicit-any -- answers are whatever the queries ask for
import { createHmac, timingSafeEqual } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createDatabase, startTestProgram, until } from './harness/program.ts';
import type { TestProgram } from './harness/program.ts';
import { startReceiver } from './harness/receiver.ts';
import type { ReceivedRequest, Receiver } from './harness/receiver.ts';

let database: Awaited<ReturnType<typeof createDatabase>>;
let program: TestProgram;
let receiver: Receiver;
const opened: Receiver[] = [];

beforeAll(async () => {
  database = await createDatabase();
  program = await startTestProgram(database.url);
});
afterAll(async () => {
  await program.stop();
  await Promise.all(opened.map((one) => one.close()));
  await database.drop();
});
beforeEach(async () => {
  receiver = await startReceiver();
  opened.push(receiver);
});

const header = (request: ReceivedRequest, name: string): string => String(request.headers[name]);

describe('a published event', () => {
  it('reaches the receiver within a second, enveloped, signed both ways, and is recorded', async () => {
    const type = await registerType();
    const { id, value, standardWebhooks } = await createWebhook([type]);
    const before = Date.now();
    const published = await publish(type, { z: 1, a: { ä: '€' } });
    expect(published).toMatchObject({ matchedCount: 1, duplicate: false });
    await until('a request', () => receiver.requests.length > 0);
    const request = receiver.requests[0]!;
    expect(request.at - before).toBeLessThan(1_000);
    expect(request.method).toBe('POST');
    const parsed = JSON.parse(request.body) as Record<string, unknown>;
    expect(Object.keys(parsed)).toEqual(['event_id', 'event_type', 'occurred_at', 'tenant_id', 'data']);
    expect(parsed).toMatchObject({ event_id: published.event.id, event_type: type, data: { z: 1, a: { ä: '€' } } });
    expect(header(request, 'x-alga-signature')).toMatch(/^t=\d+,v1=[0-9a-f]{64}$/);
    expect(guideVerifies(request.body, header(request, 'x-alga-signature'), value)).toBe(true);
    expect(standardVerifies(request, standardWebhooks)).toBe(true);
    expect(request.headers).toMatchObject({
      'content-type': 'application/json',
      'x-alga-event-id': published.event.id,
      'x-alga-event-type': type,
      'x-alga-webhook-id': id,
      'x-alga-delivery-attempt': '1',
      'webhook-id': published.event.id,
    });
    expect(header(request, 'user-agent')).toMatch(/^hookgraph\/\d/);
    const [delivery] = await ended(id, 'DELIVERED');
    expect(delivery).toMatchObject({ attemptCount: 1, responseStatus: 200, error: null, requestBody: request.body });
    expect(header(request, 'x-alga-delivery-id')).toBe(delivery.id);
    expect(delivery.attempts).toMatchObject([{ number: 1, trigger: 'INITIAL', responseBody: 'ok' }]);
    expect(delivery.attempts[0].requestHeaders['X-Alga-Signature']).toBe(header(request, 'x-alga-signature'));
  });

  it('goes to every webhook whose type or wildcard covers it, and to entities that were asked for', async () => {
    const type = await registerType();
    const covered = await createWebhook(['test.*']);
    const exact = await createWebhook([type, 'test.*', '*'], { entityIds: ['e1'], payloadFields: ['keep'] });
    expect(await publish(type, { n: 1 }, { entityId: 'e2' })).toMatchObject({ matchedCount: 1 });
    expect(await publish(type, { keep: 1, drop: 2, test_id: 3 }, { entityId: 'e1' })).toMatchObject({
      matchedCount: 2,
    });
    await ended(covered.id, 'DELIVERED', 2);
    const [delivery] = await ended(exact.id, 'DELIVERED');
    expect(JSON.parse(delivery.requestBody).data).toEqual({ keep: 1, test_id: 3 });
    for (const { id } of [covered, exact]) await update(id, { status: 'DISABLED' });
  });

  it('of a thousand in one call arrives with the others', async () => {
    const type = await registerType();
    const { id } = await createWebhook([type], { maxConcurrency: 100 });
    const { eventPublishMany } = await program.graphql(
      `mutation ($input: [EventInput!]!) { eventPublishMany(input: $input) {
         ... on EventPublishManySuccess { results { matchedCount } } ... on Error { message path } } }`,
      { input: Array.from({ length: 1_000 }, (_, n) => ({ type, data: { n } })) },
    );
    expect(eventPublishMany.results).toHaveLength(1_000);
    await until('all of them', () => receiver.requests.length >= 1_000);
    const numbers = new Set(receiver.requests.map((request) => JSON.parse(request.body).data.n as number));
    expect(numbers.size).toBe(1_000);
    expect(await deliveriesOf(id)).toHaveLength(100);
  });

  it('with the same idempotency key is published once, also by twenty callers at once', async () => {
    const type = await registerType();
    const { id } = await createWebhook([type]);
    const results = await Promise.all(
      Array.from({ length: 20 }, () => publish(type, { n: 1 }, { idempotencyKey: `key-${type}` })),
    );
    expect(new Set(results.map((result) => result.event.id)).size).toBe(1);
    expect(results.filter((result) => !result.duplicate)).toHaveLength(1);
    expect(await publish(type, { n: 2 }, { idempotencyKey: `key-${type}` })).toMatchObject({
      code: 'CONFLICT',
      path: ['input', 'idempotencyKey'],
    });
    await ended(id, 'DELIVERED');
    expect(receiver.requests).toHaveLength(1);
  });
});

describe('an attempt that fails', () => {
  it('is repeated on the schedule with the same bytes and a fresh signature, until it is abandoned', async () => {
    receiver.answer = () => ({ status: 500, body: 'no' });
    const type = await registerType();
    const { id, value } = await createWebhook([type], { retrySchedule: [1, 1] });
    await publish(type);
    const [delivery] = await ended(id, 'ABANDONED');
    expect(delivery).toMatchObject({ attemptCount: 3, responseStatus: 500, error: { code: 'HTTP_STATUS' } });
    expect(delivery.attempts.map((attempt: any) => attempt.trigger)).toEqual(['INITIAL', 'RETRY', 'RETRY']);
    const [first, second, third] = receiver.requests;
    expect(new Set(receiver.requests.map((request) => request.body)).size).toBe(1);
    expect(new Set(receiver.requests.map((request) => header(request, 'x-alga-delivery-id'))).size).toBe(1);
    expect(receiver.requests.map((request) => header(request, 'x-alga-delivery-attempt'))).toEqual(['1', '2', '3']);
    expect(second!.at - first!.at).toBeGreaterThanOrEqual(880);
    expect(header(third!, 'webhook-timestamp')).not.toBe(header(first!, 'webhook-timestamp'));
    expect(guideVerifies(third!.body, header(third!, 'x-alga-signature'), value)).toBe(true);
    expect(await healthOf(id)).toMatchObject({
      status: 'ACTIVE',
      health: { status: 'FAILING', consecutiveFailures: 3 },
    });
  });

  it('is abandoned at once where the schedule is empty, be it a redirect, a timeout or nonsense', async () => {
    const answers = [
      { status: 302, headers: { location: 'http://127.0.0.1:1/' } },
      { hang: true as const },
      { raw: Buffer.from('\0\0\0 what?\r\n\r\n') },
      { status: 500, body: Buffer.from([0x6e, 0x00, 0xff, 0xed, 0xa0, 0x80, 0x6f]), headers: { 'x-odd': 'ü' } },
      { status: 200, body: 'x'.repeat(200_000) },
    ];
    receiver.answer = (_, index) => answers[index]!;
    const type = await registerType();
    const { id } = await createWebhook([type], { retrySchedule: [], timeoutSeconds: 1, maxConcurrency: 1 });
    for (const _ of answers) await publish(type);
    await ended(id, 'ABANDONED', 4);
    const [delivery] = await ended(id, 'DELIVERED');
    expect(delivery.attempts[0]).toMatchObject({ responseTruncated: true, responseBody: 'x'.repeat(8_192) });
    const codes = (await deliveriesOf(id)).map((one) => one.error?.code ?? null);
    expect(new Set(codes)).toEqual(new Set(['HTTP_STATUS', null, 'REDIRECT', 'TIMEOUT', 'UNKNOWN']));
    expect(receiver.requests).toHaveLength(5);
  });

  it('with Retry-After holds the whole webhook back, at no cost of the schedule', async () => {
    receiver.answer = (_, index) => (index === 0 ? { status: 429, headers: { 'retry-after': '2' } } : {});
    const type = await registerType();
    const { id } = await createWebhook([type], { retrySchedule: [], maxConcurrency: 1 });
    await publish(type, { n: 1 });
    await until('the first request', () => receiver.requests.length === 1);
    await publish(type, { n: 2 });
    await ended(id, 'DELIVERED', 2);
    const [refused, ...others] = receiver.requests;
    expect(others).toHaveLength(2);
    for (const other of others) expect(other.at - refused!.at).toBeGreaterThanOrEqual(1_950);
  });

  it('with 410 disables the webhook, cancels the rest, and enabling begins anew', async () => {
    receiver.answer = (_, index) => (index === 0 ? { status: 410, delayMs: 200 } : {});
    const type = await registerType();
    const { id } = await createWebhook([type], { maxConcurrency: 1 });
    for (let n = 0; n < 5; n++) await publish(type, { n });
    await ended(id, 'ABANDONED');
    await ended(id, 'CANCELLED', 4);
    expect(await healthOf(id)).toMatchObject({ status: 'DISABLED', health: { status: 'DISABLED' } });
    expect(await publish(type)).toMatchObject({ matchedCount: 0 });
    expect(receiver.requests).toHaveLength(1);
    expect((await update(id, { isActive: true })).webhookUpdate.webhook).toMatchObject({
      status: 'ACTIVE',
      disabledReason: null,
      health: { consecutiveFailures: 0 },
    });
    await publish(type);
    await ended(id, 'DELIVERED');
  });
});

describe('a webhook', () => {
  it('that is paused holds what comes and sends it in order when it is resumed', async () => {
    const type = await registerType();
    const { id } = await createWebhook([type], { maxConcurrency: 1 });
    await update(id, { isActive: false });
    for (let n = 0; n < 5; n++) await publish(type, { n });
    await ended(id, 'HELD', 5);
    expect(receiver.requests).toHaveLength(0);
    await update(id, { isActive: true });
    await ended(id, 'DELIVERED', 5);
    expect(receiver.requests.map((request) => JSON.parse(request.body).data.n)).toEqual([0, 1, 2, 3, 4]);
  });

  it('that is deleted leaves its history, and what was pending is cancelled', async () => {
    receiver.answer = () => ({ status: 500 });
    const type = await registerType();
    const { id } = await createWebhook([type], { retrySchedule: [60] });
    await publish(type);
    const [{ id: deliveryId }] = (await ended(id, 'RETRYING')) as [{ id: string }];
    await program.graphql(`mutation ($id: ID!) { webhookDelete(id: $id) { ... on Error { message } } }`, { id });
    const delivery = await until('the end', async () => {
      const answer = await program.graphql(
        `query ($id: ID!) { delivery(id: $id) { status webhook { id } attemptCount } }`,
        {
          id: deliveryId,
        },
      );
      return answer.delivery.status === 'CANCELLED' ? answer.delivery : null;
    });
    expect(delivery).toEqual({ status: 'CANCELLED', webhook: null, attemptCount: 1 });
  });

  it('signs with both secrets while they overlap, and with the new one alone otherwise', async () => {
    const type = await registerType();
    const old = await createWebhook([type]);
    const rotate = async (overlapSeconds: number): Promise<Created> => {
      const { webhookRotateSecret } = await program.graphql(
        `mutation ($id: ID!, $overlap: Int) { webhookRotateSecret(id: $id, overlapSeconds: $overlap) {
           ... on WebhookRotateSecretSuccess { signingSecret { value standardWebhooks } previousSecretExpiresAt } } }`,
        { id: old.id, overlap: overlapSeconds },
      );
      return { id: old.id, ...webhookRotateSecret.signingSecret };
    };
    const next = await rotate(3_600);
    await publish(type);
    await ended(old.id, 'DELIVERED');
    const both = receiver.requests[0]!;
    expect(header(both, 'x-alga-signature')).toMatch(/^t=\d+,v1=[0-9a-f]{64},v1=[0-9a-f]{64}$/);
    expect(guideVerifies(both.body, header(both, 'x-alga-signature'), next.value)).toBe(true);
    for (const { standardWebhooks } of [old, next]) expect(standardVerifies(both, standardWebhooks)).toBe(true);
    const last = await rotate(0);
    await publish(type);
    await ended(old.id, 'DELIVERED', 2);
    const alone = receiver.requests[1]!;
    expect(standardVerifies(alone, last.standardWebhooks)).toBe(true);
    for (const { standardWebhooks } of [old, next]) expect(standardVerifies(alone, standardWebhooks)).toBe(false);
  });

  it('can be tested whatever its status: signed, marked last, recorded, never counted nor repeated', async () => {
    receiver.answer = () => ({ status: 500 });
    const { id, value } = await createWebhook(['ticket.*', 'ticket.assigned'], { isActive: false });
    const test = async (eventType?: string): Promise<any> =>
      (
        await program.graphql(
          `mutation ($id: ID!, $type: String) { webhookSendTest(id: $id, eventType: $type) {
             ... on WebhookSendTestSuccess { delivery { status isTest eventType attemptCount requestBody event { id } } }
             ... on Error { code path } } }`,
          { id, type: eventType },
        )
      ).webhookSendTest;
    expect((await test()).delivery).toMatchObject({ status: 'ABANDONED', isTest: true, eventType: 'ticket.assigned' });
    const request = receiver.requests[0]!;
    const parsed = JSON.parse(request.body) as Record<string, unknown>;
    expect(Object.keys(parsed).at(-1)).toBe('is_test');
    expect(parsed['is_test']).toBe(true);
    expect(guideVerifies(request.body, header(request, 'x-alga-signature'), value)).toBe(true);
    expect((await test('ticket.created')).delivery).toMatchObject({ eventType: 'ticket.created' });
    expect(await test('no.such.type')).toMatchObject({ code: 'BAD_REQUEST', path: ['eventType'] });
    expect(receiver.requests).toHaveLength(2);
    expect((await healthOf(id)).health).toMatchObject({ consecutiveFailures: 0, lastDeliveryAt: null });
  });
});

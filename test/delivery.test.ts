import { describe, expect, it } from 'vitest';
import { until } from './harness/program.ts';
import type { ReceivedRequest } from './harness/receiver.ts';
import { useScene } from './harness/scene.ts';
import { guideVerifies, standardVerifies } from './harness/verification.ts';

const scene = useScene();

const header = (request: ReceivedRequest, name: string): string => String(request.headers[name]);

const dataOf = (request: ReceivedRequest): unknown => (JSON.parse(request.body) as { data: unknown }).data;

describe('a published event', () => {
  it('reaches the receiver within a second, enveloped, signed both ways, and is recorded', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const { id, value, standardWebhooks } = await tenant.createWebhook(receiver.url, [type]);
    const before = Date.now();
    const published = await tenant.publish(type, { z: 1, a: { ä: '€' } }, { occurredAt: '2026-03-02T09:15:00Z' });
    expect(published).toMatchObject({ matchedCount: 1, duplicate: false });
    await until('a request', () => receiver.requests.length > 0);
    const request = receiver.requests[0]!;
    expect(request.at - before).toBeLessThan(1_000);
    expect(request.method).toBe('POST');
    const { viewer } = await tenant.graphql('{ viewer { tenant { id } } }');
    // The whole text: keys, order and spelling.
    expect(request.body).toBe(
      `{"event_id":"${published.event.id}","event_type":"${type}","occurred_at":"2026-03-02T09:15:00.000Z",` +
        `"tenant_id":"${viewer.tenant.id}","data":{"z":1,"a":{"ä":"€"}}}`,
    );
    expect(guideVerifies(request, value)).toBe(true);
    expect(standardVerifies(request, standardWebhooks)).toBe(true);
    const [delivery] = await tenant.reached(id, 'DELIVERED');
    expect(delivery).toMatchObject({ attemptCount: 1, responseStatus: 200, error: null, requestBody: request.body });
    expect(header(request, 'x-alga-delivery-id')).toBe(delivery.id);
    expect(delivery.attempts).toMatchObject([{ number: 1, trigger: 'INITIAL', responseBody: 'ok' }]);
    expect(delivery.attempts[0].requestHeaders['X-Alga-Signature']).toBe(header(request, 'x-alga-signature'));
  });

  it('carries these headers, spelled like this, and no others', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type]);
    const { event } = await tenant.publish(type);
    const [delivery] = await tenant.reached(id, 'DELIVERED');
    const raw = receiver.requests[0]!.rawHeaders;
    const pairs = Object.fromEntries(raw.flatMap((name, at) => (at % 2 === 0 ? [[name, raw[at + 1]]] : [])));
    const transport = /^(host|connection|content-length|accept-encoding)$/i;
    expect(Object.keys(pairs).filter((name) => !transport.test(name))).toEqual([
      'Content-Type',
      'User-Agent',
      'X-Alga-Signature',
      'X-Alga-Event-Id',
      'X-Alga-Event-Type',
      'X-Alga-Webhook-Id',
      'X-Alga-Delivery-Id',
      'X-Alga-Delivery-Attempt',
      'webhook-id',
      'webhook-timestamp',
      'webhook-signature',
    ]);
    expect(pairs).toMatchObject({
      'Content-Type': 'application/json',
      'User-Agent': expect.stringMatching(/^hookgraph\/\d+\.\d+\.\d+/),
      'X-Alga-Signature': expect.stringMatching(/^t=\d{10},v1=[0-9a-f]{64}$/),
      'X-Alga-Event-Id': event.id,
      'X-Alga-Event-Type': type,
      'X-Alga-Webhook-Id': id,
      'X-Alga-Delivery-Id': delivery.id,
      'X-Alga-Delivery-Attempt': '1',
      'webhook-id': event.id,
      'webhook-timestamp': /t=(\d+)/.exec(pairs['X-Alga-Signature']!)![1],
      'webhook-signature': expect.stringMatching(/^v1,[\w+/]{43}=$/),
    });
  });

  it('is found by the time of its publication, and its deliveries too, which were made with it', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    await tenant.createWebhook(receiver.url, [type]);
    const { event: published } = await tenant.publish(type);
    const { event } = await tenant.graphql(
      `query ($id: ID!) { event(id: $id) { publishedAt deliveries { nodes { createdAt } } } }`,
      { id: published.id },
    );
    expect(event.deliveries.nodes).toEqual([{ createdAt: event.publishedAt }]);
    const answer = await tenant.graphql(
      `query ($type: String!, $from: DateTime!) {
         events(filter: { types: [$type], range: { from: $from } }) { totalCount }
         deliveries(filter: { eventTypes: [$type], range: { from: $from } }) { totalCount }
         before: deliveries(filter: { eventTypes: [$type], range: { to: $from } }) { totalCount }
       }`,
      { type, from: event.publishedAt },
    );
    expect(answer).toEqual({
      events: { totalCount: 1 },
      deliveries: { totalCount: 1 },
      before: { totalCount: 0 },
    });
  });

  it('goes to every webhook whose type or wildcard covers it, once, and to entities that were asked for', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const covered = await tenant.createWebhook(receiver.url, ['test.*']);
    const exact = await tenant.createWebhook(receiver.url, [type, 'test.*', '*'], {
      entityIds: ['e1'],
      payloadFields: ['keep'],
    });
    expect(await tenant.publish(type, { n: 1 }, { entityId: 'e2' })).toMatchObject({ matchedCount: 1 });
    expect(await tenant.publish(type, { keep: 1, drop: 2, test_id: 3 }, { entityId: 'e1' })).toMatchObject({
      matchedCount: 2,
    });
    await tenant.reached(covered.id, 'DELIVERED', 2);
    const [delivery] = await tenant.reached(exact.id, 'DELIVERED');
    expect(JSON.parse(delivery.requestBody).data).toEqual({ keep: 1, test_id: 3 });
    expect(receiver.requests).toHaveLength(3);
    for (const { id } of [covered, exact]) await tenant.remove(id);
  });

  it('of a thousand in one call arrives with the others, each once', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], { maxConcurrency: 100 });
    const { results } = await tenant.publishMany(Array.from({ length: 1_000 }, (_, n) => ({ type, data: { n } })));
    expect(results).toHaveLength(1_000);
    await until('all of them', () => receiver.requests.length >= 1_000);
    expect(new Set(receiver.requests.map((request) => (dataOf(request) as { n: number }).n)).size).toBe(1_000);
    await until('all recorded', async () => {
      const { deliveries } = await tenant.graphql(
        `query ($id: ID!) { deliveries(filter: { webhookId: $id, status: [DELIVERED] }) { totalCount } }`,
        { id },
      );
      return deliveries.totalCount === 1_000;
    });
    expect(receiver.requests).toHaveLength(1_000);
  });

  it('with the same idempotency key is published once, also by twenty callers at once', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type]);
    const key = { idempotencyKey: `key-${type}` };
    const results = await Promise.all(Array.from({ length: 20 }, () => tenant.publish(type, { n: 1 }, key)));
    expect(new Set(results.map((result) => result.event.id)).size).toBe(1);
    expect(results.filter((result) => !result.duplicate)).toHaveLength(1);
    expect(await tenant.publish(type, { n: 2 }, key)).toMatchObject({
      code: 'CONFLICT',
      path: ['input', 'idempotencyKey'],
    });
    await tenant.reached(id, 'DELIVERED');
    expect(receiver.requests).toHaveLength(1);
  });

  it('that is one of a batch with a bad one is not sent either', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType({ type: 'object', required: ['n'] });
    const { id } = await tenant.createWebhook(receiver.url, [type]);
    const good = { type, data: { n: 1 } };
    expect(await tenant.publishMany([good, good, good, { type, data: {} }])).toMatchObject({
      code: 'BAD_REQUEST',
      path: ['input', '3', 'data'],
    });
    expect(await tenant.publishMany([good, { type: 'invoice.paid', data: {} }])).toMatchObject({
      code: 'BAD_REQUEST',
      path: ['input', '1', 'type'],
    });
    // What is published after them arrives, so they would have.
    await tenant.publish(type, { n: 2 });
    await tenant.reached(id, 'DELIVERED');
    expect(receiver.requests.map(dataOf)).toEqual([{ n: 2 }]);
  });
});

describe('a secret that is rotated', () => {
  it('signs beside the new one while they overlap, and not at all otherwise', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const old = await tenant.createWebhook(receiver.url, [type]);
    const next = await tenant.rotate(old.id, 3_600);
    await tenant.publish(type);
    await tenant.reached(old.id, 'DELIVERED');
    const both = receiver.requests[0]!;
    expect(header(both, 'x-alga-signature')).toMatch(/^t=\d+,v1=[0-9a-f]{64},v1=[0-9a-f]{64}$/);
    // The guide's function keeps the last of two signatures: that of the new secret.
    expect(guideVerifies(both, next.value)).toBe(true);
    for (const { standardWebhooks } of [old, next]) expect(standardVerifies(both, standardWebhooks)).toBe(true);
    const last = await tenant.rotate(old.id, 0);
    await tenant.publish(type);
    await tenant.reached(old.id, 'DELIVERED', 2);
    const alone = receiver.requests[1]!;
    expect(guideVerifies(alone, last.value)).toBe(true);
    expect(standardVerifies(alone, last.standardWebhooks)).toBe(true);
    for (const { standardWebhooks } of [old, next]) expect(standardVerifies(alone, standardWebhooks)).toBe(false);
  });
});

describe('a test delivery', () => {
  it('is signed with the live secret, marked last in its envelope, recorded, never counted nor repeated', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = () => ({ status: 500 });
    const { id, value, standardWebhooks } = await tenant.createWebhook(receiver.url, ['ticket.*', 'ticket.assigned']);
    const { delivery } = await tenant.sendTest(id);
    expect(delivery).toMatchObject({ status: 'ABANDONED', isTest: true, eventType: 'ticket.assigned' });
    expect(delivery.attempts).toEqual([{ trigger: 'TEST' }]);
    const request = receiver.requests[0]!;
    const parsed = JSON.parse(request.body) as Record<string, unknown>;
    expect(Object.keys(parsed)).toEqual(['event_id', 'event_type', 'occurred_at', 'tenant_id', 'data', 'is_test']);
    expect(parsed['is_test']).toBe(true);
    expect(Object.keys(parsed['data'] as object)).not.toEqual([]);
    expect(guideVerifies(request, value)).toBe(true);
    expect(standardVerifies(request, standardWebhooks)).toBe(true);
    expect(await tenant.deliveriesOf(id)).toMatchObject([{ id: delivery.id, isTest: true, status: 'ABANDONED' }]);
    expect((await tenant.webhook(id)).health).toMatchObject({
      status: 'HEALTHY',
      consecutiveFailures: 0,
      lastDeliveryAt: null,
      lastFailureAt: null,
      pendingCount: 0,
    });
    expect(receiver.requests).toHaveLength(1);
  });

  it.each([
    ['the type that is asked for', ['ticket.closed'], 'ticket.created', 'ticket.created'],
    ['the first that is no wildcard', ['ticket.*', 'ticket.closed', 'ticket.created'], undefined, 'ticket.closed'],
    ['webhook.test where there are only wildcards', ['ticket.*', '*'], undefined, 'webhook.test'],
  ])('is of %s', async (_, subscribed, asked, expected) => {
    const { tenant, receiver } = scene;
    const { id } = await tenant.createWebhook(receiver.url, subscribed);
    expect((await tenant.sendTest(id, asked)).delivery).toMatchObject({ eventType: expected, status: 'DELIVERED' });
    expect(header(receiver.requests[0]!, 'x-alga-event-type')).toBe(expected);
    await tenant.remove(id);
  });

  it('has no data where the type has no example', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type]);
    await tenant.sendTest(id);
    expect(dataOf(receiver.requests[0]!)).toEqual({});
  });

  it('of an unknown type is refused and not sent', async () => {
    const { tenant, receiver } = scene;
    const { id } = await tenant.createWebhook(receiver.url, ['ticket.created']);
    expect(await tenant.sendTest(id, 'no.such.type')).toEqual({ code: 'BAD_REQUEST', path: ['eventType'] });
    expect(receiver.requests).toHaveLength(0);
  });

  it.each(['PAUSED', 'DISABLED'])('works on a webhook that is %s', async (status) => {
    const { tenant, receiver } = scene;
    const { id } = await tenant.createWebhook(receiver.url, ['ticket.created']);
    await tenant.update(id, { status });
    expect((await tenant.sendTest(id)).delivery).toMatchObject({ status: 'DELIVERED', attemptCount: 1 });
    expect((await tenant.webhook(id)).status).toBe(status);
  });
});

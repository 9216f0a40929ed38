// oxlint-disable typescript/no-explicit-any -- answers are whatever the queries ask for
import { describe, expect, it } from 'vitest';
import { inboundOf, post } from './harness/inbound.ts';
import { pollFeed } from './harness/feed.ts';
import { until } from './harness/program.ts';
import { useScene } from './harness/scene.ts';
import { standardVerifies } from './harness/verification.ts';

const scene = useScene();
const inbound = () => inboundOf(scene.tenant);

const FORWARDS = `
  query ($id: ID!) { inboundWebhook(id: $id) { forwards(first: 50) { nodes {
    id status isTest eventType requestBody responseStatus webhook { id } event { id }
    inboundWebhook { id } inboundDelivery { id } attempts { number requestHeaders } } } } }`;
const forwardsOf = async (id: string): Promise<any[]> =>
  (await scene.tenant.graphql(FORWARDS, { id })).inboundWebhook.forwards.nodes;

describe('a forward', () => {
  it('carries the request byte for byte, signed with a key of its own, under the ids of the inbound direction', async () => {
    const { receiver } = scene;
    const { id, slugUrl, answer } = await inbound().create({ url: receiver.url });
    const body = '{ "b": 1,\n "a": "ü" }';
    const { json } = await post(slugUrl, body, { 'content-type': 'application/json; charset=utf-8' });
    const request = await until('the forward', () => receiver.requests[0]);
    expect(request.body).toBe(body);
    expect(request.headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'x-alga-event-id': json.delivery_id,
      'webhook-id': json.delivery_id,
      'x-alga-webhook-id': id,
      'x-alga-hops': '1',
      'x-alga-delivery-id': expect.stringMatching(/^dlv_/),
    });
    expect(request.headers).not.toHaveProperty('x-alga-event-type');
    const { standardWebhooks } = answer.forwardSigningSecret;
    expect(standardVerifies(request, standardWebhooks)).toBe(true);
    const [handled] = await inbound().reached(id, 'DISPATCHED');
    const forward = await until('the record', async () => {
      const [first] = await forwardsOf(id);
      return first?.status === 'DELIVERED' && first;
    });
    expect(handled.handlerOutcome).toEqual({ forward: forward.id });
    expect(forward).toMatchObject({
      requestBody: body,
      webhook: null,
      event: null,
      inboundWebhook: { id },
      inboundDelivery: { id: json.delivery_id },
      isTest: false,
      eventType: '',
    });
    const told = (await pollFeed(scene.program, null)).find(({ deliveryId }) => deliveryId === forward.id);
    expect(told).toMatchObject({ webhookId: id, status: 'DELIVERED' });
    const { deliveryEvents } = await scene.tenant.graphql(
      `query ($id: ID!) { deliveryEvents(filter: { webhookId: $id }) { events { deliveryId eventId } } }`,
      { id },
    );
    expect(deliveryEvents.events).toEqual([{ deliveryId: forward.id, eventId: json.delivery_id }]);
  });

  it('that is answered with 410 is abandoned alone: the webhook goes on receiving, and forwarding', async () => {
    const { receiver } = scene;
    const { id, slugUrl } = await inbound().create({ url: receiver.url });
    receiver.answer = () => ({ status: 410 });
    await post(slugUrl, '{"n":1}');
    await until('the end', async () => (await forwardsOf(id))[0]?.status === 'ABANDONED');
    receiver.answer = () => ({ status: 200 });
    expect(await post(slugUrl, '{"n":2}')).toMatchObject({ status: 200 });
    await until('the next', async () => (await forwardsOf(id))[0].status === 'DELIVERED');
    expect(receiver.requests.map(({ body }) => body)).toEqual(['{"n":1}', '{"n":2}']);
  });

  it('is told in the feed under the name that its webhook has then', async () => {
    const { id, slugUrl } = await inbound().create({ url: scene.receiver.url, name: 'Before' });
    const names = async (): Promise<string[]> =>
      (await pollFeed(scene.program, null)).filter((one) => one.webhookId === id).map((one) => one.webhookName);
    await post(slugUrl, '{"n":1}');
    await until('the first', async () => (await names()).length === 1);
    await inbound().update(id, { name: 'After' });
    await post(slugUrl, '{"n":2}');
    await until('the second', async () => (await names()).length === 2);
    expect(await names()).toEqual(['Before', 'After']);
  });

  it('is retried like any delivery, and ends when the webhook loses its address or goes', async () => {
    const { receiver } = scene;
    receiver.answer = () => ({ status: 503, headers: { 'retry-after': '1' } });
    const { id, slugUrl } = await inbound().create({
      url: receiver.url,
      eventTypeSource: { type: 'HEADER', value: 'X-Type' },
    });
    await post(slugUrl, '{"n":1}', { 'x-type': 'order.paid' });
    await until('two attempts', () => receiver.requests.length >= 2);
    expect(receiver.requests[1]!.headers).toMatchObject({
      'x-alga-event-type': 'order.paid',
      'x-alga-delivery-attempt': '2',
    });
    await inbound().update(id, { url: '' });
    await until('the end', async () => (await forwardsOf(id))[0].status === 'CANCELLED');
    expect(
      await scene.tenant.graphql('query ($id: ID!) { deliveries(filter: { inboundWebhookId: $id }) { totalCount } }', {
        id,
      }),
    ).toEqual({ deliveries: { totalCount: 1 } });

    const other = await inbound().create({ url: receiver.url });
    await post(other.slugUrl, '{"n":2}');
    await until('an attempt', async () => (await forwardsOf(other.id))[0]?.attempts.length > 0);
    const [{ id: forwardId }] = await forwardsOf(other.id);
    await inbound().remove(other.id);
    await until('its end', async () => {
      const { delivery } = await scene.tenant.graphql(
        'query ($id: ID!) { delivery(id: $id) { status inboundWebhook { id } } }',
        { id: forwardId },
      );
      return delivery.status === 'CANCELLED' && delivery.inboundWebhook === null;
    });
  });

  it('goes to no private address: what it is to be sent to is checked when it is saved', async () => {
    const refused = await inbound().tryCreate({
      name: 'x',
      url: 'http://10.0.0.1/',
      auth: { type: 'HMAC', config: { header: 'X' } },
    });
    expect(refused).toMatchObject({ code: 'BAD_REQUEST', path: ['input', 'url'] });
  });

  it('is left out for types that the allowlist lacks; tests are forwarded too, as tests, by paused webhooks as well', async () => {
    const { receiver } = scene;
    const { id, slugUrl } = await inbound().create({
      url: receiver.url,
      events: ['A.B'],
      eventTypeSource: { type: 'JSONATA', value: 'kind' },
    });
    await post(slugUrl, '{"kind":"other"}');
    await inbound().reached(id, 'IGNORED');
    await inbound().update(id, { status: 'PAUSED' });
    const { delivery } = await inbound().test(id, { kind: 'a.b' });
    expect(delivery).toMatchObject({ isTest: true, dispatchStatus: 'DISPATCHED' });
    await until('the forward', () => receiver.requests.length === 1);
    expect(await forwardsOf(id)).toEqual([expect.objectContaining({ isTest: true, eventType: 'a.b' })]);
  });
});

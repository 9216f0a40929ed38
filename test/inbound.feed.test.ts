import { createClient } from 'graphql-ws';
import { beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { inboundOf, post } from './harness/inbound.ts';
import { API_KEY, until } from './harness/program.ts';
import { useScene } from './harness/scene.ts';
import { tenantOf } from './harness/tenant.ts';

const scene = useScene();
let inbound: ReturnType<typeof inboundOf>;
beforeAll(() => {
  inbound = inboundOf(scene.tenant);
});

const BATCH = `cursor hasMore events {
  cursor at inboundDeliveryId inboundWebhookId inboundWebhookName eventType authStatus dispatchStatus responseStatus durationMs isTest
  inboundDelivery { id dispatchStatus requestBody } }`;

// oxlint-disable-next-line typescript/no-explicit-any -- whatever the query asks for
type Event = any;

/** Follows over a WebSocket, telling each batch; ends when `end` is called. */
const follow = (variables: object = {}, key = API_KEY) => {
  const client = createClient({
    url: `${scene.program.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { 'X-API-Key': key },
    retryAttempts: 0,
  });
  const batches: { cursor: string; events: Event[] }[] = [];
  const errors: Event[] = [];
  const query = `subscription ($after: String, $filter: InboundFeedFilter) { inboundFeed(after: $after, filter: $filter) { ${BATCH} } }`;
  const ended = (async () => {
    for await (const result of client.iterate<Record<string, (typeof batches)[0]>>({
      query,
      variables: { ...variables },
    })) {
      if (result.errors) errors.push(...result.errors);
      else batches.push(result.data!['inboundFeed']!);
    }
  })().catch((thrown: unknown) => void errors.push(...[thrown].flat()));
  return {
    batches,
    errors,
    events: () => batches.flatMap(({ events }) => events),
    /** The subscription stands. */
    stands: () => until('a first batch', () => batches.length > 0 || errors.length > 0),
    end: async () => {
      await client.dispose();
      await ended;
    },
  };
};

const poll = async (after: string | null, filter: object = {}): Promise<Event[]> => {
  const events: Event[] = [];
  for (let cursor = after, more = true; more;) {
    const { inboundEvents } = await scene.tenant.graphql(
      `query ($after: String, $filter: InboundFeedFilter) { inboundEvents(after: $after, first: 7, filter: $filter) { ${BATCH} } }`,
      { after: cursor, filter },
    );
    events.push(...inboundEvents.events);
    ({ cursor, hasMore: more } = inboundEvents);
  }
  return events;
};

describe('the inbound feed', () => {
  it('tells each request and what becomes of it, in order, over WebSocket and by polling alike', async () => {
    const feed = follow();
    await feed.stands();
    const { id, slugUrl } = await inbound.create({ name: 'Told', url: scene.receiver.url, events: ['wanted'] });
    const accepted = await post(slugUrl, '{"type":"wanted","n":1}');
    await post(slugUrl, '{"type":"other"}');
    await post(slugUrl, '{"type":"wanted"}', { 'x-signature': 'wrong' });
    const tested = await inbound.test(id, { type: 'other' });
    await until('the refusal', () => feed.events().some(({ dispatchStatus }) => dispatchStatus === 'REJECTED'));
    await until('the dispatch', () => feed.events().some(({ dispatchStatus }) => dispatchStatus === 'DISPATCHED'));
    await feed.end();

    const ours = feed.events().filter(({ inboundWebhookId }) => inboundWebhookId === id);
    const statuses = (deliveryId: string) =>
      ours
        .filter(({ inboundDeliveryId }) => inboundDeliveryId === deliveryId)
        .map(({ dispatchStatus }) => dispatchStatus);
    expect(statuses(accepted.json.delivery_id)).toEqual(['PENDING', 'DISPATCHED']);
    expect(ours.find(({ inboundDeliveryId }) => inboundDeliveryId === accepted.json.delivery_id)).toMatchObject({
      inboundWebhookName: 'Told',
      eventType: 'wanted',
      authStatus: 'VERIFIED',
      responseStatus: 200,
      isTest: false,
      inboundDelivery: { id: accepted.json.delivery_id, requestBody: { type: 'wanted', n: 1 } },
    });
    expect(ours.find(({ isTest }) => isTest)).toMatchObject({
      inboundDeliveryId: tested.delivery.id,
      dispatchStatus: 'IGNORED',
      authStatus: 'NOT_CHECKED',
    });
    expect(ours.find(({ dispatchStatus }) => dispatchStatus === 'REJECTED')).toMatchObject({
      authStatus: 'REJECTED_SIGNATURE',
      responseStatus: 401,
      eventType: null,
    });
    const key = ({ inboundDeliveryId, dispatchStatus, cursor }: Event) => [inboundDeliveryId, dispatchStatus, cursor];
    expect((await poll(feed.batches[0]!.cursor)).map(key)).toEqual(feed.events().map(key));
  });

  it('goes on from a cursor with nothing missed, and leaves out what a filter does', async () => {
    const { id, slugUrl } = await inbound.create({ rateLimitPerMinute: 60_000 });
    await post(slugUrl, '{"n":"before"}');
    const before = await until('the first', async () => {
      const events = await poll(null, { inboundWebhookId: id });
      return events.length === 1 ? events : null;
    });
    const replies = await Promise.all(Array.from({ length: 120 }, (_, n) => post(slugUrl, `{"n":${n}}`)));
    const feed = follow({ after: before[0]!.cursor, filter: { inboundWebhookId: id } });
    await until('all', () => feed.events().length >= 120);
    await feed.end();
    expect(new Set(feed.events().map(({ inboundDeliveryId }) => inboundDeliveryId))).toEqual(
      new Set(replies.map(({ json }) => json.delivery_id)),
    );
    expect(feed.events()).toHaveLength(120);
    const middle = feed.events()[60]!.cursor;
    const rest = follow({
      after: middle,
      filter: { inboundWebhookId: id, dispatchStatus: ['DISPATCHED'], authStatus: ['VERIFIED'] },
    });
    await until('the rest', () => rest.events().length >= 59);
    await rest.end();
    expect(rest.events().map(({ cursor }) => cursor)).toEqual(
      feed
        .events()
        .slice(61)
        .map(({ cursor }) => cursor),
    );
    expect(await poll(null, { inboundWebhookId: id, dispatchStatus: ['FAILED'] })).toEqual([]);
    expect(await poll(null, { inboundWebhookId: 'nonsense' })).toEqual([]);
  });

  it('is apart from the feed of deliveries, though both share their numbers', async () => {
    const { deliveryEvents } = await scene.tenant.graphql(`{ deliveryEvents(first: 100) { events { webhookId } } }`);
    for (const { webhookId } of deliveryEvents.events) expect(webhookId).toMatch(/^(?:wh|iwh)_/);
    for (const { inboundWebhookId } of await poll(null)) expect(inboundWebhookId).toMatch(/^iwh_/);
  });

  it('refuses cursors that are none, and tells no tenant of another', async () => {
    await expect(poll('nonsense')).rejects.toThrow(/BAD_REQUEST/);
    const feed = follow({ after: 'nonsense' });
    await feed.stands();
    expect(feed.errors[0]).toMatchObject({ extensions: { code: 'BAD_REQUEST' } });
    await feed.end();
    const { tenantCreate } = await scene.tenant.graphql(
      `mutation { tenantCreate(input: { slug: "feed-other" }) { ... on TenantCreateSuccess { secret } } }`,
    );
    const other = tenantOf(scene.program, tenantCreate.secret);
    const { inboundEvents } = await other.graphql(`{ inboundEvents { events { cursor } } }`);
    expect(inboundEvents.events).toEqual([]);
  });
});

// oxlint-disable typescript/no-explicit-any -- answers are whatever the queries ask for
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { inboundOf, post, sign } from './harness/inbound.ts';
import { startTestProgram, until } from './harness/program.ts';
import { useScene } from './harness/scene.ts';

const scene = useScene();
const inbound = () => inboundOf(scene.tenant);
const unique = (): string => randomUUID().slice(0, 8);

const action = (name: string, fieldMapping: object): object => ({
  handler: { type: 'DIRECT_ACTION', action: name, fieldMapping },
});
const ticket = async (externalId: string): Promise<any> => {
  const { tickets } = await scene.tenant.graphql(
    `{ tickets(first: 100) { nodes { id title status priority assignedTo externalId comments { text isInternal } } } }`,
  );
  return tickets.nodes.find((one: any) => one.externalId === externalId);
};

describe('the inbound guide of AlgaPSA', () => {
  it('works as it is printed: the asset of a device, with its whole snapshot', async () => {
    const { slugUrl, id } = await inbound().create({
      name: 'RMM device updates',
      slug: 'rmm-device-updates',
      auth: { type: 'HMAC', config: { header: 'X-RMM-Signature' }, secret: 'replace-with-shared-secret' },
      idempotencySource: { type: 'JSONATA', value: 'event.id' },
      ...action('upsertAssetByExternalId', {
        external_id: 'device.id',
        client_external_id: 'organization.id',
        asset_type: "'workstation'",
        name: 'device.hostname',
        status: 'device.status',
        rmm_snapshot: '$',
      }),
      rateLimitPerMinute: 60,
    });
    expect(slugUrl).toMatch(/\/api\/inbound\/[^/]+\/rmm-device-updates$/);
    const body = JSON.stringify({
      event: { id: unique() },
      organization: { id: 'nobody' },
      device: { id: unique(), hostname: 'pc-1', status: 'online' },
    });
    const headers = { 'x-signature': null, 'x-rmm-signature': sign(body, 'replace-with-shared-secret') };
    const first = await post(slugUrl, body, headers);
    expect(first).toMatchObject({ status: 200, json: { delivery_id: expect.stringMatching(/^idl_/) } });
    const again = await post(slugUrl, body, headers);
    expect(again).toMatchObject({ status: 200, json: { ...first.json, duplicate: true } });
    const [delivery] = await inbound().reached(id, 'DISPATCHED');
    expect(delivery).toMatchObject({
      id: first.json.delivery_id,
      attemptCount: 1,
      handlerOutcome: {
        action: 'upsertAssetByExternalId',
        entity: 'asset',
        operation: 'created',
        notes: [expect.stringContaining('nobody')],
      },
    });
    const { node } = await scene.tenant.graphql(
      `query ($id: ID!) { node(id: $id) { ... on Asset { name assetType status rmmSnapshot client { id } } } }`,
      { id: delivery.handlerOutcome.entityId },
    );
    expect(node).toEqual({
      name: 'pc-1',
      assetType: 'workstation',
      status: 'online',
      rmmSnapshot: JSON.parse(body),
      client: null,
    });
  });
});

describe('a handler', () => {
  it('changes the desk for real, and its events go out with the hops of what came in', async () => {
    const { tenant, receiver } = scene;
    await tenant.createWebhook(receiver.url, ['ticket.created']);
    const { slugUrl, id } = await inbound().create(
      action('createTicket', { title: 'subject', external_id: 'id', priority: '$uppercase(level)' }),
    );
    const externalId = unique();
    await post(slugUrl, JSON.stringify({ id: externalId, subject: 'It burns', level: 'high' }), { 'x-alga-hops': '2' });
    const [delivery] = await inbound().reached(id, 'DISPATCHED');
    expect(delivery.handlerOutcome).toMatchObject({ operation: 'created', events: [expect.stringMatching(/^evt_/)] });
    const request = await until('the event', () => receiver.requests[0]);
    expect(request.headers['x-alga-hops']).toBe('3');
    expect(JSON.parse(request.body)).toMatchObject({
      event_id: delivery.handlerOutcome.events[0],
      event_type: 'ticket.created',
      data: { title: 'It burns' },
    });
    expect(await ticket(externalId)).toMatchObject({ title: 'It burns', priority: 'high' });
  });

  it('handles the requests of a webhook in the order in which they came', async () => {
    const externalId = unique();
    const create = await inbound().create(action('createTicket', { title: 't', external_id: 'id' }));
    await post(create.slugUrl, JSON.stringify({ id: externalId, t: 'zero' }));
    await inbound().reached(create.id, 'DISPATCHED');
    const update = await inbound().create(action('updateTicketByExternalId', { external_id: 'id', title: 't' }));
    for (let n = 1; n <= 40; n++) await post(update.slugUrl, JSON.stringify({ id: externalId, t: `title ${n}` }));
    await inbound().reached(update.id, 'DISPATCHED', 40);
    expect((await ticket(externalId)).title).toBe('title 40');
  });

  it('leaves alone what is not mapped, and what is mapped to nothing', async () => {
    const externalId = unique();
    const create = await inbound().create(
      action('createTicket', { title: 't', external_id: 'id', assigned_to: 'who' }),
    );
    await post(create.slugUrl, JSON.stringify({ id: externalId, t: 'a', who: 'Ann' }));
    await inbound().reached(create.id, 'DISPATCHED');
    const update = await inbound().create(
      action('updateTicketByExternalId', { external_id: 'id', title: 't', assigned_to: 'nowhere.to.be.found' }),
    );
    await post(update.slugUrl, JSON.stringify({ id: externalId, t: 'b' }));
    await inbound().reached(update.id, 'DISPATCHED');
    expect(await ticket(externalId)).toMatchObject({ title: 'b', assignedTo: 'Ann' });
  });

  it('that refuses fails for good, says why and frees the key, so that the sender’s next try counts', async () => {
    const externalId = unique();
    const { slugUrl, id } = await inbound().create({
      ...action('addTicketCommentByExternalId', { external_id: 'id', content: 'text' }),
      idempotencySource: { type: 'JSONATA', value: 'key' },
    });
    const body = JSON.stringify({ key: 'k', id: externalId, text: 'hello' });
    await post(slugUrl, body);
    const [failed] = await inbound().reached(id, 'FAILED');
    expect(failed.handlerOutcome).toMatchObject({ error: expect.stringContaining(externalId) });
    const create = await inbound().create(action('createTicket', { title: 't', external_id: 'id' }));
    await post(create.slugUrl, JSON.stringify({ id: externalId, t: 'now it is there' }));
    await inbound().reached(create.id, 'DISPATCHED');
    expect((await post(slugUrl, body)).json).not.toHaveProperty('duplicate');
    await inbound().reached(id, 'DISPATCHED');
    expect((await post(slugUrl, body)).json).toMatchObject({ duplicate: true });
    expect((await ticket(externalId)).comments).toEqual([{ text: 'hello', isInternal: true }]);
  });

  it('without what it requires fails, and shows what the mapping brought', async () => {
    const { slugUrl, id } = await inbound().create(action('createTicket', { title: 'no.such.field' }));
    await post(slugUrl, '{"a":1}');
    const [failed] = await inbound().reached(id, 'FAILED');
    expect(failed.handlerOutcome).toMatchObject({ action: 'createTicket', mappingErrors: [{ field: 'title' }] });
  });

  it('whose expression never ends fails alone: another webhook is handled meanwhile', async () => {
    const hostile = await inbound().create(action('createTicket', { title: '($f := function($x) { $f($x) }; $f(1))' }));
    const sound = await inbound().create(action('createTicket', { title: 't' }));
    for (let n = 0; n < 3; n++) await post(hostile.slugUrl, '{}');
    await post(sound.slugUrl, '{"t":"x"}');
    await inbound().reached(sound.id, 'DISPATCHED');
    await inbound().reached(hostile.id, 'FAILED', 3);
  });

  it('is cut where an event comes back again and again: at five hops a request is ignored', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const { slugUrl, id } = await inbound().create(action('publishEvent', { type: `'${type}'`, data: '$' }));
    // What hands on what it gets, with the headers that it got.
    receiver.answer = ({ body, headers }) => {
      void post(slugUrl, body, { 'x-alga-hops': (headers['x-alga-hops'] as string | undefined) ?? null });
      return {};
    };
    await tenant.createWebhook(receiver.url, [type]);
    await tenant.publish(type, { n: 1 });
    await inbound().reached(id, 'IGNORED');
    expect(await inbound().reached(id, 'DISPATCHED', 5)).toHaveLength(5);
  });

  it('runs once for a hundred equal requests at once', async () => {
    const { slugUrl, id } = await inbound().create({
      ...action('createTicket', { title: 'key' }),
      idempotencySource: { type: 'HEADER', value: 'X-Key' },
    });
    const key = unique();
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => post(slugUrl, JSON.stringify({ key }), { 'x-key': key })),
    );
    expect(answers.filter(({ json }) => json.duplicate)).toHaveLength(99);
    expect(new Set(answers.map(({ json }) => json.delivery_id)).size).toBe(1);
    await inbound().reached(id, 'DISPATCHED');
    const { tickets } = await scene.tenant.graphql(`{ tickets(first: 100) { nodes { title } } }`);
    expect(tickets.nodes.filter(({ title }: any) => title === key)).toHaveLength(1);
  });
});

describe('what was accepted', () => {
  it('is handled by another process where the one that answered has no worker', async () => {
    const receiver = await startTestProgram(scene.database.url, { HOOKGRAPH_ROLES: 'receiver' });
    try {
      const { slugUrl, id } = await inbound().create(action('createTicket', { title: 't' }));
      const { pathname } = new URL(slugUrl);
      await post(new URL(pathname, receiver.url).href, '{"t":"from elsewhere"}');
      await inbound().reached(id, 'DISPATCHED');
    } finally {
      await receiver.stop();
    }
  });

  it('can be tested and replayed: through the present configuration, linked to its original', async () => {
    const { slugUrl, id } = await inbound().create(action('createTicket', { title: 'missing' }));
    await post(slugUrl, '{"t":"found"}');
    const [failed] = await inbound().reached(id, 'FAILED');
    await inbound().update(id, action('createTicket', { title: 't' }));
    const { delivery } = await inbound().replay(failed.id);
    expect(delivery).toMatchObject({
      dispatchStatus: 'DISPATCHED',
      isReplay: true,
      replayedFrom: { id: failed.id },
      handlerOutcome: { operation: 'created' },
    });
    const tested = await inbound().test(id, { t: 'a test' });
    expect(tested.delivery).toMatchObject({ dispatchStatus: 'DISPATCHED', isTest: true, authStatus: 'NOT_CHECKED' });
  });
});

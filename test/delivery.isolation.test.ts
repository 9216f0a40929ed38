// oxlint-disable typescript/no-explicit-any -- answers are whatever the queries ask for
import { readFile } from 'node:fs/promises';
import { buildSchema, getNamedType, isInputObjectType } from 'graphql';
import type { GraphQLInputType, GraphQLSchema } from 'graphql';
import { beforeAll, describe, expect, it } from 'vitest';
import { decodeId, encodeId, newId } from '../src/platform/ids.ts';
import { bulkOf } from './harness/bulk.ts';
import { runSql } from './harness/database.ts';
import { deskOf } from './harness/desk.ts';
import { followFeed, pollFeed } from './harness/feed.ts';
import { inboundOf, post } from './harness/inbound.ts';
import { until } from './harness/program.ts';
import { useScene } from './harness/scene.ts';
import { tenantOf } from './harness/tenant.ts';
import { workflowOf } from './harness/workflow.ts';
import type { TestTenant } from './harness/tenant.ts';

const scene = useScene();

/** What the first tenant has, and what nobody ever had. */
type Ids = Record<
  | 'tenant'
  | 'key'
  | 'webhook'
  | 'event'
  | 'delivery'
  | 'attempt'
  | 'inboundWebhook'
  | 'inboundDelivery'
  | 'workflow'
  | 'workflowRun'
  | 'operation'
  | 'ticket'
  | 'comment'
  | 'client'
  | 'asset',
  string
>;
let ours: Ids;
let strangerKey: string;
let stranger: TestTenant;
let keys = 0;

beforeAll(async () => {
  strangerKey = (
    await scene.tenant.graphql(
      `mutation { tenantCreate(input: { slug: "stranger" }) { ... on TenantCreateSuccess { secret } } }`,
    )
  ).tenantCreate.secret;
  stranger = tenantOf(scene.program, strangerKey);
});

/** Fills `ours`; answers the idempotency key that was used. */
const prepare = async (): Promise<string> => {
  const { tenant, receiver } = scene;
  const { id } = await tenant.createWebhook(receiver.url, ['ticket.*']);
  const idempotencyKey = `key-${++keys}`;
  await tenant.publish('ticket.created', { ours: true }, { idempotencyKey });
  await tenant.reached(id, 'DELIVERED');
  const desk = await prepareDesk();
  const inbound = await prepareInbound();
  const workflow = await prepareWorkflow();
  const { viewer, events, deliveries } = await tenant.graphql(
    `{ viewer { tenant { id } apiKey { id } } events { nodes { id } } deliveries { nodes { id attempts { id } } } }`,
  );
  ours = {
    tenant: viewer.tenant.id,
    key: viewer.apiKey.id,
    webhook: id,
    event: events.nodes[0].id,
    delivery: deliveries.nodes[0].id,
    attempt: deliveries.nodes[0].attempts[0].id,
    ...inbound,
    ...workflow,
    operation: (await bulkOf(tenant).cancel({ webhookId: id })).id,
    ...desk,
  };
  return idempotencyKey;
};

const prepareInbound = async (): Promise<Pick<Ids, 'inboundWebhook' | 'inboundDelivery'>> => {
  const inbound = inboundOf(scene.tenant);
  const { id, slugUrl } = await inbound.create({ name: 'Ours' });
  const { json } = await post(slugUrl, '{"ours":true}');
  await until('the feed to tell', async () => {
    const { inboundEvents } = await scene.tenant.graphql(
      `query ($id: ID!) { inboundEvents(filter: { inboundWebhookId: $id }) { events { cursor } } }`,
      { id },
    );
    return inboundEvents.events.length > 0;
  });
  return { inboundWebhook: id, inboundDelivery: json.delivery_id };
};

/** Which has run once, for an inbound webhook of its own. */
const prepareWorkflow = async (): Promise<Pick<Ids, 'workflow' | 'workflowRun'>> => {
  const inbound = inboundOf(scene.tenant);
  const workflows = workflowOf(scene.tenant);
  const fieldMapping = { external_id: "'ours'", client_name: "'Ours'" };
  const { id: workflowId } = await workflows.create([
    { name: 'one', action: 'upsertClientByExternalId', fieldMapping },
  ]);
  const { id, slugUrl } = await inbound.create({ name: 'Of a workflow', handler: { type: 'WORKFLOW', workflowId } });
  await post(slugUrl, '{"ours":true}');
  await inbound.reached(id, 'DISPATCHED');
  const [run] = await workflows.runs(workflowId);
  // Free to be deleted by whoever may.
  await inbound.remove(id);
  return { workflow: workflowId, workflowRun: run.id };
};

/** With a ticket that no webhook hears of, so that `receiver` gets what the tests publish and nothing else. */
const prepareDesk = async (): Promise<Pick<Ids, 'ticket' | 'comment' | 'client' | 'asset'>> => {
  const externalId = `ours-${++keys}`;
  const { client } = await deskOf(scene.tenant).upsertClient({ externalId, name: 'Ours' });
  const [ticket, comment, asset] = [newId(), newId(), newId()];
  const execute = (statement: string, values: unknown[]) => runSql(scene.database.url, statement, values);
  const values = [ticket, externalId, decodeId('client', client.id)];
  const tenant = `(select tenant_id from client where external_id = $2)`;
  await execute(
    `insert into ticket (id, tenant_id, number, title, status, priority, client_id, external_id, created_at, updated_at)
     values ($1, ${tenant}, ${keys}, 'Ours', 'open', 'low', $3, $2, now(), now())`,
    values,
  );
  await execute(
    `insert into ticket_comment (id, tenant_id, ticket_id, text, is_internal, created_at)
     values ($1, ${tenant}, $3, 'Ours', true, now())`,
    [comment, externalId, ticket],
  );
  await execute(
    `insert into asset (id, tenant_id, external_id, name, asset_type, status, client_id, created_at, updated_at)
     values ($1, ${tenant}, $2, 'Ours', 'server', 'active', $3, now(), now())`,
    [asset, ...values.slice(1)],
  );
  return {
    ticket: encodeId('ticket', ticket),
    comment: encodeId('ticketComment', comment),
    client: client.id,
    asset: encodeId('asset', asset),
  };
};

/** An id of each kind that nobody ever had. */
const nobodys: Ids = {
  tenant: encodeId('tenant', newId()),
  key: encodeId('apiKey', newId()),
  webhook: encodeId('webhook', newId()),
  event: encodeId('event', newId()),
  delivery: encodeId('delivery', newId()),
  attempt: encodeId('attempt', newId()),
  inboundWebhook: encodeId('inboundWebhook', newId()),
  inboundDelivery: encodeId('inboundDelivery', newId()),
  workflow: encodeId('workflow', newId()),
  workflowRun: encodeId('workflowRun', newId()),
  operation: encodeId('bulkOperation', newId()),
  ticket: encodeId('ticket', newId()),
  comment: encodeId('ticketComment', newId()),
  client: encodeId('client', newId()),
  asset: encodeId('asset', newId()),
};

const error = '... on Error { code message path }';
const started = '... on BulkOperationSuccess { operation { status total } }';

/** Every way to name an object, each used with an id that a stranger has no right to. Root fields by their name. */
const OPERATIONS: Record<string, [kind: keyof Ids, operation: string][]> = {
  node: (Object.keys(nobodys) as (keyof Ids)[]).map((kind) => [
    kind,
    `query ($id: ID!) { it: node(id: $id) { __typename id } }`,
  ]),
  nodes: (['webhook', 'delivery', 'attempt'] as const).map((kind) => [
    kind,
    `query ($id: ID!) { it: nodes(ids: [$id, $id]) { id } }`,
  ]),
  webhook: [['webhook', `query ($id: ID!) { it: webhook(id: $id) { name } }`]],
  event: [['event', `query ($id: ID!) { it: event(id: $id) { data } }`]],
  delivery: [['delivery', `query ($id: ID!) { it: delivery(id: $id) { status } }`]],
  deliveries: [
    ['webhook', `query ($id: ID!) { it: deliveries(filter: { webhookId: $id }) { totalCount nodes { id } } }`],
    ['event', `query ($id: ID!) { it: deliveries(filter: { eventId: $id }) { totalCount nodes { id } } }`],
  ],
  deliveryEvents: [
    ['webhook', `query ($id: ID!) { it: deliveryEvents(filter: { webhookId: $id }) { hasMore events { cursor } } }`],
  ],
  deliveryFeed: [],
  webhookHealthChanged: [], // in health.test.ts
  webhookUpdate: [
    ['webhook', `mutation ($id: ID!) { it: webhookUpdate(id: $id, input: { name: "Mine" }) { __typename ${error} } }`],
    ['webhook', `mutation ($id: ID!) { it: webhookUpdate(id: $id, input: { url: "x" }) { __typename ${error} } }`],
  ],
  webhookDelete: [['webhook', `mutation ($id: ID!) { it: webhookDelete(id: $id) { __typename ${error} } }`]],
  webhookRotateSecret: [
    ['webhook', `mutation ($id: ID!) { it: webhookRotateSecret(id: $id) { __typename ${error} } }`],
  ],
  webhookSendTest: [['webhook', `mutation ($id: ID!) { it: webhookSendTest(id: $id) { __typename ${error} } }`]],
  bulkOperation: [['operation', `query ($id: ID!) { it: bulkOperation(id: $id) { status total } }`]],
  bulkOperationCancel: [
    ['operation', `mutation ($id: ID!) { it: bulkOperationCancel(id: $id) { __typename ${error} } }`],
  ],
  bulkOperationProgress: [], // in bulk.test.ts
  deliveriesRetry: (['webhook', 'inboundWebhook', 'event'] as const).map((kind) => [
    kind,
    `mutation ($id: ID!) { it: deliveriesRetry(filter: { ${kind}Id: $id, status: [DELIVERED] }) { ${started} ${error} } }`,
  ]),
  deliveriesCancel: (['webhook', 'inboundWebhook', 'event'] as const).map((kind) => [
    kind,
    `mutation ($id: ID!) { it: deliveriesCancel(filter: { ${kind}Id: $id }) { ${started} ${error} } }`,
  ]),
  webhookRecover: [
    [
      'webhook',
      `mutation ($id: ID!) { it: webhookRecover(id: $id, since: "2020-01-01T00:00:00Z") { __typename ${error} } }`,
    ],
  ],
  deliveryRetry: [['delivery', `mutation ($id: ID!) { it: deliveryRetry(id: $id) { __typename ${error} } }`]],
  inboundWebhook: [['inboundWebhook', `query ($id: ID!) { it: inboundWebhook(id: $id) { name } }`]],
  inboundDelivery: [['inboundDelivery', `query ($id: ID!) { it: inboundDelivery(id: $id) { requestBody } }`]],
  inboundDeliveries: [
    [
      'inboundWebhook',
      `query ($id: ID!) { it: inboundDeliveries(filter: { inboundWebhookId: $id }) { totalCount nodes { id } } }`,
    ],
  ],
  inboundEvents: [
    [
      'inboundWebhook',
      `query ($id: ID!) { it: inboundEvents(filter: { inboundWebhookId: $id }) { hasMore events { cursor } } }`,
    ],
  ],
  inboundFeed: [], // in inbound.feed.test.ts
  inboundVerify: [
    [
      'inboundWebhook',
      `query ($id: ID!) { it: inboundVerify(input: { inboundWebhookId: $id, body: "", headers: {} }) { valid authStatus reason } }`,
    ],
  ],
  inboundMappingPreview: [
    [
      'inboundWebhook',
      `query ($id: ID!) { it: inboundMappingPreview(input: { action: "createTicket", fieldMapping: { title: "a" }, inboundWebhookId: $id }) {
        output errors { message } } }`,
    ],
  ],
  workflow: [['workflow', `query ($id: ID!) { it: workflow(id: $id) { name } }`]],
  workflowRun: [['workflowRun', `query ($id: ID!) { it: workflowRun(id: $id) { status steps { output } } }`]],
  workflowRuns: [['workflow', `query ($id: ID!) { it: workflowRuns(workflowId: $id) { totalCount nodes { id } } }`]],
  workflowSave: [
    [
      'workflow',
      `mutation ($id: ID!) { it: workflowSave(input: { id: $id, name: "Mine", steps: [
        { name: "a", action: "createTicket", fieldMapping: { title: "'a'" } }] }) { __typename ${error} } }`,
    ],
  ],
  workflowDelete: [['workflow', `mutation ($id: ID!) { it: workflowDelete(id: $id) { __typename ${error} } }`]],
  inboundWebhookCreate: [
    [
      'workflow',
      `mutation ($id: ID!) { it: inboundWebhookCreate(input: { name: "Mine", handler: { type: WORKFLOW, workflowId: $id } }) {
        __typename ${error} } }`,
    ],
  ],
  inboundWebhookUpdate: [
    [
      'inboundWebhook',
      `mutation ($id: ID!) { it: inboundWebhookUpdate(id: $id, input: { name: "Mine" }) { __typename ${error} } }`,
    ],
    [
      'inboundWebhook',
      `mutation ($id: ID!) { it: inboundWebhookUpdate(id: $id, input: { auth: { type: BEARER } }) { __typename ${error} } }`,
    ],
  ],
  inboundWebhookDelete: [
    ['inboundWebhook', `mutation ($id: ID!) { it: inboundWebhookDelete(id: $id) { __typename ${error} } }`],
  ],
  inboundWebhookRotateSecret: [
    ['inboundWebhook', `mutation ($id: ID!) { it: inboundWebhookRotateSecret(id: $id) { __typename ${error} } }`],
  ],
  inboundWebhookRotateForwardSecret: [
    [
      'inboundWebhook',
      `mutation ($id: ID!) { it: inboundWebhookRotateForwardSecret(id: $id) { __typename ${error} } }`,
    ],
  ],
  inboundWebhookCaptureSample: [
    ['inboundWebhook', `mutation ($id: ID!) { it: inboundWebhookCaptureSample(id: $id) { __typename ${error} } }`],
  ],
  inboundWebhookClearSample: [
    ['inboundWebhook', `mutation ($id: ID!) { it: inboundWebhookClearSample(id: $id) { __typename ${error} } }`],
  ],
  inboundWebhookTest: [
    ['inboundWebhook', `mutation ($id: ID!) { it: inboundWebhookTest(id: $id, body: {}) { __typename ${error} } }`],
  ],
  inboundDeliveryReplay: [
    ['inboundDelivery', `mutation ($id: ID!) { it: inboundDeliveryReplay(id: $id) { __typename ${error} } }`],
  ],
  ticket: [['ticket', `query ($id: ID!) { it: ticket(id: $id) { title comments { text } } }`]],
  tickets: [['client', `query ($id: ID!) { it: tickets(filter: { clientId: $id }) { totalCount nodes { id } } }`]],
  asset: [['asset', `query ($id: ID!) { it: asset(id: $id) { name } }`]],
  client: [['client', `query ($id: ID!) { it: client(id: $id) { name } }`]],
  ticketCreate: [
    [
      'client',
      `mutation ($id: ID!) { it: ticketCreate(input: { title: "A", clientId: $id }) { __typename ${error} } }`,
    ],
  ],
  ticketUpdate: [
    ['ticket', `mutation ($id: ID!) { it: ticketUpdate(id: $id, input: { title: "B" }) { __typename ${error} } }`],
    ['ticket', `mutation ($id: ID!) { it: ticketUpdate(id: $id, input: { title: "" }) { __typename ${error} } }`],
    [
      'client',
      `mutation ($id: ID!) { it: ticketUpdate(id: "${nobodys.ticket}", input: { clientId: $id }) { __typename ${error} } }`,
    ],
  ],
  ticketAssign: [
    ['ticket', `mutation ($id: ID!) { it: ticketAssign(id: $id, assignedTo: "x") { __typename ${error} } }`],
  ],
  ticketChangeStatus: [
    ['ticket', `mutation ($id: ID!) { it: ticketChangeStatus(id: $id, status: "open") { __typename ${error} } }`],
  ],
  ticketClose: [['ticket', `mutation ($id: ID!) { it: ticketClose(id: $id) { __typename ${error} } }`]],
  ticketAddComment: [
    ['ticket', `mutation ($id: ID!) { it: ticketAddComment(id: $id, input: { text: "x" }) { __typename ${error} } }`],
  ],
  apiKeyRevoke: [['key', `mutation ($id: ID!) { it: apiKeyRevoke(id: $id) { __typename ${error} } }`]],
};

const answer = (tenant: TestTenant, operation: string, id: string): Promise<unknown> =>
  tenant.graphql(operation, { id }).catch((refused: { response: { errors: unknown } }) => refused.response.errors);

const takesId = (type: GraphQLInputType): boolean => {
  const named = getNamedType(type);
  if (isInputObjectType(named)) return Object.values(named.getFields()).some((field) => takesId(field.type));
  return named.name === 'ID';
};

const fieldsThatTakeIds = (schema: GraphQLSchema): string[] =>
  [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]
    .flatMap((type) => Object.values(type!.getFields()))
    .filter((field) => field.args.some((arg) => takesId(arg.type)))
    .map((field) => field.name);

describe('a tenant', () => {
  it('learns of no object of another, by any operation that takes an id: theirs is like nobody’s', async () => {
    await prepare();
    const schema = buildSchema(await readFile(new URL('../schema.graphql', import.meta.url), 'utf8'));
    expect(Object.keys(OPERATIONS).sort()).toEqual(fieldsThatTakeIds(schema).sort());
    for (const [field, operations] of Object.entries(OPERATIONS)) {
      for (const [kind, operation] of operations) {
        const theirs = await answer(stranger, operation, ours[kind]);
        const never = await answer(stranger, operation, nobodys[kind]);
        expect(theirs, `${field} with a ${kind}`).toEqual(never);
        // Neither is it an answer that everybody gets.
        if (!operation.startsWith('mutation')) {
          expect(await answer(scene.tenant, operation, ours[kind]), `${field} of ours`).not.toEqual(never);
        }
      }
    }
    expect(await scene.tenant.webhook(ours.webhook)).toMatchObject({ status: 'ACTIVE' });
    expect(scene.receiver.requests).toHaveLength(1);
  });

  it('finds nothing of another in its lists, its feed or its types, even with cursors of the other', async () => {
    await prepare();
    const { tenant, receiver, program } = scene;
    const [begin] = (await followFeed(program, null, () => true, strangerKey)).batches;
    const type = await tenant.registerType();
    await tenant.createWebhook(receiver.url, [type]);
    await tenant.publish(type);
    await until('the delivery', () => receiver.requests.length === 2);
    const own = await tenant.graphql(
      `{ ${['webhooks', 'deliveries', 'events', 'apiKeys', 'inboundWebhooks', 'inboundDeliveries', 'tickets', 'clients', 'assets', 'workflows', 'workflowRuns'].map((list) => `${list} { edges { cursor } }`).join(' ')} }`,
    );
    for (const [list, { edges }] of Object.entries<any>(own)) {
      const page = await stranger.graphql(
        `query ($after: String) { it: ${list}(after: $after) { nodes { id } totalCount } }`,
        {
          after: edges[0].cursor,
        },
      );
      if (list !== 'apiKeys') expect(page.it, list).toEqual({ nodes: [], totalCount: 0 });
      const first = await stranger.graphql(`{ it: ${list} { totalCount } }`);
      expect(first.it.totalCount, list).toBe(list === 'apiKeys' ? 1 : 0);
    }
    const { eventTypes } = await stranger.graphql(`{ eventTypes { name } }`);
    expect(eventTypes.map((one: { name: string }) => one.name)).not.toContain(type);
    expect(await stranger.publish(type)).toMatchObject({ code: 'BAD_REQUEST' });

    // The first tenant's feed has moved on; the stranger's has only its own.
    const mine = await stranger.createWebhook(receiver.url, ['ticket.closed']);
    await stranger.publish('ticket.closed');
    const { events } = await followFeed(program, begin!.cursor, (some) => some.length > 0, strangerKey);
    expect(events.map((event) => event.webhookId)).toEqual([mine.id]);
    expect(await pollFeed(program, begin!.cursor, strangerKey)).toEqual(events);
    await stranger.remove(mine.id);
  });

  it('has idempotency keys, subscriptions and wildcards of its own', async () => {
    const event = { idempotencyKey: await prepare() };
    expect(await stranger.publish('ticket.created', { ours: false }, event)).toMatchObject({
      duplicate: false,
      matchedCount: 0,
    });
    expect(await scene.tenant.publish('ticket.created', { ours: true }, event)).toMatchObject({ duplicate: true });
  });
});

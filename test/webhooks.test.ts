import { createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import { Webhook as StandardWebhook } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { webhookSecretScope } from '../src/domain/webhooks/webhooks.ts';
import { checkUpdate } from '../src/domain/webhooks/webhookInput.ts';
import { decodeId, newId } from '../src/platform/ids.ts';
import { startGraphql } from './harness/graphql.ts';
import type { GraphqlHarness } from './harness/graphql.ts';

let harness: GraphqlHarness;
beforeAll(async () => {
  harness = await startGraphql();
});
beforeEach(() => {
  harness.rings.length = 0;
  harness.changedConfigurations.length = 0;
});
afterAll(() => harness.close());

const WEBHOOK = `id name description url eventTypes status isActive verifySsl entityIds payloadFields timeoutSeconds
  retrySchedule maxConcurrency disabledAt disabledReason`;
const SECRET = `signingSecret { value standardWebhooks }`;
const CREATE = `mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) {
  __typename ... on WebhookCreateSuccess { webhook { ${WEBHOOK} createdAt updatedAt } ${SECRET} } ... on Error { code path message } } }`;
const UPDATE = `mutation ($id: ID!, $input: WebhookUpdateInput!) { webhookUpdate(id: $id, input: $input) {
  __typename ... on WebhookUpdateSuccess { webhook { ${WEBHOOK} } } ... on Error { code path message } } }`;
const DELETE = `mutation ($id: ID!) { webhookDelete(id: $id) { __typename ... on WebhookDeleteSuccess { deletedId } ... on Error { code } } }`;
const ROTATE = `mutation ($id: ID!, $overlap: Int) { webhookRotateSecret(id: $id, overlapSeconds: $overlap) {
  __typename ... on WebhookRotateSecretSuccess { previousSecretExpiresAt ${SECRET} } ... on Error { code path } } }`;
const LIST = `query ($first: Int, $after: String, $last: Int, $before: String, $filter: WebhookFilter, $orderBy: WebhookOrder) {
  webhooks(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy) {
    nodes { name } edges { cursor } totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`;

const MINIMAL = { name: 'Orders', url: 'https://example.com/hooks', eventTypes: ['ticket.created'] };

const create = async (input: object = {}, key?: string) =>
  (await harness.post(CREATE, { input: { ...MINIMAL, ...input } }, key)).data.webhookCreate;
const update = async (id: string, input: object, key?: string) =>
  (await harness.post(UPDATE, { id, input }, key)).data.webhookUpdate;
const created = async (input: object = {}, key?: string): Promise<string> =>
  (await create(input, key)).webhook.id as string;

const stored = async (id: string) =>
  (
    await harness.database.sql.query<{ row: string; secret: string; previous_secret: string | null; version: string }>(
      `select webhook::text as row, secret, previous_secret, version from webhook where id = $1`,
      [decodeId('webhook', id)],
    )
  )[0]!;
const open = async (ciphertext: string, id: string): Promise<string> => {
  const [row] = await harness.database.sql.query<{ tenant_id: string }>(`select tenant_id from webhook where id = $1`, [
    decodeId('webhook', id),
  ]);
  return harness.secrets.decrypt(ciphertext, webhookSecretScope(row!.tenant_id, decodeId('webhook', id)!));
};

test('a webhook is created with defaults and a secret that is shown once, in two spellings of the same 32 bytes', async () => {
  const { webhook, signingSecret } = await create();
  expect(webhook).toMatchObject({
    ...MINIMAL,
    description: null,
    status: 'ACTIVE',
    isActive: true,
    verifySsl: true,
    entityIds: [],
    payloadFields: null,
    timeoutSeconds: 10,
    retrySchedule: [60, 300, 1_800, 7_200, 43_200],
    maxConcurrency: 10,
    disabledAt: null,
  });
  expect(signingSecret.value).toMatch(/^[\w-]{43}$/);
  const bytes = Buffer.from(signingSecret.value, 'base64url');
  expect(bytes).toHaveLength(32);
  const signed = new StandardWebhook(signingSecret.standardWebhooks).sign('evt_1', new Date(1_700_000_000_000), '{}');
  expect(signed).toBe(`v1,${createHmac('sha256', bytes).update('evt_1.1700000000.{}').digest('base64')}`);

  const { row, secret } = await stored(webhook.id);
  expect(row).not.toContain(signingSecret.value);
  expect(await open(secret, webhook.id)).toBe(signingSecret.value);
  expect(JSON.stringify(harness.logged)).not.toContain(signingSecret.value);
  const again = await harness.post(
    `query ($id: ID!) { webhook(id: $id) { ${WEBHOOK} } node(id: $id) { id __typename } }`,
    { id: webhook.id },
  );
  expect(again.data.webhook).toEqual({ ...webhook, createdAt: undefined, updatedAt: undefined });
  expect(again.data.node).toEqual({ id: webhook.id, __typename: 'Webhook' });
});

test('created inactive, it is disabled', async () => {
  const { webhook } = await create({ isActive: false });
  expect(webhook).toMatchObject({ status: 'DISABLED', isActive: false });
  expect(webhook.disabledAt).not.toBeNull();
});

test.for<[string, object, string[]]>([
  ['an empty name', { name: '' }, ['input', 'name']],
  ['a blank name', { name: ' \n' }, ['input', 'name']],
  ['a long name', { name: 'x'.repeat(256) }, ['input', 'name']],
  ['a URL that is none', { url: 'example' }, ['input', 'url']],
  ['no event type', { eventTypes: [] }, ['input', 'eventTypes']],
  ['too many event types', { eventTypes: Array.from({ length: 101 }, (_, i) => `a.b${i}`) }, ['input', 'eventTypes']],
  ['a malformed event type', { eventTypes: ['ok', 'Ticket Created'] }, ['input', 'eventTypes', '1']],
  ['a wildcard inside', { eventTypes: ['ticket.*.added'] }, ['input', 'eventTypes', '0']],
  ['a wildcard without its dot', { eventTypes: ['ticket*'] }, ['input', 'eventTypes', '0']],
  ['a long description', { description: 'x'.repeat(2_001) }, ['input', 'description']],
  ['a timeout of nothing', { timeoutSeconds: 0 }, ['input', 'timeoutSeconds']],
  ['a timeout of 31 s', { timeoutSeconds: 31 }, ['input', 'timeoutSeconds']],
  ['too many waits', { retrySchedule: Array.from({ length: 21 }, () => 1) }, ['input', 'retrySchedule']],
  ['a wait of nothing', { retrySchedule: [1, 0] }, ['input', 'retrySchedule', '1']],
  ['a wait of more than a day', { retrySchedule: [86_401] }, ['input', 'retrySchedule', '0']],
  ['no concurrency', { maxConcurrency: 0 }, ['input', 'maxConcurrency']],
  ['a concurrency of 101', { maxConcurrency: 101 }, ['input', 'maxConcurrency']],
  ['an empty entity id', { entityIds: [''] }, ['input', 'entityIds', '0']],
  ['a NUL', { description: 'a\0b' }, ['input', 'description']],
])('%s is refused with its path', async ([, input, path]) => {
  expect(await create(input)).toMatchObject({ __typename: 'ValidationError', code: 'BAD_REQUEST', path });
});

test('any text survives the lists of a webhook', async () => {
  const odd = ['NULL', ' a ', 'a,b', '{"x"}', '\\', "'; drop table webhook; --", 'line\nend', '💥', '"'];
  const { webhook } = await create({ entityIds: odd, payloadFields: odd, retrySchedule: [] });
  expect(webhook).toMatchObject({ entityIds: odd, payloadFields: odd, retrySchedule: [] });
  const { data } = await harness.post(
    `query ($id: ID!) { webhook(id: $id) { entityIds payloadFields retrySchedule } }`,
    { id: webhook.id },
  );
  expect(data.webhook).toEqual({ entityIds: odd, payloadFields: odd, retrySchedule: [] });
});

test('an update changes what is given, resets what is null, and leaves the rest', async () => {
  const full = {
    description: 'd',
    verifySsl: false,
    entityIds: ['a'],
    payloadFields: ['x'],
    timeoutSeconds: 5,
    retrySchedule: [1],
    maxConcurrency: 3,
  };
  const id = await created(full);
  const before = Number((await stored(id)).version);
  expect((await update(id, { name: 'Renamed' })).webhook).toMatchObject({ ...MINIMAL, ...full, name: 'Renamed' });
  expect((await update(id, { payloadFields: [] })).webhook.payloadFields).toEqual([]);
  const nulls = Object.fromEntries([...Object.keys(full), 'isActive', 'status'].map((key) => [key, null]));
  expect((await update(id, nulls)).webhook).toMatchObject({
    name: 'Renamed',
    status: 'ACTIVE',
    description: null,
    verifySsl: true,
    entityIds: [],
    payloadFields: null,
    timeoutSeconds: 10,
    retrySchedule: [60, 300, 1_800, 7_200, 43_200],
    maxConcurrency: 10,
  });
  for (const field of ['name', 'url', 'eventTypes']) {
    expect(await update(id, { [field]: null })).toMatchObject({
      __typename: 'ValidationError',
      path: ['input', field],
    });
  }
  expect(Number((await stored(id)).version)).toBe(before + 3);
  expect(harness.changedConfigurations.filter((changed) => changed === decodeId('webhook', id))).toHaveLength(4);
  expect(harness.rings).toEqual([]);
});

test('two updates at once lose nothing of each other', async () => {
  const id = await created();
  const changes = [
    { name: 'A' },
    { description: 'B' },
    { timeoutSeconds: 7 },
    { maxConcurrency: 9 },
    { entityIds: ['e'] },
    { eventTypes: ['a.b', 'c.*'] },
  ];
  await Promise.all(changes.map((change) => update(id, change)));
  const { data } = await harness.post(`query ($id: ID!) { webhook(id: $id) { ${WEBHOOK} } }`, { id });
  expect(data.webhook).toMatchObject(Object.assign({}, ...changes));
  expect(Number((await stored(id)).version)).toBe(1 + changes.length);
});

test('subscriptions, and the name that the lane knows, follow the webhook', async () => {
  const id = await created({ eventTypes: ['a.b', 'a.b', 'c.*'] });
  const rows = async () => ({
    patterns: (
      await harness.database.sql.query<{ pattern: string }>(
        `select pattern from webhook_subscription where webhook_id = $1 order by 1`,
        [decodeId('webhook', id)],
      )
    ).map(({ pattern }) => pattern),
    lane: (
      await harness.database.sql.query<{ webhook_name: string }>(
        `select webhook_name from lane where webhook_id = $1`,
        [decodeId('webhook', id)],
      )
    )[0]?.webhook_name,
  });
  expect(await rows()).toEqual({ patterns: ['a.b', 'c.*'], lane: 'Orders' });
  await update(id, { eventTypes: ['c.*', '*'], name: 'New' });
  expect(await rows()).toEqual({ patterns: ['*', 'c.*'], lane: 'New' });
  await harness.post(DELETE, { id });
  expect(await rows()).toEqual({ patterns: [], lane: 'New' });
});

test('statuses follow isActive and status, and whoever delivers is rung where something is due, to be cancelled or to be told', async () => {
  const id = await created();
  const uuid = decodeId('webhook', id);
  const ringsAfter = async (input: object, expected: object): Promise<number> => {
    harness.rings.length = 0;
    expect((await update(id, input)).webhook).toMatchObject(expected);
    expect(harness.rings.every((ring) => ring.webhookId === uuid && ring.dueAt === 0)).toBe(true);
    return harness.rings.length;
  };
  expect(await ringsAfter({ isActive: true }, { status: 'ACTIVE' })).toBe(0);
  expect(await ringsAfter({ isActive: false }, { status: 'PAUSED', isActive: false, disabledAt: null })).toBe(1);
  expect(await ringsAfter({ isActive: true }, { status: 'ACTIVE' })).toBe(1);
  expect(
    await ringsAfter({ status: 'DISABLED' }, { status: 'DISABLED', disabledReason: 'Disabled by an update.' }),
  ).toBe(1);
  expect(await ringsAfter({ isActive: true }, { status: 'ACTIVE', disabledAt: null, disabledReason: null })).toBe(1);
  expect(await ringsAfter({ status: 'PAUSED', isActive: false }, { status: 'PAUSED' })).toBe(1);
  expect(await ringsAfter({ status: 'DISABLED', isActive: false }, { status: 'DISABLED' })).toBe(1);
  for (const input of [
    { isActive: true, status: 'PAUSED' },
    { isActive: false, status: 'ACTIVE' },
  ]) {
    expect(await update(id, input)).toMatchObject({ __typename: 'ValidationError', path: ['input', 'status'] });
  }
});

test('what an update asks of the status is one of the three, or a contradiction', () => {
  fc.assert(
    fc.property(
      fc.option(fc.boolean(), { nil: undefined }),
      fc.constantFrom('ACTIVE', 'PAUSED', 'DISABLED', undefined),
      (isActive, status) => {
        const contradicts = isActive !== undefined && status !== undefined && isActive !== (status === 'ACTIVE');
        const check = () =>
          checkUpdate(
            { isActive, status },
            { checkUrl: () => null, checkExpression: async () => null, headerPrefix: 'X-Alga-' },
          ).status;
        if (contradicts) expect(check).toThrow(/contradicts/);
        else expect(check()).toBe(status ?? (isActive === undefined ? null : isActive ? 'ACTIVE' : 'PAUSED'));
      },
    ),
  );
});

const setHealth = (id: string, failures: number, success: string | null, failure: string | null) =>
  harness.database.sql.query(
    `update webhook_health set consecutive_failures = $2, last_success_at = $3, last_failure_at = $4, failing_since = $4,
       last_delivery_at = greatest($3::timestamptz, $4::timestamptz) where webhook_id = $1`,
    [decodeId('webhook', id), failures, success, failure],
  );
const HEALTH = `query ($id: ID!) { webhook(id: $id) { health {
  status consecutiveFailures failingSince lastDeliveryAt lastSuccessAt lastFailureAt pendingCount } } }`;
const health = async (id: string) => (await harness.post(HEALTH, { id })).data.webhook.health;

test('health says how a webhook fares, and enabling it starts a fresh count', async () => {
  const id = await created();
  expect(await health(id)).toEqual({
    status: 'HEALTHY',
    consecutiveFailures: 0,
    failingSince: null,
    lastDeliveryAt: null,
    lastSuccessAt: null,
    lastFailureAt: null,
    pendingCount: 0,
  });
  await setHealth(id, 3, '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z');
  expect(await health(id)).toMatchObject({
    status: 'FAILING',
    consecutiveFailures: 3,
    failingSince: '2026-01-02T00:00:00.000Z',
  });
  await setHealth(id, 3, '2026-01-03T00:00:00Z', '2026-01-02T00:00:00Z');
  expect(await health(id)).toMatchObject({ status: 'HEALTHY' });
  await setHealth(id, 3, null, '2026-01-02T00:00:00Z');
  await update(id, { status: 'DISABLED' });
  expect(await health(id)).toMatchObject({ status: 'DISABLED', consecutiveFailures: 3 });
  await update(id, { isActive: true });
  expect(await health(id)).toMatchObject({
    status: 'HEALTHY',
    consecutiveFailures: 0,
    failingSince: null,
    lastFailureAt: '2026-01-02T00:00:00.000Z',
  });
});

test('rotation: the old secret goes at once, or signs beside the new one for a while; a second rotation ends the first', async () => {
  const { webhook, signingSecret } = await create();
  const rotate = async (overlap?: number) =>
    (await harness.post(ROTATE, { id: webhook.id, ...(overlap !== undefined && { overlap }) })).data
      .webhookRotateSecret;
  const first = await rotate();
  expect(first.previousSecretExpiresAt).toBeNull();
  expect(first.signingSecret.value).not.toBe(signingSecret.value);
  expect((await stored(webhook.id)).previous_secret).toBeNull();

  const second = await rotate(604_800);
  const inDays = (Date.parse(second.previousSecretExpiresAt) - Date.now()) / 86_400_000;
  expect(inDays).toBeGreaterThan(6.99);
  expect(inDays).toBeLessThanOrEqual(7);
  expect(await open((await stored(webhook.id)).previous_secret!, webhook.id)).toBe(first.signingSecret.value);

  const third = await rotate(60);
  expect(await open((await stored(webhook.id)).previous_secret!, webhook.id)).toBe(second.signingSecret.value);
  expect(await open((await stored(webhook.id)).secret, webhook.id)).toBe(third.signingSecret.value);
  for (const overlap of [-1, 604_801]) {
    expect(await rotate(overlap)).toEqual({
      __typename: 'ValidationError',
      code: 'BAD_REQUEST',
      path: ['overlapSeconds'],
    });
  }
});

test('a deleted webhook is gone with its secret, and its lane is rung to cancel what is open', async () => {
  const id = await created();
  const uuid = decodeId('webhook', id);
  expect((await harness.post(DELETE, { id })).data.webhookDelete).toEqual({
    __typename: 'WebhookDeleteSuccess',
    deletedId: id,
  });
  expect(harness.rings.map((ring) => ring.webhookId)).toEqual([uuid]);
  expect(harness.changedConfigurations).toContain(uuid);
  expect(
    (await harness.post('query ($id: ID!) { webhook(id: $id) { id } node(id: $id) { id } }', { id })).data,
  ).toEqual({ webhook: null, node: null });
  expect((await harness.post(DELETE, { id })).data.webhookDelete).toEqual({
    __typename: 'NotFoundError',
    code: 'NOT_FOUND',
  });
  expect(await harness.database.sql.query(`select from webhook_health where webhook_id = $1`, [uuid])).toEqual([]);
});

test('nobody reaches a webhook of another tenant, by any operation', async () => {
  const stranger = await harness.tenant('stranger');
  const id = await created();
  const never = `wh_${'0'.repeat(26)}`;
  for (const [query, variables] of [
    [UPDATE, { input: { name: 'mine now' } }],
    [DELETE, {}],
    [ROTATE, {}],
    ['mutation ($id: ID!) { webhookSendTest(id: $id) { __typename ... on Error { code message } } }', {}],
    ['query ($id: ID!) { webhook(id: $id) { id } node(id: $id) { id } nodes(ids: [$id]) { id } }', {}],
    [
      'query ($id: ID!) { deliveries(filter: { webhookId: $id }) { totalCount } deliveryEvents(filter: { webhookId: $id }) { events { cursor } } }',
      {},
    ],
  ] as const) {
    const [theirs, nothing] = await Promise.all([
      harness.post(query, { id, ...variables }, stranger),
      harness.post(query, { id: never, ...variables }, stranger),
    ]);
    expect(theirs.data).toEqual(nothing.data);
    expect(theirs.errors).toEqual(nothing.errors);
  }
  expect((await harness.post('query ($id: ID!) { webhook(id: $id) { name } }', { id })).data.webhook).toEqual({
    name: 'Orders',
  });
  expect((await harness.post('{ webhooks { totalCount } }', {}, stranger)).data.webhooks.totalCount).toBe(0);
});

test('lists are newest first, filtered, ordered, and paged both ways', async () => {
  const key = await harness.tenant('lister');
  const ids: string[] = [];
  for (const [name, input] of [
    ['delta', { eventTypes: ['ticket.created'] }],
    ['Alpha', { eventTypes: ['ticket.*'], description: '100%_\\ sure' }],
    ['charlie', { eventTypes: ['*'], isActive: false }],
    ['Bravo', { eventTypes: ['invoice.paid'], url: 'https://bravo.example/in' }],
    ['alpha', { eventTypes: ['ticket.comment.*'] }],
  ] as const) {
    ids.push(await created({ name, ...input }, key));
  }
  const list = async (variables: object = {}) => (await harness.post(LIST, variables, key)).data.webhooks;
  const names = async (variables: object = {}) =>
    (await list(variables)).nodes.map((node: { name: string }) => node.name);

  expect(await names()).toEqual(['alpha', 'Bravo', 'charlie', 'Alpha', 'delta']);
  expect(await names({ filter: { eventType: 'ticket.created' } })).toEqual(['charlie', 'Alpha', 'delta']);
  expect(await names({ filter: { eventType: 'ticket.comment.added' } })).toEqual(['alpha', 'charlie', 'Alpha']);
  expect(await names({ filter: { eventType: 'ticket.*' } })).toEqual(['charlie', 'Alpha']);
  expect(await names({ filter: { status: ['DISABLED'] } })).toEqual(['charlie']);
  expect(await names({ filter: { status: [] } })).toEqual([]);
  await setHealth(ids[0]!, 1, '2026-01-03T00:00:00Z', '2026-01-04T00:00:00.000123Z');
  await setHealth(ids[3]!, 0, '2026-01-05T00:00:00Z', null);
  expect(await names({ filter: { health: ['FAILING'] } })).toEqual(['delta']);
  expect(await names({ filter: { health: ['FAILING', 'DISABLED'] } })).toEqual(['charlie', 'delta']);
  expect(await names({ filter: { health: ['HEALTHY'], eventType: 'ticket.x' } })).toEqual(['Alpha']);
  expect(await names({ filter: { search: 'BRAVO' } })).toEqual(['Bravo']);
  expect(await names({ filter: { search: '%_\\' } })).toEqual(['Alpha']);
  expect(await names({ filter: { search: 'example.com/hooks' } })).toHaveLength(4);

  const orders: [object | undefined, string[]][] = [
    [undefined, ['alpha', 'Bravo', 'charlie', 'Alpha', 'delta']],
    [{ field: 'CREATED_AT', direction: 'ASC' }, ['delta', 'Alpha', 'charlie', 'Bravo', 'alpha']],
    [{ field: 'NAME', direction: 'ASC' }, ['Alpha', 'alpha', 'Bravo', 'charlie', 'delta']],
    [{ field: 'NAME', direction: 'DESC' }, ['delta', 'charlie', 'Bravo', 'alpha', 'Alpha']],
    [{ field: 'LAST_DELIVERY_AT', direction: 'DESC' }, ['Bravo', 'delta', 'alpha', 'charlie', 'Alpha']],
    [{ field: 'LAST_DELIVERY_AT', direction: 'ASC' }, ['Alpha', 'charlie', 'alpha', 'delta', 'Bravo']],
  ];
  for (const [orderBy, expected] of orders) {
    for (const size of [1, 2, 3, 5]) {
      const forward: string[] = [];
      let after: string | undefined;
      for (;;) {
        const page = await list({ first: size, orderBy, after });
        forward.push(...page.nodes.map((node: { name: string }) => node.name));
        expect(page.totalCount).toBe(5);
        expect(page.pageInfo.hasPreviousPage).toBe(after !== undefined);
        after = page.pageInfo.endCursor;
        if (!page.pageInfo.hasNextPage) break;
      }
      expect(forward).toEqual(expected);
      const backward: string[] = [];
      let before: string | undefined;
      for (;;) {
        const page = await list({ last: size, orderBy, before });
        backward.unshift(...page.nodes.map((node: { name: string }) => node.name));
        before = page.pageInfo.startCursor;
        if (!page.pageInfo.hasPreviousPage) break;
      }
      expect(backward).toEqual(expected);
    }
  }
  expect((await list({ first: 0 })).nodes).toEqual([]);
});

test('the number of statements does not grow with the page', async () => {
  const key = await harness.tenant('counted');
  const query = `{ webhooks(first: 100) { nodes { name health { status pendingCount lastSuccessAt } } }
    deliveries(first: 100) { nodes { id requestBody webhook { name } event { id data } attempts { id } } } }`;
  const seed = async (): Promise<void> => {
    const id = await created({ name: newId() }, key);
    await harness.post(
      `mutation { eventPublish(input: { type: "ticket.created", data: { a: 1 } }) { __typename } }`,
      {},
      key,
    );
    expect(id).toMatch(/^wh_/);
  };
  await seed();
  await harness.post(query, {}, key);
  const few = await harness.statementsOf(() => harness.post(query, {}, key));
  for (let i = 0; i < 5; i++) await seed();
  const many = await harness.statementsOf(async () => {
    const { data, errors } = await harness.post(query, {}, key);
    expect(errors).toBeUndefined();
    expect(data.webhooks.nodes).toHaveLength(6);
    expect(data.deliveries.nodes.length).toBeGreaterThan(10);
    expect(data.deliveries.nodes[0].event.data).toEqual({ a: 1 });
  });
  expect(many).toBeLessThanOrEqual(few + 1); // the key is looked up once a second
  expect(many).toBeLessThan(15);
});

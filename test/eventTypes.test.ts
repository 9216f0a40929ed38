import { afterAll, beforeAll, expect, test } from 'vitest';
import { compileSchema, isDeeperThan, UnusableSchemaError } from '../src/domain/events/payloadSchema.ts';
import { startGraphql } from './harness/graphql.ts';
import type { GraphqlHarness } from './harness/graphql.ts';

let harness: GraphqlHarness;
beforeAll(async () => {
  harness = await startGraphql();
});
afterAll(() => harness.close());

const REGISTER = `mutation ($input: EventTypeInput!) { eventTypeRegister(input: $input) {
  __typename ... on EventTypeRegisterSuccess { eventType { name description status schema example builtIn } } ... on Error { code path message } } }`;
const PUBLISH = `mutation ($input: EventInput!) { eventPublish(input: $input) {
  __typename ... on EventPublishSuccess { duplicate matchedCount event { id type data entityId occurredAt source } } ... on Error { code path message } } }`;
const PUBLISH_MANY = `mutation ($input: [EventInput!]!) { eventPublishMany(input: $input) {
  __typename ... on EventPublishManySuccess { results { duplicate event { id } } } ... on Error { code path message } } }`;
const LIST = `query ($filter: EventTypeFilter) { eventTypes(filter: $filter) { name status builtIn example description } }`;

const register = async (input: object, key?: string) =>
  (await harness.post(REGISTER, { input: { description: 'Something.', ...input } }, key)).data.eventTypeRegister;
const publish = async (input: object, key?: string) => (await harness.post(PUBLISH, { input }, key)).data.eventPublish;

test('the catalogue has 40 names: the six of tickets are live with an example, the others reserved; and 3 of hookgraph’s own', async () => {
  const { data } = await harness.post(LIST);
  expect(data.eventTypes).toHaveLength(43);
  expect(
    data.eventTypes
      .filter((type: { status: string }) => type.status === 'LIVE')
      .map((type: { name: string }) => type.name),
  ).toEqual([
    'ticket.created',
    'ticket.updated',
    'ticket.status_changed',
    'ticket.assigned',
    'ticket.closed',
    'ticket.comment.added',
    'webhook.failing',
    'webhook.disabled',
    'delivery.abandoned',
  ]);
  for (const { status, example } of data.eventTypes) expect(example === null).toBe(status === 'RESERVED');
  expect(new Set(data.eventTypes.map((type: { description: string }) => type.description)).size).toBe(43);
  const paid = await harness.post(LIST, { filter: { search: 'PAID', status: 'RESERVED' } });
  expect(paid.data.eventTypes.map((type: { name: string }) => type.name)).toEqual(['invoice.paid']);
});

test('a tenant registers its own types, replaces them, and brings reserved ones to life for itself alone', async () => {
  const key = await harness.tenant('registers');
  expect(await publish({ type: 'order.paid', data: {} }, key)).toMatchObject({
    __typename: 'ValidationError',
    path: ['input', 'type'],
    message: expect.stringMatching(/eventTypeRegister/),
  });
  const schema = { type: 'object', required: ['total'], properties: { total: { type: 'number', minimum: 0 } } };
  expect((await register({ name: 'order.paid', schema, example: { total: 3 } }, key)).eventType).toEqual({
    name: 'order.paid',
    description: 'Something.',
    status: 'LIVE',
    schema,
    example: { total: 3 },
    builtIn: false,
  });
  expect(await publish({ type: 'order.paid', data: { total: 5 } }, key)).toMatchObject({
    __typename: 'EventPublishSuccess',
  });
  expect(await publish({ type: 'order.paid', data: { total: -5 } }, key)).toMatchObject({
    __typename: 'ValidationError',
    path: ['input', 'data'],
  });
  expect((await register({ name: 'order.paid', deprecated: true, description: 'Old.' }, key)).eventType).toMatchObject({
    status: 'DEPRECATED',
    schema: null,
  });
  expect(await publish({ type: 'order.paid', data: { total: -5 } }, key)).toMatchObject({
    __typename: 'EventPublishSuccess',
  });

  expect(await publish({ type: 'invoice.paid', data: {} }, key)).toMatchObject({
    __typename: 'ValidationError',
    message: expect.stringMatching(/reserved/),
  });
  expect((await register({ name: 'invoice.paid' }, key)).eventType).toMatchObject({ status: 'LIVE' });
  expect(await publish({ type: 'invoice.paid', data: {} }, key)).toMatchObject({ __typename: 'EventPublishSuccess' });
  expect(await publish({ type: 'invoice.paid', data: {} })).toMatchObject({ __typename: 'ValidationError' });
  const { data } = await harness.post(LIST, {}, key);
  expect(data.eventTypes).toHaveLength(44);
  expect((await harness.post(LIST)).data.eventTypes).toHaveLength(43);

  expect(await register({ name: 'ticket.created' }, key)).toMatchObject({
    __typename: 'ConflictError',
    code: 'CONFLICT',
    path: ['input', 'name'],
  });
  expect(await register({ name: 'webhook.disabled' }, key)).toMatchObject({ __typename: 'ConflictError' });
  expect(await publish({ type: 'webhook.disabled', data: {} }, key)).toMatchObject({
    __typename: 'ValidationError',
    path: ['input', 'type'],
  });
  expect(await register({ name: 'webhook.test' }, key)).toMatchObject({ __typename: 'ConflictError' });
});

test.for<[string, object, string[]]>([
  ['a name in capitals', { name: 'Order.Paid' }, ['input', 'name']],
  ['a name with a wildcard', { name: 'order.*' }, ['input', 'name']],
  ['a long name', { name: 'a'.repeat(129) }, ['input', 'name']],
  ['an empty description', { name: 'a.b', description: '' }, ['input', 'description']],
  ['a schema that is none', { name: 'a.b', schema: { type: 'nonsense' } }, ['input', 'schema']],
  ['a schema that is a list', { name: 'a.b', schema: [] }, ['input', 'schema']],
  ['a remote reference', { name: 'a.b', schema: { $ref: 'https://example.com/schema.json' } }, ['input', 'schema']],
  [
    'another dialect',
    { name: 'a.b', schema: { $schema: 'http://json-schema.org/draft-07/schema#' } },
    ['input', 'schema'],
  ],
  ['a schema of more than 64 KiB', { name: 'a.b', schema: { description: 'x'.repeat(65_536) } }, ['input', 'schema']],
  ['a pattern that RE2 does not take', { name: 'a.b', schema: { pattern: '(?=a)b' } }, ['input', 'schema']],
  ['an example that is no object', { name: 'a.b', example: [1] }, ['input', 'example']],
  ['an example that does not fit', { name: 'a.b', schema: { required: ['x'] }, example: {} }, ['input', 'example']],
])('%s is refused with its path', async ([, input, path]) => {
  expect(await register(input)).toMatchObject({ __typename: 'ValidationError', code: 'BAD_REQUEST', path });
});

test.for<[string, object, string[]]>([
  ['data that is a list', { data: [] }, ['input', 'data']],
  ['data that is text', { data: 'x' }, ['input', 'data']],
  ['data that is too large', { data: { x: 'ä'.repeat(131_072) } }, ['input', 'data']],
  ['an empty idempotency key', { data: {}, idempotencyKey: '' }, ['input', 'idempotencyKey']],
  ['a long idempotency key', { data: {}, idempotencyKey: 'x'.repeat(256) }, ['input', 'idempotencyKey']],
  ['an entity id with NUL', { data: {}, entityId: 'a\0' }, ['input', 'entityId']],
  ['a type that is nothing', { type: '\0', data: {} }, ['input', 'type']],
])('%s is refused with its path, and in a batch with its index', async ([, input, path]) => {
  const event = { type: 'ticket.created', ...input };
  expect(await publish(event)).toMatchObject({ __typename: 'ValidationError', code: 'BAD_REQUEST', path });
  const before = (await harness.post('{ events { totalCount } }')).data.events.totalCount;
  const many = await harness.post(PUBLISH_MANY, { input: [{ type: 'ticket.created', data: {} }, event] });
  expect(many.data.eventPublishMany).toMatchObject({
    __typename: 'ValidationError',
    path: ['input', '1', ...path.slice(1)],
  });
  expect((await harness.post('{ events { totalCount } }')).data.events.totalCount).toBe(before);
});

test('data that is deep enough to exhaust a stack is refused', async () => {
  const response = await fetch(harness.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': 'first-tenant-key-0123456789abcdefghij' },
    body: `{"query": ${JSON.stringify(PUBLISH)}, "variables": {"input": {"type": "ticket.created", "data": {"a": ${'['.repeat(100_000)}${']'.repeat(100_000)}}}}}`,
  });
  expect((await response.json()).data.eventPublish).toMatchObject({
    __typename: 'ValidationError',
    path: ['input', 'data'],
  });
});

test('an idempotency key answers the first result again, and CONFLICT for anything else, with its path', async () => {
  const event = { type: 'ticket.created', data: { a: 1 }, idempotencyKey: 'once', entityId: 'e' };
  const first = await publish(event);
  expect(first).toMatchObject({
    duplicate: false,
    event: { type: 'ticket.created', data: { a: 1 }, entityId: 'e', source: 'api' },
  });
  expect(await publish(event)).toMatchObject({ duplicate: true, event: { id: first.event.id } });
  expect(await publish({ ...event, data: { a: 2 } })).toMatchObject({
    __typename: 'ConflictError',
    code: 'CONFLICT',
    path: ['input', 'idempotencyKey'],
  });
  const many = await harness.post(PUBLISH_MANY, {
    input: [
      { type: 'ticket.closed', data: {} },
      { ...event, data: {} },
    ],
  });
  expect(many.data.eventPublishMany).toMatchObject({
    __typename: 'ConflictError',
    path: ['input', '1', 'idempotencyKey'],
  });
  for (const input of [[], Array.from({ length: 1_001 }, () => event)]) {
    expect((await harness.post(PUBLISH_MANY, { input })).data.eventPublishMany).toMatchObject({
      __typename: 'ValidationError',
      path: ['input'],
    });
  }
});

/** What something takes of this thread's processor: the clock on the wall depends on who else is at work. */
const cpuMsOf = (act: () => void): number => {
  const before = process.threadCpuUsage();
  act();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1_000;
};

test('schemas that would run for ever are stopped, and refused for a while', () => {
  const fanOut = {
    $ref: '#/$defs/a0',
    $defs: Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [
        `a${i}`,
        i === 39 ? { type: 'object' } : { allOf: [{ $ref: `#/$defs/a${i + 1}` }, { $ref: `#/$defs/a${i + 1}` }] },
      ]),
    ),
  };
  const check = compileSchema(JSON.stringify(fanOut));
  expect(cpuMsOf(() => expect(check({}, 2)).toMatch(/too long/))).toBeLessThan(1_000);
  expect(cpuMsOf(() => expect(check({}, 2)).toMatch(/too long/))).toBeLessThan(20);
});

test('patterns run in linear time, and data of its full size is judged quickly', () => {
  const check = compileSchema(JSON.stringify({ properties: { a: { pattern: '^(a+)+$' } } }));
  const data = { a: `${'a'.repeat(50_000)}b` };
  expect(cpuMsOf(() => expect(check(data, 50_010)).toMatch(/does not fit/))).toBeLessThan(1_000);
});

test('one schema never sees the $id of another, and prototypes are no properties', () => {
  const a = compileSchema(JSON.stringify({ $id: 'https://x.example/s', type: 'object' }));
  const b = compileSchema(JSON.stringify({ $id: 'https://x.example/s', required: ['y'] }));
  expect([a({}, 2), b({}, 2)]).toEqual([null, expect.stringMatching(/required/)]);
  expect(compileSchema('{"required":["constructor"]}')({}, 2)).toMatch(/required/);
  expect(() => compileSchema('{"$ref":"https://x.example/s"}')).toThrow(UnusableSchemaError);
});

test('depth is counted without recursion', () => {
  const nested = (depth: number): unknown => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`);
  expect([isDeeperThan(nested(100), 100), isDeeperThan(nested(101), 100), isDeeperThan(nested(200_000), 100)]).toEqual([
    false,
    true,
    true,
  ]);
});

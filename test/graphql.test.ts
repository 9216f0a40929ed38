import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { buildSchema, getIntrospectionQuery, getNamedType, isLeafType, isObjectType } from 'graphql';
import type { GraphQLObjectType, GraphQLOutputType } from 'graphql';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encodeId, ID_PREFIXES, newId } from '../src/platform/ids.ts';
import { FIRST_KEY, startGraphql } from './harness/graphql.ts';
import type { GraphqlHarness } from './harness/graphql.ts';

let harness: GraphqlHarness;
beforeAll(async () => {
  harness = await startGraphql({ server: { allowedOrigins: ['https://dashboard.example'] } });
});
afterAll(() => harness.close());

const codes = (response: { errors: { extensions: { code: string } }[] | undefined }): string[] =>
  (response.errors ?? []).map((error) => error.extensions.code);

const repeated = (count: number, part: (index: number) => string): string =>
  Array.from({ length: count }, (_, i) => part(i)).join(' ');

test.for<[string, string, object, string]>([
  ['a document that does not parse', '{ viewer {', {}, 'GRAPHQL_PARSE_FAILED'],
  ['an unknown field', '{ nothing }', {}, 'GRAPHQL_VALIDATION_FAILED'],
  ['a missing argument', '{ webhook { id } }', {}, 'GRAPHQL_VALIDATION_FAILED'],
  ['a literal that does not fit', '{ webhooks(first: "ten") { totalCount } }', {}, 'BAD_REQUEST'],
  ['an enum value that does not exist', '{ webhooks(filter: { status: [ASLEEP] }) { totalCount } }', {}, 'BAD_REQUEST'],
  ['a number beyond 32 bits', '{ webhooks(first: 99999999999) { totalCount } }', {}, 'BAD_REQUEST'],
  [
    'a variable that does not fit',
    'query ($n: Int) { webhooks(first: $n) { totalCount } }',
    { n: 'ten' },
    'BAD_REQUEST',
  ],
  ['a variable that is missing', 'query ($id: ID!) { webhook(id: $id) { id } }', {}, 'BAD_REQUEST'],
  ['a null where none may be', 'query ($id: ID! = "x") { webhook(id: $id) { id } }', { id: null }, 'BAD_REQUEST'],
  ['a page that is too large', '{ webhooks(first: 101) { totalCount } }', {}, 'BAD_REQUEST'],
  ['a negative page', '{ webhooks(first: -1) { totalCount } }', {}, 'BAD_REQUEST'],
  ['a malformed cursor', '{ webhooks(after: "x") { totalCount } }', {}, 'BAD_REQUEST'],
  [
    'a cursor of another order',
    `{ webhooks(after: "${encodeId('webhook', newId())}", orderBy: { field: NAME, direction: ASC }) { totalCount } }`,
    {},
    'BAD_REQUEST',
  ],
  ['a malformed feed cursor', '{ deliveryEvents(after: "x") { cursor } }', {}, 'BAD_REQUEST'],
  ['text that cannot be stored', '{ webhooks(filter: { search: "a\\u0000b" }) { totalCount } }', {}, 'BAD_REQUEST'],
  [
    'a type filter that cannot be stored',
    '{ deliveries(filter: { eventTypes: ["a\\u0000b"] }) { totalCount } }',
    {},
    'BAD_REQUEST',
  ],
  [
    'a moment that is none',
    'query ($d: DateTime) { events(filter: { range: { from: $d } }) { totalCount } }',
    { d: 'soon' },
    'BAD_REQUEST',
  ],
  ['several operations and no name', 'query A { __typename } query B { __typename }', {}, 'BAD_REQUEST'],
  ['a subscription over HTTP', 'subscription { deliveryFeed { cursor } }', {}, 'BAD_REQUEST'],
  ['thousands of aliases', `{ ${repeated(5_000, (i) => `a${i}: __typename`)} }`, {}, 'QUERY_TOO_COMPLEX'],
  ['a hundred and one aliases', `{ ${repeated(101, (i) => `a${i}: __typename`)} }`, {}, 'QUERY_TOO_COMPLEX'],
  ['many directives', `{ __typename ${repeated(51, () => '@nothing')} }`, {}, 'QUERY_TOO_COMPLEX'],
  ['many fields', `{ ${repeated(3_001, () => '__typename')} }`, {}, 'QUERY_TOO_COMPLEX'],
  ['too many tokens', `{ ${repeated(11_000, () => '__typename')} }`, {}, 'QUERY_TOO_COMPLEX'],
  [
    'deep nesting',
    `{ webhooks ${'{ nodes { deliveries '.repeat(12)} { totalCount } ${'} }'.repeat(12)} }`,
    {},
    'QUERY_TOO_COMPLEX',
  ],
  ['nesting that exhausts a parser', `{ node(id: ${'['.repeat(9_000)}`, {}, 'QUERY_TOO_COMPLEX'],
  [
    'a bomb of fragments',
    `{ ...f0 } ${repeated(30, (i) => `fragment f${i} on Query { ...f${i + 1} ...f${i + 1} }`)} fragment f30 on Query { __typename }`,
    {},
    'QUERY_TOO_COMPLEX',
  ],
  [
    'pages within pages within pages',
    '{ webhooks(first: 100) { nodes { deliveries(first: 100) { nodes { attempts { id number } webhook { name } } } } } }',
    {},
    'QUERY_TOO_COMPLEX',
  ],
  [
    'the same with a negative page beside, which does not make it cheaper',
    '{ a: webhooks(first: -2000000) { totalCount } webhooks(first: 100) { nodes { deliveries(first: 100) { nodes { attempts { id number } webhook { name } } } } } }',
    {},
    'QUERY_TOO_COMPLEX',
  ],
])('%s is %s', async ([, query, variables, code]) => {
  const response = await harness.post(query, variables);
  expect(response.errors).not.toBeUndefined();
  expect(new Set(codes(response))).toEqual(new Set([code]));
});

test('a cycle of fragments is refused by the specification, not by a stack', async () => {
  const response = await harness.post('{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }');
  expect(new Set(codes(response))).toEqual(new Set(['GRAPHQL_VALIDATION_FAILED']));
});

const WEBHOOK = `id name description url eventTypes status isActive verifySsl entityIds payloadFields timeoutSeconds retrySchedule
  maxConcurrency disabledAt disabledReason createdAt updatedAt
  health { status consecutiveFailures failingSince lastDeliveryAt lastSuccessAt lastFailureAt pendingCount }`;
const DELIVERY = `id eventType status isTest attemptCount nextAttemptAt responseStatus durationMs error { code message } requestBody createdAt completedAt`;

test.for<[string, string]>([
  [
    'a page of 100 webhooks with every scalar',
    `{ webhooks(first: 100) { totalCount pageInfo { endCursor } nodes { ${WEBHOOK} } } }`,
  ],
  [
    'a page of 100 deliveries with attempts',
    `{ deliveries(first: 100) { nodes { ${DELIVERY} attempts { id number trigger startedAt durationMs requestHeaders responseStatus responseHeaders responseBody responseTruncated error { code message } } } } }`,
  ],
  [
    'a page of 50 with a nested page of 100',
    `{ webhooks(first: 50) { nodes { ${WEBHOOK} deliveries(first: 100) { nodes { ${DELIVERY} } } } } }`,
  ],
  [
    'the introspection of the playground',
    getIntrospectionQuery({
      descriptions: true,
      inputValueDeprecation: true,
      oneOf: true,
      schemaDescription: true,
      specifiedByUrl: true,
    }),
  ],
])('%s fits', async ([, query]) => {
  const response = await harness.post(query);
  expect(response.errors).toBeUndefined();
});

test('every list fits with every scalar: by pages of 100, and by pages of 50 with any nested list by pages of 100', async () => {
  const types = buildSchema(readFileSync(new URL('../schema.graphql', import.meta.url), 'utf8'));
  const fieldsOf = (type: GraphQLObjectType) => Object.values(type.getFields());
  const nodeOf = (type: GraphQLOutputType): GraphQLObjectType | null => {
    const named = getNamedType(type);
    const nodes = isObjectType(named) && named.name.endsWith('Connection') ? named.getFields()['nodes'] : undefined;
    return nodes === undefined ? null : (getNamedType(nodes.type) as GraphQLObjectType);
  };
  const scalarsOf = (type: GraphQLObjectType): string =>
    fieldsOf(type)
      .flatMap(({ name, type: of }) => (isLeafType(getNamedType(of)) ? [name] : []))
      .join(' ');
  const page = (first: number, inner: string): string =>
    `(first: ${first}) { totalCount pageInfo { hasNextPage endCursor } nodes { ${inner} } }`;
  const queries = fieldsOf(types.getQueryType()!).flatMap(({ name, type }) => {
    const node = nodeOf(type);
    if (node === null) return [];
    const nested = fieldsOf(node).flatMap(({ name: field, type: of }) => {
      const inner = nodeOf(of);
      return inner === null ? [] : [page(50, `${scalarsOf(node)} ${field}${page(100, scalarsOf(inner))}`)];
    });
    return [page(100, scalarsOf(node)), ...nested].map((asked) => `{ ${name}${asked} }`);
  });
  expect(queries.length).toBeGreaterThan(10);
  for (const query of queries) expect((await harness.post(query)).errors, query).toBeUndefined();
});

test('a thousand operations of one key at once are all answered', async () => {
  const answers = await Promise.all(
    Array.from({ length: 1_000 }, () =>
      harness.post('{ webhooks(first: 1) { totalCount } viewer { tenant { slug } } }'),
    ),
  );
  expect(answers.filter(({ errors, status }) => errors !== undefined || status !== 200)).toEqual([]);
});

test('ids that are malformed, of another kind or of nobody are null, never an error', async () => {
  const ids = [
    '',
    'x',
    'wh_',
    'wh_zzz',
    `evt_${'0'.repeat(26)}`,
    'wh_01h455vb4pex5vsknk084sn02q',
    `ten_${'7'.repeat(26)}`,
    'a'.repeat(10_000),
    '\0',
    // The first and the last that there can be, of every kind.
    ...Object.values(ID_PREFIXES).flatMap((prefix) => [`${prefix}_${'0'.repeat(26)}`, `${prefix}_7${'z'.repeat(25)}`]),
  ];
  for (const id of ids) {
    const response = await harness.post(
      `query ($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } webhook(id: $id) { id } event(id: $id) { id } delivery(id: $id) { id }
        deliveries(filter: { webhookId: $id }) { totalCount nodes { id } } ofEvent: deliveries(filter: { eventId: $id }) { totalCount }
        inboundDelivery(id: $id) { id } workflowRun(id: $id) { id } deliveryEvents(filter: { webhookId: $id }) { hasMore } }`,
      { id },
    );
    expect(response.errors, id).toBeUndefined();
    expect(response.data).toMatchObject({
      node: null,
      nodes: [null],
      webhook: null,
      event: null,
      delivery: null,
      deliveries: { totalCount: 0, nodes: [] },
    });
  }
});

test('without a key only the schema can be read, and outside of production only', async () => {
  const anonymous = await harness.post('{ __typename }', {}, null);
  expect([anonymous.status, codes(anonymous)]).toEqual([401, ['UNAUTHORIZED']]);
  expect((await harness.post('{ __schema { queryType { name } } }', {}, null)).errors).toBeUndefined();
  expect(codes(await harness.post('{ __schema { queryType { name } } viewer { tenant { id } } }', {}, null))).toEqual([
    'UNAUTHORIZED',
  ]);
  expect(codes(await harness.post('{ ...on Query { viewer { tenant { id } } } }', {}, null))).toEqual(['UNAUTHORIZED']);
  expect(codes(await harness.post('{ __schema { queryType { name } } }', {}, 'wrong'))).toEqual(['UNAUTHORIZED']);

  const production = await startGraphql({ server: { isProduction: true } });
  try {
    expect(codes(await production.post('{ __schema { queryType { name } } }', {}, null))).toEqual(['UNAUTHORIZED']);
    expect(codes(await production.post('{ not graphql', {}, null))).toEqual(['UNAUTHORIZED']);
    expect((await production.post('{ __schema { queryType { name } } }')).errors).toBeUndefined();
    expect((await production.post('{ webhoks { totalCount } }')).errors![0]!.message).not.toMatch(/did you mean/i);
  } finally {
    await production.close();
  }
});

test('the key may come as X-API-Key or as a bearer token', async () => {
  const bearer = await harness.post('{ viewer { tenant { slug } } }', {}, null, {
    authorization: `Bearer ${FIRST_KEY}`,
  });
  expect(bearer.data).toEqual({ viewer: { tenant: { slug: 'default' } } });
  const wrong = await harness.post('{ viewer { tenant { slug } } }', {}, null, { authorization: 'Bearer nobody' });
  expect([wrong.status, codes(wrong)]).toEqual([401, ['UNAUTHORIZED']]);
});

test('a key without the scope gets FORBIDDEN, which names it, also by node and by nesting', async () => {
  const key = await harness.keyWith('WEBHOOKS_READ');
  for (const [query, scope] of [
    ['{ deliveries { totalCount } }', 'DELIVERIES_READ'],
    ['{ events { totalCount } }', 'DELIVERIES_READ'],
    ['{ deliveryEvents { cursor } }', 'DELIVERIES_READ'],
    ['{ inboundEvents { cursor } }', 'INBOUND_READ or DELIVERIES_READ'],
    ['{ apiKeys { totalCount } }', 'KEYS_MANAGE'],
    ['mutation { webhookDelete(id: "x") { __typename } }', 'WEBHOOKS_WRITE'],
    ['mutation { eventPublish(input: { type: "a", data: {} }) { __typename } }', 'EVENTS_PUBLISH'],
    ['mutation { tenantCreate(input: { slug: "x" }) { __typename } }', 'TENANTS_MANAGE'],
    [`{ node(id: "${encodeId('delivery', newId())}") { id } }`, 'DELIVERIES_READ'],
    [`{ node(id: "${encodeId('apiKey', newId())}") { id } }`, 'KEYS_MANAGE'],
  ] as const) {
    const answer = await harness.post(query, {}, key);
    expect(codes(answer), query).toEqual(['FORBIDDEN']);
    expect(answer.errors![0].message, query).toMatch(new RegExp(`: ${scope}\\.$`));
  }
  expect(
    (await harness.post('{ viewer { apiKey { scopes } } webhooks { totalCount } }', {}, key)).errors,
  ).toBeUndefined();
});

test('what fails unexpectedly is logged once and told as nothing', async () => {
  const broken = await startGraphql({
    services: (services) => ({
      ...services,
      feed: Object.assign(Object.create(services.feed) as typeof services.feed, {
        read: () => Promise.reject(new Error('password=hunter2 in relation "webhook"')),
      }),
    }),
  });
  try {
    const response = await broken.post('{ deliveryEvents { cursor } }');
    expect(codes(response)).toEqual(['INTERNAL_SERVER_ERROR']);
    expect(JSON.stringify(response.errors)).not.toMatch(/hunter2|relation|stack/);
    expect(broken.logged.filter((line) => JSON.stringify(line).includes('hunter2'))).toHaveLength(1);
  } finally {
    await broken.close();
  }
});

test('browsers of other origins, forms and batches are refused', async () => {
  const from = (origin: string, method = 'POST') =>
    fetch(harness.url, {
      method,
      headers: { origin, 'content-type': 'application/json', 'x-api-key': FIRST_KEY },
      ...(method === 'POST' && { body: JSON.stringify({ query: '{ __typename }' }) }),
    });
  const foreign = await from('https://evil.example');
  expect(foreign.status).toBe(403);
  expect(foreign.headers.get('access-control-allow-origin')).toBeNull();
  expect((await foreign.json()).errors[0].extensions.code).toBe('FORBIDDEN');
  expect((await from('null')).status).toBe(403);
  expect((await from('https://evil.example', 'OPTIONS')).status).toBe(403);

  const allowed = await from('https://dashboard.example');
  expect([allowed.status, allowed.headers.get('access-control-allow-origin')]).toEqual([
    200,
    'https://dashboard.example',
  ]);
  const preflight = await from('https://dashboard.example', 'OPTIONS');
  expect(preflight.status).toBe(204);
  expect(preflight.headers.get('access-control-allow-headers')).toMatch(/x-api-key/);
  expect((await from(new URL(harness.url).origin)).status).toBe(200);

  for (const type of ['application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'text/plain']) {
    const response = await fetch(harness.url, {
      method: 'POST',
      headers: { 'content-type': type, 'x-api-key': FIRST_KEY },
      body: 'query={__typename}',
    });
    expect([response.status, (await response.json()).errors[0].extensions.code]).toEqual([415, 'BAD_REQUEST']);
  }
  const batch = await fetch(harness.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': FIRST_KEY },
    body: JSON.stringify([{ query: '{ __typename }' }, { query: '{ __typename }' }]),
  });
  expect(batch.status).toBe(400);
  const byGet = await fetch(
    `${harness.url}?query=${encodeURIComponent('mutation { webhookDelete(id: "x") { __typename } }')}`,
    {
      headers: { 'x-api-key': FIRST_KEY },
    },
  );
  expect([byGet.status, (await byGet.json()).errors[0].extensions.code]).toEqual([405, 'BAD_REQUEST']);
});

test('a body of more than 8 MiB is refused, announced or not, and what its client asks next is answered', async () => {
  const large = Buffer.alloc(8 * 1_024 * 1_024 + 1, ' ');
  const announced = await fetch(harness.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': FIRST_KEY },
    body: large,
  });
  expect([announced.status, (await announced.json()).errors[0].extensions.code]).toEqual([413, 'BAD_REQUEST']);

  const agent = new Agent({ keepAlive: true });
  const inPieces = (...pieces: (string | Buffer)[]): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const sent = request(harness.url, {
        agent,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': FIRST_KEY },
      });
      sent.on('response', (response) => response.resume().on('end', () => resolve(response.statusCode)));
      sent.on('error', reject);
      for (const piece of pieces) sent.write(piece);
      sent.end();
    });
  expect(await inPieces(large.subarray(0, large.length / 2), large.subarray(large.length / 2))).toBe(413);
  expect(await inPieces('{"query":', '"{ viewer { tenant { id } } }"}')).toBe(200);
  agent.destroy();
});

test('the playground is served without reaching for anything outside', async () => {
  const response = await fetch(harness.url, { headers: { accept: 'text/html' } });
  const page = await response.text();
  expect(response.headers.get('content-type')).toMatch(/text\/html/);
  expect(page).toMatch(/X-API-Key/);
  expect(page.match(/<(?:script|link|img)[^>]*(?:src|href)="https?:[^"]*"/g)).toBeNull();
});

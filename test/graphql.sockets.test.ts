import { createClient } from 'graphql-ws';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { eventually } from './harness/eventually.ts';
import { FIRST_KEY, startGraphql } from './harness/graphql.ts';
import type { GraphqlHarness } from './harness/graphql.ts';
import { startProxy } from './harness/proxy.ts';
import type { Proxy } from './harness/proxy.ts';

let harness: GraphqlHarness;
beforeAll(async () => {
  harness = await startGraphql({
    server: { socketLimits: { socketsPerKey: 3, operationsPerSocket: 5, recheckMs: 300 } },
  });
});
afterAll(() => harness.close());

interface Message {
  readonly type: string;
  readonly id?: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- whatever the server sends
  readonly payload?: any;
}

/** A raw client of the protocol: what it gets is queued until a test asks for it. */
class RawClient {
  readonly socket: WebSocket;
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #messages: Message[] = [];
  #wake: (() => void) | null = null;

  constructor(url: string, options: { origin?: string } = {}) {
    this.socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws', options);
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
      this.socket.on('error', () => undefined); // followed by close
    });
    this.socket.on('message', (data: Buffer) => {
      this.#messages.push(JSON.parse(data.toString()) as Message);
      this.#wake?.();
    });
  }

  async send(message: unknown): Promise<void> {
    if (this.socket.readyState === WebSocket.CONNECTING)
      await new Promise((resolve) => this.socket.once('open', resolve));
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  async next(): Promise<Message> {
    while (this.#messages.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#messages.shift()!;
  }

  /** Connects with a key and waits for the acknowledgement. */
  async init(key: string): Promise<this> {
    await this.send({ type: 'connection_init', payload: { 'x-api-key': key } });
    expect((await this.next()).type).toBe('connection_ack');
    return this;
  }

  subscribe(id: string, query: string, variables?: object): Promise<void> {
    return this.send({ id, type: 'subscribe', payload: { query, variables } });
  }

  close(): Promise<unknown> {
    this.socket.close();
    return this.closed;
  }
}

const FEED = 'subscription ($after: String) { deliveryFeed(after: $after) { cursor hasMore events { cursor } } }';

test('a subscription answers at once with a cursor, and its client ends it', async () => {
  const client = createClient({
    url: harness.url.replace('http', 'ws'),
    webSocketImpl: WebSocket,
    connectionParams: { 'X-Api-Key': FIRST_KEY },
  });
  for await (const result of client.iterate({ query: FEED })) {
    expect(result.data).toMatchObject({ deliveryFeed: { events: [], hasMore: false } });
    break;
  }
  await client.dispose();
});

test('queries and mutations work over a socket too, with a bearer token', async () => {
  const client = createClient({
    url: harness.url.replace('http', 'ws'),
    webSocketImpl: WebSocket,
    connectionParams: { Authorization: `Bearer ${FIRST_KEY}` },
  });
  for await (const result of client.iterate({ query: '{ viewer { tenant { slug } } }' })) {
    expect(result.data).toEqual({ viewer: { tenant: { slug: 'default' } } });
  }
  await client.dispose();
});

test('a missing key closes with 4401, a wrong one with 4403, each with a reason', async () => {
  const missing = new RawClient(harness.url);
  await missing.send({ type: 'connection_init' });
  expect(await missing.closed).toEqual({ code: 4401, reason: expect.stringMatching(/API key/) as string });
  const wrong = new RawClient(harness.url);
  await wrong.send({ type: 'connection_init', payload: { 'x-api-key': 'wrong' } });
  expect(await wrong.closed).toEqual({ code: 4403, reason: expect.stringMatching(/not valid/) as string });
  const strange = new RawClient(harness.url);
  await strange.send({ type: 'connection_init', payload: { 'x-api-key': { a: 1 }, authorization: 7 } });
  expect((await strange.closed).code).toBe(4401);
});

test('the errors of an operation have codes and leave the socket open', async () => {
  const client = await new RawClient(harness.url).init(FIRST_KEY);
  const refusals: [string, object | undefined, string][] = [
    ['{ viewer {', undefined, 'GRAPHQL_PARSE_FAILED'],
    ['{ nothing }', undefined, 'GRAPHQL_VALIDATION_FAILED'],
    [`{ ${Array.from({ length: 200 }, (_, i) => `a${i}: __typename`).join(' ')} }`, undefined, 'QUERY_TOO_COMPLEX'],
    ['query ($n: Int!) { webhooks(first: $n) { totalCount } }', { n: 'x' }, 'BAD_REQUEST'],
    [FEED, { after: 'malformed' }, 'BAD_REQUEST'],
    [
      FEED,
      { after: Buffer.from(`01${'ab'.repeat(6)}${'00'.repeat(12)}`, 'hex').toString('base64url') },
      'CURSOR_EXPIRED',
    ],
    ['{ webhooks(first: 1000) { totalCount } }', undefined, 'BAD_REQUEST'],
  ];
  for (const [index, [query, variables, code]] of refusals.entries()) {
    await client.subscribe(String(index), query, variables);
    const message = await client.next();
    const errors = message.type === 'error' ? message.payload : message.payload.errors;
    expect(errors[0].extensions.code, query).toBe(code);
    expect(errors[0].extensions.http).toBeUndefined();
    if (code === 'CURSOR_EXPIRED') expect(errors[0].extensions.resumeAfter).toMatch(/^[\w-]{26}$/);
    if (message.type === 'next') expect((await client.next()).type).toBe('complete');
  }
  await client.subscribe('last', '{ __typename }');
  expect((await client.next()).payload).toEqual({ data: { __typename: 'Query' } });
  await client.close();
});

test('a key without the scope cannot subscribe', async () => {
  const client = await new RawClient(harness.url).init(await harness.keyWith('WEBHOOKS_READ'));
  await client.subscribe('1', FEED);
  const message = await client.next();
  expect((message.type === 'error' ? message.payload : message.payload.errors)[0].extensions.code).toBe('FORBIDDEN');
  await client.close();
});

test('revoking a key closes its sockets within two seconds, and no others', async () => {
  const doomed = await harness.keyWith('DELIVERIES_READ');
  const { data } = await harness.post('{ apiKeys(first: 1) { nodes { id } } }');
  const [kept, cut] = [await new RawClient(harness.url).init(FIRST_KEY), await new RawClient(harness.url).init(doomed)];
  await cut.subscribe('1', FEED);
  expect((await cut.next()).type).toBe('next');
  const since = Date.now();
  const revoked = await harness.post('mutation ($id: ID!) { apiKeyRevoke(id: $id) { __typename } }', {
    id: data.apiKeys.nodes[0].id,
  });
  expect(revoked.data.apiKeyRevoke.__typename).toBe('ApiKeyRevokeSuccess');
  expect((await cut.closed).code).toBe(4403);
  expect(Date.now() - since).toBeLessThan(2_000);
  expect(kept.socket.readyState).toBe(WebSocket.OPEN);
  await kept.close();
});

test('a key that expires while a socket lives closes it', async () => {
  const created = await harness.post(
    'mutation ($input: ApiKeyInput!) { apiKeyCreate(input: $input) { ... on ApiKeyCreateSuccess { secret } } }',
    { input: { name: 'short', scopes: ['DELIVERIES_READ'], expiresAt: new Date(Date.now() + 1_500).toISOString() } },
  );
  const client = await new RawClient(harness.url).init(created.data.apiKeyCreate.secret as string);
  expect((await client.closed).code).toBe(4403);
});

test('sockets per key, operations per socket and the size of a message are bounded', async () => {
  const key = await harness.keyWith('DELIVERIES_READ');
  const clients = [];
  for (let i = 0; i < 3; i++) clients.push(await new RawClient(harness.url).init(key));
  const fourth = new RawClient(harness.url);
  await fourth.send({ type: 'connection_init', payload: { 'x-api-key': key } });
  expect((await fourth.closed).code).toBe(4429);

  const [client, ...others] = clients;
  for (let i = 0; i < 5; i++) {
    await client!.subscribe(`s${i}`, FEED);
    expect((await client!.next()).type).toBe('next');
  }
  await client!.subscribe('s5', FEED);
  const refused = await client!.next();
  expect([refused.type, refused.payload[0].extensions.code]).toEqual(['error', 'RATE_LIMITED']);
  await client!.send({ id: 's0', type: 'complete' });
  await client!.subscribe('s6', FEED);
  expect((await client!.next()).type).toBe('next');

  await client!.send({ id: 'big', type: 'subscribe', payload: { query: `{ __typename } #${'x'.repeat(262_144)}` } });
  expect((await client!.closed).code).toBe(1009);
  await Promise.all(others.map((other) => other.close()));

  // What was closed is not counted any more.
  await eventually(async () => (await new RawClient(harness.url).init(key)).close());
});

test('pages of other origins cannot open a socket', async () => {
  const foreign = new RawClient(harness.url, { origin: 'https://evil.example' });
  expect((await foreign.closed).code).toBe(1006);
  const own = new RawClient(harness.url, { origin: new URL(harness.url).origin });
  await (await own.init(FIRST_KEY)).close();
});

test('when the database hangs, calls fail with SERVICE_UNAVAILABLE within five seconds, and go on when it is back', async () => {
  let proxy!: Proxy;
  const cut = await startGraphql({ reach: async (url) => (proxy = await startProxy(url)).url });
  try {
    expect((await cut.post('{ webhooks { totalCount } }')).errors).toBeUndefined();
    proxy.freeze();
    const since = Date.now();
    const [query, unknownKey] = await Promise.all([
      cut.post('{ webhooks { totalCount } }'),
      cut.post('{ __typename }', {}, 'another'),
    ]);
    for (const response of [query, unknownKey]) {
      expect([response.status, response.errors![0].extensions.code]).toEqual([503, 'SERVICE_UNAVAILABLE']);
    }
    expect(Date.now() - since).toBeLessThan(5_000);
    proxy.cut();
    const refused = await cut.post('{ webhooks { totalCount } }');
    expect(refused.errors![0].extensions.code).toBe('SERVICE_UNAVAILABLE');
    proxy.mend();
    await eventually(async () => expect((await cut.post('{ webhooks { totalCount } }')).errors).toBeUndefined());
  } finally {
    proxy.mend();
    await cut.close();
    await proxy.close();
  }
}, 40_000);

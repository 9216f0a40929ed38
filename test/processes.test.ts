import { createClient } from 'graphql-ws';
import type { Client } from 'graphql-ws';
import { Client as PgClient } from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { createTestDatabase } from './harness/database.ts';
import type { TestDatabase } from './harness/database.ts';
import { API_KEY, spawnProgram, startTestProgram, until } from './harness/program.ts';
import type { TestProgram } from './harness/program.ts';
import { startReceiver } from './harness/receiver.ts';
import type { Receiver } from './harness/receiver.ts';

let database: TestDatabase;
let receiver: Receiver;
const running: { stop(): Promise<void> }[] = [];

beforeEach(async () => {
  database = await createTestDatabase();
  receiver = await startReceiver();
});
afterEach(async () => {
  for (const program of running.splice(0).reverse()) await program.stop();
  await receiver.close();
  await database.drop();
});

const start = async (more: Record<string, string> = {}): Promise<TestProgram> => {
  const program = await startTestProgram(database.url, more);
  running.push(program);
  return program;
};

const spawn = async (more: Record<string, string> = {}): ReturnType<typeof spawnProgram> => {
  const program = await spawnProgram(database.url, more);
  running.push(program);
  return program;
};

const createWebhook = async (program: TestProgram, more: object = {}): Promise<string> => {
  const { webhookCreate } = await program.graphql(
    `mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) {
       ... on WebhookCreateSuccess { webhook { id } } ... on Error { message path } } }`,
    { input: { name: 'Test', url: receiver.url, eventTypes: ['ticket.*'], maxConcurrency: 20, ...more } },
  );
  if (!webhookCreate.webhook) throw new Error(JSON.stringify(webhookCreate));
  return webhookCreate.webhook.id as string;
};

const publish = async (program: TestProgram, count: number, from = 0): Promise<void> => {
  await program.graphql(
    `mutation ($input: [EventInput!]!) { eventPublishMany(input: $input) {
       ... on EventPublishManySuccess { results { matchedCount } } } }`,
    { input: Array.from({ length: count }, (_, n) => ({ type: 'ticket.created', data: { n: from + n } })) },
  );
};

interface FeedBatch {
  readonly cursor: string;
  readonly events: { readonly cursor: string; readonly deliveryId: string; readonly status: string }[];
  readonly hasMore: boolean;
}

const BATCH = `cursor hasMore events { cursor deliveryId status attemptNumber webhookName eventType }`;

/** Everything in the feed from a cursor on, by polling. */
const poll = async (program: TestProgram, after: string | null): Promise<FeedBatch['events']> => {
  const events: FeedBatch['events'] = [];
  for (let cursor = after, more = true; more;) {
    const { deliveryEvents } = await program.graphql(
      `query ($after: String) { deliveryEvents(after: $after, first: 100) { ${BATCH} } }`,
      { after: cursor },
    );
    events.push(...deliveryEvents.events);
    ({ cursor, hasMore: more } = deliveryEvents);
  }
  return events;
};

const deliveredNumbers = (): Set<number> =>
  new Set(receiver.requests.map((request) => JSON.parse(request.body).data.n as number));

const socketTo = (program: TestProgram): Client =>
  createClient({
    url: `${program.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { 'X-API-Key': API_KEY },
    retryAttempts: 0,
  });

/** Reads the feed over a WebSocket until `enough`. */
const follow = async (
  program: TestProgram,
  after: string | null,
  enough: (batches: readonly FeedBatch[]) => boolean,
): Promise<FeedBatch[]> => {
  const client = socketTo(program);
  const batches: FeedBatch[] = [];
  const subscription = client.iterate<{ deliveryFeed: FeedBatch }>({
    query: `subscription ($after: String) { deliveryFeed(after: $after) { ${BATCH} } }`,
    variables: { after },
  });
  for await (const { data, errors } of subscription) {
    if (errors) throw new Error(JSON.stringify(errors));
    batches.push(data!.deliveryFeed);
    if (enough(batches)) break;
  }
  await client.dispose();
  return batches;
};

const eventsOf = (batches: readonly FeedBatch[]): FeedBatch['events'] => batches.flatMap((batch) => batch.events);

describe('the live feed over a WebSocket', () => {
  it('begins at once with a cursor, tells every attempt once, and goes on from any cursor after a restart', async () => {
    const first = await start();
    await createWebhook(first);
    const [begin] = await follow(first, null, () => true);
    expect(begin).toMatchObject({ events: [], hasMore: false });
    const reading = follow(first, begin!.cursor, (batches) => eventsOf(batches).length >= 50);
    await publish(first, 50);
    const events = eventsOf(await reading);
    expect(new Set(events.map((event) => event.deliveryId)).size).toBe(50);
    expect(events.every((event) => event.status === 'DELIVERED')).toBe(true);
    await first.stop();
    running.pop();

    const second = await start();
    expect((await poll(second, begin!.cursor)).map((event) => event.cursor)).toEqual(
      events.map((event) => event.cursor),
    );
    await publish(second, 10, 50);
    for (const at of [0, 17, 49]) {
      const rest = await follow(second, events[at]!.cursor, (batches) => eventsOf(batches).length >= 59 - at);
      expect(eventsOf(rest).slice(0, 49 - at)).toEqual(events.slice(at + 1));
    }
  });
});

describe('roles in processes of their own', () => {
  it('deliver, and tell the process that has the subscriber', async () => {
    const api = await start({ HOOKGRAPH_ROLES: 'api' });
    await start({ HOOKGRAPH_ROLES: 'worker' });
    await createWebhook(api);
    const [begin] = await follow(api, null, () => true);
    const reading = follow(api, begin!.cursor, (batches) => eventsOf(batches).length >= 20);
    await publish(api, 20);
    expect(eventsOf(await reading)).toHaveLength(20);
    expect(deliveredNumbers().size).toBe(20);
  });

  it('lose nothing when a worker is killed in the midst: another delivers, and the feed tells all', async () => {
    receiver.answer = () => ({ delayMs: 30 });
    const api = await start({ HOOKGRAPH_ROLES: 'api' });
    const victim = await spawn({ HOOKGRAPH_ROLES: 'worker' });
    await createWebhook(api);
    await publish(api, 600);
    await until('the first deliveries', () => receiver.requests.length > 100);
    victim.child.kill('SIGKILL');
    await victim.ended;
    await start({ HOOKGRAPH_ROLES: 'worker' });
    await until('every delivery at the receiver', () => deliveredNumbers().size === 600, 60_000);
    const events = await until(
      'every delivery in the feed',
      async () => {
        const all = await poll(api, null);
        return all.length >= 600 ? all : null;
      },
      20_000,
    );
    expect(new Set(events.map((event) => event.deliveryId)).size).toBe(600);
    const { deliveries } = await api.graphql(`{ deliveries(filter: { status: [DELIVERED] }) { totalCount } }`);
    expect(deliveries.totalCount).toBe(600);
  }, 120_000);
});

describe('a program', () => {
  it('that was killed after it answered delivers what it had committed when it starts again', async () => {
    receiver.answer = () => ({ hang: true });
    const killed = await spawn();
    await createWebhook(killed, { timeoutSeconds: 30 });
    await publish(killed, 50);
    killed.child.kill('SIGKILL');
    await killed.ended;
    receiver.answer = () => ({});
    receiver.requests.length = 0;
    await start();
    await until('everything', () => deliveredNumbers().size === 50, 60_000);
  }, 120_000);

  it('ends with 0 on SIGTERM, after what was under way is recorded', async () => {
    receiver.answer = () => ({ delayMs: 400 });
    const program = await spawn();
    await createWebhook(program);
    await publish(program, 5);
    await until('the requests', () => receiver.requests.length === 5);
    program.child.kill('SIGTERM');
    program.child.kill('SIGTERM');
    expect(await program.ended).toBe(0);
    const again = await start();
    const { deliveries } = await again.graphql(`{ deliveries { nodes { status attemptCount } } }`);
    expect(deliveries.nodes).toEqual(Array.from({ length: 5 }, () => ({ status: 'DELIVERED', attemptCount: 1 })));
    expect(receiver.requests).toHaveLength(5);
  });

  it.each([
    ['a wrong variable', { PORT: 'http' }, /^PORT must be a whole number/],
    ['an unreachable database', { DATABASE_URL: 'postgres://127.0.0.1:1/x' }, /^The database can't be reached/],
    ['another secret key', { HOOKGRAPH_SECRET_KEY: Buffer.alloc(32, 1).toString('base64') }, /^The secret key is not/],
  ])('says in one line what is wrong with %s, and exits with 1', async (_, variables, line) => {
    await (await start()).stop();
    running.pop();
    const message = await spawnProgram(database.url, variables).then(
      () => 'it started',
      (error: Error) => error.message,
    );
    expect(message).toMatch(/^ended with 1: /);
    const output = message.slice('ended with 1: '.length).trim();
    expect(output).toMatch(line);
    expect(output.split('\n')).toHaveLength(1);
  });

  it('refuses a port in use, and a database of a newer version', async () => {
    const program = await start();
    const port = new URL(program.url).port;
    await expect(spawnProgram(database.url, { PORT: port })).rejects.toThrow(/ended with 1: .*in use/s);
    const client = new PgClient({ connectionString: database.url });
    await client.connect();
    await client.query(`insert into mikro_orm_migrations (name) values ('Migration9999Future')`);
    await client.end();
    await expect(spawnProgram(database.url)).rejects.toThrow(/ended with 1: .*newer hookgraph/s);
  });

  it('sends to no private address that it was not allowed, even one that was saved before', async () => {
    const allowed = await start();
    const id = await createWebhook(allowed, { retrySchedule: [] });
    await allowed.stop();
    running.pop();
    const strict = await start({ HOOKGRAPH_ALLOW_TARGETS: '10.9.9.9/32' });
    await publish(strict, 1);
    const delivery = await until('the end', async () => {
      const { deliveries } = await strict.graphql(
        `query ($id: ID!) { deliveries(filter: { webhookId: $id, status: [ABANDONED] }) { nodes { error { code } } } }`,
        { id },
      );
      return deliveries.nodes[0];
    });
    expect(delivery.error.code).toBe('BLOCKED_ADDRESS');
    expect(receiver.requests).toHaveLength(0);
  });
});

import { createClient } from 'graphql-ws';
import { Client as PgClient } from 'pg';
import { describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { CloseEvent } from 'ws';
import { createEmptyDatabase } from './harness/database.ts';
import { followFeed, pollFeed } from './harness/feed.ts';
import { API_KEY, spawnProgram, startTestProgram, until } from './harness/program.ts';
import type { TestProgram } from './harness/program.ts';
import { usePrograms } from './harness/programs.ts';
import { tenantOf } from './harness/tenant.ts';

const scene = usePrograms();

const createWebhook = async (program: TestProgram, more: object = {}): Promise<string> => {
  const { webhookCreate } = await program.graphql(
    `mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) {
       ... on WebhookCreateSuccess { webhook { id } } ... on Error { message path } } }`,
    { input: { name: 'Test', url: scene.receiver.url, eventTypes: ['ticket.*'], maxConcurrency: 20, ...more } },
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

const deliveredNumbers = (): Set<number> =>
  new Set(scene.receiver.requests.map((request) => JSON.parse(request.body).data.n as number));

describe('roles in processes of their own', () => {
  it('deliver, and tell the process that has the subscriber', async () => {
    const api = await scene.start({ HOOKGRAPH_ROLES: 'api' });
    await scene.start({ HOOKGRAPH_ROLES: 'worker' });
    await createWebhook(api);
    const [begin] = (await followFeed(api, null, () => true)).batches;
    const reading = followFeed(api, begin!.cursor, (events) => events.length >= 20);
    await publish(api, 20);
    expect((await reading).events).toHaveLength(20);
    expect(deliveredNumbers().size).toBe(20);
  });

  it('lose nothing when a worker is killed in the midst: another delivers, and the feed tells all', async () => {
    scene.receiver.answer = () => ({ delayMs: 30 });
    const api = await scene.start({ HOOKGRAPH_ROLES: 'api' });
    const victim = await scene.spawn({ HOOKGRAPH_ROLES: 'worker' });
    await createWebhook(api);
    const [begin] = (await followFeed(api, null, () => true)).batches;
    await publish(api, 600);
    await until('the first deliveries', () => scene.receiver.requests.length > 100);
    victim.child.kill('SIGKILL');
    await victim.ended;
    await scene.start({ HOOKGRAPH_ROLES: 'worker' });
    await until('every delivery at the receiver', () => deliveredNumbers().size === 600, 40_000);
    const events = await until('every delivery in the feed', async () => {
      const all = await pollFeed(api, begin!.cursor);
      return all.length >= 600 ? all : null;
    });
    expect(new Set(events.map((event) => event.deliveryId)).size).toBe(600);
    const { deliveries } = await api.graphql(`{ deliveries(filter: { status: [DELIVERED] }) { totalCount } }`);
    expect(deliveries.totalCount).toBe(600);
  }, 120_000);
});

describe('a program', () => {
  it('that was killed after it answered delivers what it had committed when it starts again', async () => {
    scene.receiver.answer = () => ({ hang: true });
    const killed = await scene.spawn();
    await createWebhook(killed, { timeoutSeconds: 30 });
    await publish(killed, 50);
    killed.child.kill('SIGKILL');
    await killed.ended;
    scene.receiver.answer = () => ({});
    scene.receiver.requests.length = 0;
    await scene.start();
    await until('everything', () => deliveredNumbers().size === 50, 60_000);
  }, 120_000);

  it('makes what it needs in an empty database, also when two start on it at once', async () => {
    const empty = await createEmptyDatabase();
    try {
      const [first, second] = await Promise.all([
        startTestProgram(empty.url, { HOOKGRAPH_ROLES: 'api' }),
        spawnProgram(empty.url, { HOOKGRAPH_ROLES: 'worker' }),
      ]);
      try {
        await createWebhook(first);
        await publish(first, 3);
        await until('all', () => deliveredNumbers().size === 3);
      } finally {
        await Promise.all([first.stop(), second.stop()]);
      }
    } finally {
      await empty.drop();
    }
  });

  it('ends with 0 on SIGTERM, after what was under way is recorded', async () => {
    scene.receiver.answer = () => ({ delayMs: 400 });
    const program = await scene.spawn();
    await createWebhook(program);
    await publish(program, 5);
    await until('the requests', () => scene.receiver.requests.length === 5);
    program.child.kill('SIGTERM');
    program.child.kill('SIGTERM');
    expect(await program.ended).toBe(0);
    const again = await scene.start();
    const { deliveries } = await again.graphql(`{ deliveries { nodes { status attemptCount } } }`);
    expect(deliveries.nodes).toEqual(Array.from({ length: 5 }, () => ({ status: 'DELIVERED', attemptCount: 1 })));
    expect(scene.receiver.requests).toHaveLength(5);
  });

  it('sends its subscribers away on SIGTERM, with the cursor to go on from elsewhere, and waits for none of them', async () => {
    const program = await scene.spawn({ HOOKGRAPH_DRAIN_SECONDS: '60' });
    const closed = Promise.withResolvers<CloseEvent>();
    const client = createClient({
      url: program.url.replace('http', 'ws') + '/graphql',
      webSocketImpl: WebSocket,
      connectionParams: { 'x-api-key': API_KEY },
      retryAttempts: 0,
      on: { closed: (event) => closed.resolve(event as CloseEvent) },
    });
    const feed = client.iterate<{ deliveryFeed: { cursor: string } }>({
      query: `subscription { deliveryFeed { cursor } }`,
    });
    const { value } = await feed.next();
    program.child.kill('SIGTERM');
    await expect(feed.next()).rejects.toMatchObject({ code: 1001 });
    expect((await closed.promise).code).toBe(1001);
    expect(await program.ended).toBe(0);
    const again = await scene.start();
    expect(await pollFeed(again, value!.data!.deliveryFeed.cursor)).toEqual([]);
  });

  it.each([
    ['a wrong variable', { PORT: 'http' }, /^PORT must be a whole number/],
    ['an unreachable database', { DATABASE_URL: 'postgres://127.0.0.1:1/x' }, /^The database can't be reached/],
    ['another secret key', { HOOKGRAPH_SECRET_KEY: Buffer.alloc(32, 1).toString('base64') }, /^The secret key is not/],
  ])('says in one line what is wrong with %s, and exits with 1', async (_, variables, line) => {
    await (await scene.start()).stop();
    const message = await spawnProgram(scene.database.url, variables).then(
      () => 'it started',
      (error: Error) => error.message,
    );
    expect(message).toMatch(/^ended with 1: /);
    const output = message.slice('ended with 1: '.length).trim();
    expect(output).toMatch(line);
    expect(output.split('\n')).toHaveLength(1);
  });

  it('refuses a port in use, and a database of a newer version', async () => {
    const program = await scene.start();
    const port = new URL(program.url).port;
    await expect(spawnProgram(scene.database.url, { PORT: port })).rejects.toThrow(/ended with 1: .*in use/s);
    const client = new PgClient({ connectionString: scene.database.url });
    await client.connect();
    await client.query(`insert into mikro_orm_migrations (name) values ('Migration9999Future')`);
    await client.end();
    await expect(spawnProgram(scene.database.url)).rejects.toThrow(/ended with 1: .*newer hookgraph/s);
  });

  it('sends to no private address that it is not allowed any more, be it written or the meaning of a name', async () => {
    const allowed = await scene.start({ HOOKGRAPH_ALLOW_TARGETS: '127.0.0.1/32,::1/128' });
    const ids = [
      await createWebhook(allowed, { retrySchedule: [] }),
      await createWebhook(allowed, { retrySchedule: [], url: scene.receiver.url.replace('127.0.0.1', 'localhost') }),
    ];
    await allowed.stop();
    const strict = await scene.start({ HOOKGRAPH_ALLOW_TARGETS: '10.9.9.9/32' });
    await publish(strict, 1);
    for (const id of ids) {
      const [delivery] = await tenantOf(strict).reached(id, 'ABANDONED');
      expect(delivery).toMatchObject({ attemptCount: 1, responseStatus: null, error: { code: 'BLOCKED_ADDRESS' } });
      expect((await tenantOf(strict).sendTest(id)).delivery.status).toBe('ABANDONED');
    }
    expect(scene.receiver.requests).toHaveLength(0);
  });
});

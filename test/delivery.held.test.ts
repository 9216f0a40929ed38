import { array, assert, asyncProperty, constant, oneof } from 'fast-check';
import { Client } from 'pg';
import { describe, expect, it } from 'vitest';
import { Migration0015NarrowedSubscriptions } from '../migrations/0015-narrowed-subscriptions.ts';
import { schema } from '../mikro-orm.config.ts';
import { newEventRecord } from '../src/domain/events/publisher.ts';
import { writeEvents } from '../src/domain/events/publication.ts';
import { openDatabase } from '../src/platform/database.ts';
import { BEYOND_IDS, decodeId, newId } from '../src/platform/ids.ts';
import { bulkOf } from './harness/bulk.ts';
import { createEmptyDatabase, createTestDatabase, selectSql } from './harness/database.ts';
import { pollFeed } from './harness/feed.ts';
import { startTestProgram, until } from './harness/program.ts';
import type { TestProgram } from './harness/program.ts';
import { useScene } from './harness/scene.ts';
import { stall } from './harness/stall.ts';
import { tenantOf } from './harness/tenant.ts';

const scene = useScene();

const RETRY_LATE = { retrySchedule: [3_600] };

/** What the feed said of each delivery of a webhook, in the order of their first word. */
const toldOf = async (webhookId: string, program: TestProgram = scene.program): Promise<string[][]> => {
  const told = new Map<string, string[]>();
  for (const event of await pollFeed(program, null)) {
    if (event.webhookId !== webhookId) continue;
    told.set(event.deliveryId, [...(told.get(event.deliveryId) ?? []), event.status]);
  }
  return [...told.values()];
};

const told = (webhookId: string, words: readonly string[][], program?: TestProgram): Promise<boolean> =>
  until(`the feed to say ${JSON.stringify(words)}`, async () => {
    const said = await toldOf(webhookId, program);
    if (JSON.stringify(said).length > JSON.stringify(words).length) expect(said).toEqual(words);
    return JSON.stringify(said) === JSON.stringify(words);
  });

/** Publishes in a transaction that stays open until it is released, and of which nobody is told. */
const publishSilently = async (
  databaseUrl: string,
  type: string,
): Promise<{ readonly commit: () => Promise<void> }> => {
  const [{ id: tenantId }] = await selectSql(databaseUrl, 'select id from tenant');
  const database = await openDatabase({ url: databaseUrl, poolSize: 1, schema });
  const written = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const committed = database.transaction(async (sql) => {
    await writeEvents(sql, [newEventRecord(tenantId, 'test', { type, data: {} }, Date.now(), false)]);
    written.resolve();
    await released.promise;
  });
  await Promise.race([written.promise, committed]);
  return {
    commit: async () => {
      released.resolve();
      await committed;
      await database.close();
    },
  };
};

/** A webhook whose one delivery has failed, and waits for long. */
const webhookWithRetry = async (): Promise<{ id: string; type: string }> => {
  const { tenant, receiver } = scene;
  receiver.answer = () => ({ status: 500 });
  const type = await tenant.registerType();
  const { id } = await tenant.createWebhook(receiver.url, [type], RETRY_LATE);
  await tenant.publish(type);
  await tenant.reached(id, 'RETRYING');
  return { id, type };
};

describe('the feed calls held', () => {
  it('what is published by somebody who still saw the webhook active, when all else was told before', async () => {
    const { tenant, receiver, database } = scene;
    const { id, type } = await webhookWithRetry();
    const { release } = await stall(database.url, type, () => tenant.publish(type));
    await tenant.update(id, { status: 'PAUSED' });
    await told(id, [['RETRYING', 'HELD']]);
    await release();
    await told(id, [['RETRYING', 'HELD'], ['HELD']]);
    receiver.answer = () => ({});
    await tenant.update(id, { isActive: true });
    await told(id, [
      ['RETRYING', 'HELD', 'RETRYING'],
      ['HELD', 'PENDING', 'DELIVERED'],
    ]);
  });

  it('what is published by somebody who saw it paused before the rest was told, and commits after that', async () => {
    const { tenant, receiver, database } = scene;
    const answered = Promise.withResolvers<void>();
    receiver.answer = () => ({ status: 500, until: answered.promise });
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], RETRY_LATE);
    await tenant.publish(type);
    await until('a request is under way', () => receiver.requests.length === 1);
    // While it is, nothing is told.
    await tenant.update(id, { status: 'PAUSED' });
    const { release } = await stall(database.url, type, () => tenant.publish(type));
    answered.resolve();
    await told(id, [['RETRYING', 'HELD']]);
    await release();
    await told(id, [['RETRYING', 'HELD'], ['HELD']]);
  });

  it('once what is opened again, or published, before the rest is told', async () => {
    const { tenant, receiver } = scene;
    const answered = Promise.withResolvers<void>();
    const [again, waiting] = [await tenant.registerType(), await tenant.registerType()];
    receiver.answer = ({ body }) => ({ status: 500, ...(body.includes(waiting) && { until: answered.promise }) });
    const { id } = await tenant.createWebhook(receiver.url, [again, waiting], { retrySchedule: [] });
    await tenant.publish(again);
    await tenant.reached(id, 'ABANDONED');
    await tenant.update(id, RETRY_LATE);
    await tenant.publish(waiting);
    await until('a request is under way', () => receiver.requests.length === 2);
    // While it is, nothing is told but by who opens it.
    await tenant.update(id, { status: 'PAUSED' });
    const bulk = bulkOf(tenant);
    await bulk.ended(await bulk.retry({ webhookId: id, status: ['ABANDONED'] }));
    await tenant.publish(again);
    await told(id, [['ABANDONED', 'HELD'], ['HELD']]);
    answered.resolve();
    await told(id, [['ABANDONED', 'HELD'], ['HELD'], ['RETRYING', 'HELD']]);
  });

  it('what somebody published who died before he could ring', async () => {
    const { tenant, database } = scene;
    const { id, type } = await webhookWithRetry();
    const { commit } = await publishSilently(database.url, type);
    await tenant.update(id, { status: 'PAUSED' });
    await told(id, [['RETRYING', 'HELD']]);
    await commit();
    await told(id, [['RETRYING', 'HELD'], ['HELD']]);
  });

  it('the same where the holder of the lane ends in between', async () => {
    const { receiver } = scene;
    const database = await createTestDatabase();
    let program = await startTestProgram(database.url);
    try {
      const tenant = tenantOf(program);
      receiver.answer = () => ({ status: 500 });
      const { id } = await tenant.createWebhook(receiver.url, ['ticket.created'], RETRY_LATE);
      await tenant.publish('ticket.created');
      await tenant.reached(id, 'RETRYING');
      const { commit } = await publishSilently(database.url, 'ticket.created');
      await tenant.update(id, { status: 'PAUSED' });
      await told(id, [['RETRYING', 'HELD']], program);
      await program.stop();
      await commit();
      program = await startTestProgram(database.url);
      await told(id, [['RETRYING', 'HELD'], ['HELD']], program);
    } finally {
      await program.stop();
      await database.drop();
    }
  });

  it('what a recovery makes for a paused webhook, and takes it back when that is resumed', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const since = new Date();
    await tenant.publish(type);
    const { id } = await tenant.createWebhook(receiver.url, [type]);
    await tenant.update(id, { status: 'PAUSED' });
    const bulk = bulkOf(tenant);
    await bulk.ended(await bulk.recover(id, since));
    await told(id, [['HELD']]);
    await tenant.update(id, { isActive: true });
    await told(id, [['HELD', 'PENDING', 'DELIVERED']]);
  });
});

it('the feed takes back what it called held by somebody who still saw the webhook paused, and it is sent', async () => {
  const { tenant, receiver, database } = scene;
  const type = await tenant.registerType();
  const { id } = await tenant.createWebhook(receiver.url, [type]);
  await tenant.update(id, { status: 'PAUSED' });
  await tenant.publish(type);
  const { commit } = await publishSilently(database.url, type);
  await tenant.update(id, { isActive: true });
  await told(id, [['HELD', 'PENDING', 'DELIVERED']]);
  await commit();
  await told(id, [
    ['HELD', 'PENDING', 'DELIVERED'],
    ['HELD', 'PENDING', 'DELIVERED'],
  ]);
});

it('nothing is told as held or taken back twice, and whether all is told is known without another look', async () => {
  const { tenant, receiver, database } = scene;
  const type = await tenant.registerType();
  const { id } = await tenant.createWebhook(receiver.url, [type]);
  await tenant.update(id, { status: 'PAUSED' });
  await tenant.publishMany(Array.from({ length: 3 }, (_, n) => ({ type, data: { n } })));
  const isTold = async (): Promise<boolean> =>
    (
      await selectSql(database.url, 'select status_changes = status_told as told from lane where webhook_id = $1', [
        decodeId('webhook', id),
      ])
    )[0].told;
  await until('all is told', isTold);
  await tenant.update(id, { name: 'Paused' });
  expect(await isTold()).toBe(true);
  await told(id, [['HELD'], ['HELD'], ['HELD']]);
  await tenant.update(id, { isActive: true });
  await tenant.reached(id, 'DELIVERED', 3);
  await until('all is told', isTold);
  for (const words of await toldOf(id)) expect(words).toEqual(['HELD', 'PENDING', 'DELIVERED']);
});

it('who waits to write sees what was committed while he waited', async () => {
  const { receiver } = scene;
  const database = await createTestDatabase();
  const program = await startTestProgram(database.url, { HOOKGRAPH_ROLES: 'api' });
  const somebody = new Client({ connectionString: database.url });
  await somebody.connect();
  try {
    const tenant = tenantOf(program);
    const { id } = await tenant.createWebhook(receiver.url, ['ticket.created']);
    await tenant.publish('ticket.created');
    await somebody.query('begin; lock table delivery_open in exclusive mode');
    const published = tenant.publish('ticket.created');
    await until('publishing waits', async () => (await waitsFor(database.url, 'delivery_open')) > 0);
    await tenant.update(id, { status: 'PAUSED' });
    await somebody.query('commit');
    await published;
    // Nobody works lanes here.
    expect(await selectSql(database.url, 'select is_held from delivery_open order by id')).toEqual([
      { is_held: false },
      { is_held: true },
    ]);
    const [row] = await selectSql(database.url, 'select changes from feed_outbox');
    expect(JSON.parse(row.changes)).toMatchObject([{ s: 'HELD' }]);
  } finally {
    await somebody.end();
    await program.stop();
    await database.drop();
  }
});

const waitsFor = async (databaseUrl: string, table: string): Promise<number> =>
  (
    await selectSql(
      databaseUrl,
      `select count(*)::int as n from pg_locks where relation = $1::regclass and not granted`,
      [table],
    )
  )[0].n;

it('what was told before deliveries knew of it is not told again, and what was not is told', async () => {
  const empty = await createEmptyDatabase();
  const database = await openDatabase({ url: empty.url, poolSize: 1, schema });
  const { sql } = database;
  try {
    await database.orm.migrator.up({ to: Migration0015NarrowedSubscriptions.name });
    const tenantId = newId();
    await sql.query(`insert into tenant (id, slug, name) values ($1, 'one', 'One')`, [tenantId]);
    const [first, second] = [newId(), newId()].toSorted() as [string, string];
    const lanes = [
      ['ACTIVE', null, [false, false], 0, 0],
      ['ACTIVE', first, [true, false], 1, 0],
      ['PAUSED', null, [false, false], 1, 0],
      ['PAUSED', first, [true, false], 1, 0],
      ['PAUSED', BEYOND_IDS, [true, true], 1, 1],
    ] as const;
    const ids = lanes.map(() => newId()).toSorted();
    for (const [index, [status, toldTo]] of lanes.entries()) {
      const id = ids[index]!;
      // Ids are compared alone: the same ones for each webhook, but for their end.
      const open = [first, second].map((one) => `${one.slice(0, -1)}${index}`);
      await sql.query(
        `insert into webhook (id, tenant_id, name, url, event_types, entity_ids, status, timeout_seconds, retry_schedule,
           max_concurrency, secret)
         values ($1, $2, 'W', 'https://example.com/', '{a.b}', '{}', $3, 10, '{}', 10, '')`,
        [id, tenantId, status],
      );
      await sql.query(`insert into lane (webhook_id, tenant_id, webhook_name, held_told_to) values ($1, $2, 'W', $3)`, [
        id,
        tenantId,
        toldTo === first ? open[0] : toldTo,
      ]);
      await sql.query(
        `insert into delivery_open (id, tenant_id, webhook_id, event_id, event_type, next_at, created_at, expires_at)
         select id, $2, $3, id, 'a.b', now(), now(), now() from unnest($1::uuid[]) as t (id)`,
        [open, tenantId, id],
      );
    }
    await database.orm.migrator.up();
    const rows = await sql.query(
      `select array_agg(o.is_held order by o.id) as held, status_changes, status_told
       from lane l join delivery_open o using (webhook_id) group by l.webhook_id order by l.webhook_id`,
    );
    expect(rows).toEqual(
      lanes.map(([, , held, changes, told]) => ({ held, status_changes: changes, status_told: told })),
    );
  } finally {
    await database.close();
    await empty.drop();
  }
});

type Step = 'publish' | 'PAUSED' | 'ACTIVE' | 'DISABLED';

/** What the feed may say of a delivery after what it said before; '' stands for nothing yet. */
const MAY_FOLLOW: Readonly<Record<string, readonly string[]>> = {
  '': ['HELD', 'RETRYING', 'DELIVERED', 'CANCELLED'],
  HELD: ['PENDING', 'RETRYING', 'CANCELLED'],
  PENDING: ['HELD', 'RETRYING', 'DELIVERED', 'CANCELLED'],
  RETRYING: ['HELD', 'CANCELLED'],
  DELIVERED: [],
  CANCELLED: [],
};

it('whatever happens to a webhook and how fast: of each delivery the feed says what may follow, and in the end what is', async () => {
  const { tenant, receiver, program } = scene;
  const type = await tenant.registerType();
  receiver.answer = ({ body }) => ({ status: body.includes('"ok":true') ? 200 : 500 });
  const step = oneof(
    { weight: 3, arbitrary: constant<Step>('publish') },
    { weight: 2, arbitrary: constant<Step>('PAUSED') },
    { weight: 2, arbitrary: constant<Step>('ACTIVE') },
    { weight: 1, arbitrary: constant<Step>('DISABLED') },
  );
  await assert(
    asyncProperty(array(step, { minLength: 3, maxLength: 12 }), async (steps) => {
      // One at a time: never so many failures in a row that the circuit opens.
      const { id } = await tenant.createWebhook(receiver.url, [type], { ...RETRY_LATE, maxConcurrency: 1 });
      for (const one of steps) {
        if (one !== 'publish') await tenant.update(id, { status: one });
        else await tenant.publishMany([true, false].map((ok) => ({ type, data: { ok } })));
      }
      const isSaid = async (): Promise<boolean> => {
        const [deliveries, events] = [await tenant.deliveriesOf(id), await pollFeed(program, null)];
        const last = new Map(events.map(({ deliveryId, status }) => [deliveryId, status]));
        return deliveries.every(({ id: one, status }) => status !== 'PENDING' && last.get(one) === status);
      };
      await until(`the feed to say what is, after ${steps.join(', ')}`, isSaid);
      for (const words of await toldOf(id)) {
        for (const [at, word] of words.entries()) {
          expect(MAY_FOLLOW[words[at - 1] ?? ''], `${steps.join(', ')}: ${words.join(', ')}`).toContain(word);
        }
      }
      await tenant.remove(id);
    }),
    { numRuns: 12 },
  );
}, 120_000);

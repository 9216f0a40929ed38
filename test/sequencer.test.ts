import * as fc from 'fast-check';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { decodeCursor } from '../src/domain/feed/cursor.ts';
import { FeedReader } from '../src/domain/feed/feedReader.ts';
import { DELIVERY_STREAM } from '../src/domain/feed/filter.ts';
import { ensurePartitions, FEED_PARTITION_ROWS } from '../src/domain/retention/partitions.ts';
import { LowWaterMark } from '../src/jobs/lowWaterMark.ts';
import { createOutboxBell, createSequencer } from '../src/jobs/sequencer.ts';
import type { Sequencer } from '../src/jobs/sequencer.ts';
import type { Database } from '../src/platform/database.ts';
import { newId } from '../src/platform/ids.ts';
import { openNotifications } from '../src/platform/notifications.ts';
import type { Notifications } from '../src/platform/notifications.ts';
import { change, freshDatabase, numbers, quietLog, take, until, writeOutbox } from './feedSupport.ts';
import type { FreshDatabase } from './feedSupport.ts';

let fresh: FreshDatabase;
let database: Database;
let notifications: Notifications;
const { log, warnings } = quietLog();
const sequencers: Sequencer[] = [];

beforeAll(async () => {
  fresh = await freshDatabase();
  ({ database } = fresh);
  notifications = await openNotifications(fresh.url, log);
});

afterEach(async () => {
  await Promise.all(sequencers.splice(0).map((sequencer) => sequencer.stop()));
});

afterAll(async () => {
  await notifications.close();
  await fresh.drop();
});

const sequence = (options: Partial<Parameters<typeof createSequencer>[0]> = {}): Sequencer => {
  const sequencer = createSequencer({
    database,
    notifications,
    log,
    onMoved: () => undefined,
    ensurePartitions: () => ensurePartitions(database, Date.now()),
    ...options,
  });
  sequencers.push(sequencer);
  sequencer.start();
  return sequencer;
};

const waiting = async (): Promise<number> =>
  (await database.sql.query<{ count: number }>(`select count(*)::integer as count from feed_outbox`))[0]!.count;

const moved = async (tenantId: string): Promise<number[]> =>
  (
    await database.sql.query<{ changes: string }>(`select changes from feed where tenant_id = $1 order by seq`, [
      tenantId,
    ])
  ).flatMap(({ changes }) => (JSON.parse(changes) as { a: number }[]).map((one) => one.a));

describe('the sequencer', () => {
  test('a subscriber gets all that 30 writers commit out of order, in one order, beside a foreign open transaction', async () => {
    const tenantId = newId();
    const foreign = new Client({ connectionString: fresh.url });
    await foreign.connect();
    await foreign.query(`begin; insert into feed_outbox (tenant_id, changes) values ('${newId()}', '[]')`);

    const reader = new FeedReader({ stream: DELIVERY_STREAM, database, notifications, log });
    const sequencer = sequence({ onMoved: () => reader.poke() });
    const ended = new AbortController();
    const batches = reader.subscribe(tenantId, null, {}, ended.signal);
    await batches.next();

    let number = 0;
    const written: number[] = [];
    const write = async (): Promise<void> => {
      for (let round = 0; round < 20; round++) {
        const changes = Array.from({ length: 1 + (round % 3) }, () => change(number++));
        await database.transaction(async (sql) => {
          await writeOutbox(sql, tenantId, changes);
          await sql.query(`select pg_sleep(random() * 0.02)`);
        });
        written.push(...changes.map((one) => one.a));
        sequencer.poke();
      }
    };
    const writers = Promise.all(Array.from({ length: 30 }, write));
    const events = await take(batches, 30 * 39);
    await writers;

    expect(numbers(events).sort((a, b) => a - b)).toEqual(written.sort((a, b) => a - b));
    const places = events.map(({ cursor }) => decodeCursor(cursor).position);
    expect(places.slice(1).every((place, index) => isAfter(place, places[index]!))).toBe(true);

    ended.abort();
    reader.close();
    await foreign.query('rollback');
    await foreign.end();
  });

  test('two at once move every row once, though the connections of one are cut over and over', async () => {
    const tenantId = newId();
    const doomed = await fresh.open('doomed sequencer');
    const one = sequence({ database: doomed });
    const other = sequence();
    const cutting = new AbortController();
    const cut = async (): Promise<void> => {
      while (!cutting.signal.aborted) {
        await database.sql.query(
          `select pg_terminate_backend(pid), pg_sleep(0.01) from pg_stat_activity
           where application_name = 'doomed sequencer' and datname = current_database()`,
        );
      }
    };
    const cutter = cut();
    for (let number = 0; number < 400; number++) {
      await writeOutbox(database.sql, tenantId, [change(number)]);
      one.poke();
      other.poke();
    }
    await until(async () => (await waiting()) === 0);
    cutting.abort();
    await cutter;
    expect(await moved(tenantId)).toEqual(Array.from({ length: 400 }, (_, number) => number));
  });

  test('one that fails goes on by itself, and says so once', async () => {
    const tenantId = newId();
    warnings.length = 0;
    const sequencer = sequence();
    await writeOutbox(database.sql, tenantId, [change(1)]);
    sequencer.poke();
    await until(async () => (await waiting()) === 0);
    await writeOutbox(database.sql, tenantId, [change(2)]);
    await database.sql.query(`alter table feed_outbox rename to feed_outbox_away`);
    await until(() => warnings.length > 0);
    await database.sql.query(`alter table feed_outbox_away rename to feed_outbox`);
    await until(async () => (await waiting()) === 0);
    expect(await moved(tenantId)).toEqual([1, 2]);
    expect(warnings).toEqual(['the feed stands still; trying again']);
  });

  test('rows of another process are moved when its bell rings, long before the next look', async () => {
    const tenantId = newId();
    const bell = createOutboxBell({ database });
    let seen = 0;
    sequence({ onMoved: () => seen++ });
    const latencies: number[] = [];
    for (let round = 0; round < 10; round++) {
      const before = seen;
      await writeOutbox(database.sql, tenantId, [change(round)]);
      const at = performance.now();
      bell.poke();
      await until(() => seen > before);
      latencies.push(performance.now() - at);
    }
    expect(latencies.sort((a, b) => a - b)[5]).toBeLessThan(150);
  });

  test('a missing partition is made, and the move is repeated', async () => {
    const tenantId = newId();
    const [next] = await database.sql.query<{ seq: string }>(
      `select setval('feed_seq', (select last_value from feed_seq) + $1) as seq`,
      [FEED_PARTITION_ROWS * 20],
    );
    await writeOutbox(database.sql, tenantId, [change(1)]);
    warnings.length = 0;
    let asked = 0;
    sequence({
      ensurePartitions: async () => {
        asked++;
        await ensurePartitions(database, Date.now());
      },
    }).poke();
    await until(async () => (await waiting()) === 0);
    expect(asked).toBe(1);
    expect(warnings).toEqual([]);
    const [last] = await database.sql.query<{ seq: string }>(`select max(seq) as seq from feed`);
    expect(Number(last!.seq)).toBeGreaterThan(Number(next!.seq));
  });

  test('more rows than fit one move, and rows too large to share one, are all moved in order', async () => {
    const tenantId = newId();
    await database.sql.query(
      `insert into feed_outbox (tenant_id, changes) select $1, '[{"a":' || n || '}]' from generate_series(1, 5000) as n`,
      [tenantId],
    );
    // Random digits hardly compress: two of these exceed what one move takes.
    await database.sql.query(
      `insert into feed_outbox (tenant_id, changes)
       select $1, '[{"a":' || n || ',"g":"' || (select string_agg(md5(random()::text), '') from generate_series(n * 0 + 1, 150000)) || '"}]'
       from generate_series(5001, 5003) as n`,
      [tenantId],
    );
    sequence().poke();
    await until(async () => (await waiting()) === 0);
    expect(await moved(tenantId)).toEqual(Array.from({ length: 5003 }, (_, index) => index + 1));
  });
});

describe('the low-water mark', () => {
  const writes = fc.array(
    fc.record({
      drawnAt: fc.integer({ min: 0, max: 400_000 }),
      visibleAfter: fc.oneof(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 0, max: 60_000 })),
    }),
    { minLength: 1, maxLength: 200 },
  );
  const pauses = fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 60, maxLength: 120 });

  /** Scans at those pauses, without the full scan that would mend a mistake within the minute. */
  const replay = (rows: { drawnAt: number; visibleAfter: number }[], scans: number[], limit: number) => {
    const drawn = rows
      .toSorted((a, b) => a.drawnAt - b.drawnAt)
      .map(({ drawnAt, visibleAfter }, index) => ({ id: index + 1, drawnAt, visibleAt: drawnAt + visibleAfter }));
    const mark = new LowWaterMark();
    const taken = new Set<number>();
    let now = 0;
    let highest = 0;
    let missed = 0;
    for (const wait of [...scans, ...Array.from({ length: 400 }, () => 2_000)]) {
      const from = mark.at(now);
      highest = Math.max(highest, from);
      missed += drawn.filter((row) => row.id <= from && row.visibleAt <= now && !taken.has(row.id)).length;
      const visible = drawn.filter((row) => row.id > from && row.visibleAt <= now && !taken.has(row.id));
      const some = visible.slice(0, limit);
      for (const row of some) taken.add(row.id);
      mark.scanned({
        startedAt: now,
        endedAt: now + 1,
        drawn: drawn.filter((row) => row.drawnAt <= now).length,
        takenTo: visible.length < limit ? null : some.at(-1)!.id,
      });
      now += wait;
    }
    return { taken: taken.size, missed, highest };
  };

  test('never passes a row that becomes visible within 60 s of being drawn', () => {
    fc.assert(
      fc.property(writes, pauses, fc.integer({ min: 1, max: 50 }), (rows, scans, limit) => {
        const { taken, missed } = replay(rows, scans, limit);
        expect(missed).toBe(0);
        expect(taken).toBe(rows.length);
      }),
      { numRuns: 200 },
    );
  });

  test('follows what was drawn a minute ago', () => {
    const rows = Array.from({ length: 200 }, (_, index) => ({ drawnAt: index * 1_000, visibleAfter: 10 }));
    const { highest } = replay(
      rows,
      Array.from({ length: 100 }, () => 2_000),
      50,
    );
    expect(highest).toBe(200);
  });
});

const isAfter = (a: { seq: number; offset: number }, b: { seq: number; offset: number }): boolean =>
  a.seq > b.seq || (a.seq === b.seq && a.offset > b.offset);

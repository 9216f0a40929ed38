import { idTime, lowestIdAt } from '../../platform/ids.ts';
import type { Database, Sql } from '../../platform/database.ts';

/** Partitioned by day on their UUIDv7 id. */
const BY_TIME = ['event', 'delivery', 'attempt', 'inbound_delivery', 'workflow_run', 'workflow_run_step'] as const;
/** How far ahead partitions exist; `/readyz` fails below {@link LEAST_DAYS_AHEAD}. */
const DAYS_AHEAD = 7;
export const LEAST_DAYS_AHEAD = 2;

/** Columns that lists are read by, of which the planner is to know nothing (migration 0010). LIKE does not copy that. */
const WITHOUT_STATISTICS: Readonly<Record<string, string>> = { delivery: 'facet', event: 'type' };

const DAY_MS = 86_400_000;
/** Sequence numbers in one partition of `feed`: hours of the highest rate, months of a quiet one. */
export const FEED_PARTITION_ROWS = 1_000_000;
const FEED_PARTITIONS_AHEAD = 4;

/** Held while partitions are made or dropped, so that two processes never do the same work. */
const PARTITION_LOCK = 4_017_001;

interface Partition {
  readonly parent: string;
  readonly name: string;
  /** As literals of the partition key: inclusive, exclusive. */
  readonly from: string;
  readonly to: string;
}

const dayPartition = (parent: string, dayMs: number): Partition => ({
  parent,
  name: `${parent}_p${new Date(dayMs).toISOString().slice(0, 10).replaceAll('-', '')}`,
  from: lowestIdAt(dayMs),
  to: lowestIdAt(dayMs + DAY_MS),
});

const feedPartition = (index: number): Partition => ({
  parent: 'feed',
  name: `feed_p${index}`,
  from: String(index * FEED_PARTITION_ROWS),
  to: String((index + 1) * FEED_PARTITION_ROWS),
});

const dayOfName = (name: string): number =>
  Date.parse(name.replace(/^.*_p(\d{4})(\d{2})(\d{2})$/, '$1-$2-$3T00:00:00Z'));

/** What is said of a table that is to be dropped; those of others, such as a day that somebody detached to keep, lack it. */
const EXPIRED = 'hookgraph: older than the retention';

const existing = async (sql: Sql): Promise<Set<string>> => {
  const rows = await sql.query<{ name: string }>(
    `
    select c.relname as name from pg_inherits i
    join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
    join pg_namespace n on n.oid = p.relnamespace
    where p.relname = any($1) and n.nspname = current_schema() and not i.inhdetachpending`,
    [[...BY_TIME, 'feed']],
  );
  return new Set(rows.map((row) => row.name));
};

/**
 * Makes the partitions of yesterday (for clocks that differ), today and a week ahead, and of the next feed numbers.
 * Each is filled with its constraint first and attached after: attaching takes a lock that stops no reader or writer.
 */
export const ensurePartitions = async (database: Database, nowMs: number): Promise<void> => {
  const today = Math.floor(nowMs / DAY_MS) * DAY_MS;
  const wanted = BY_TIME.flatMap((parent) =>
    Array.from({ length: DAYS_AHEAD + 2 }, (_, day) => dayPartition(parent, today + (day - 1) * DAY_MS)),
  );
  const [head] = await database.sql.query<{ seq: string }>(`select last_value as seq from feed_seq`);
  const index = Math.floor(Number(head?.seq ?? 0) / FEED_PARTITION_ROWS);
  for (let ahead = 0; ahead <= FEED_PARTITIONS_AHEAD; ahead++) wanted.push(feedPartition(index + ahead));

  const present = await existing(database.sql);
  if (wanted.every((partition) => present.has(partition.name))) return;
  await withShortLocks(database, async (sql) => {
    const now = await existing(sql);
    for (const { parent, name, from, to } of wanted.filter((partition) => !now.has(partition.name))) {
      const key = parent === 'feed' ? 'seq' : 'id';
      await sql.query(`create table if not exists ${name} (like ${parent} including all)`);
      const uncounted = WITHOUT_STATISTICS[parent];
      if (uncounted) await sql.query(`alter table ${name} alter column ${uncounted} set statistics 0`);
      await sql.query(`alter table ${name} drop constraint if exists ${name}_bound`);
      await sql.query(
        `alter table ${name} add constraint ${name}_bound check (${key} >= '${from}' and ${key} < '${to}')`,
      );
      await sql.query(`alter table ${parent} attach partition ${name} for values from ('${from}') to ('${to}')`);
    }
  });
};

/** How many whole days ahead every time-partitioned table can take rows for. */
export const daysAhead = async (sql: Sql, nowMs: number): Promise<number> => {
  const present = await existing(sql);
  const today = Math.floor(nowMs / DAY_MS) * DAY_MS;
  let days = 0;
  while (BY_TIME.every((parent) => present.has(dayPartition(parent, today + days * DAY_MS).name))) days++;
  return days - 1;
};

/**
 * Ends what a crash, or a report of hours that made the detaching wait for too long, has left half done: one partition
 * that is still to be detached would keep all others of its table from it.
 */
const finishDetaching = async (database: Database): Promise<string[]> => {
  const pending = await database.sql.query<{ parent: string; name: string }>(
    `select p.relname as parent, c.relname as name from pg_inherits i
     join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
     join pg_namespace n on n.oid = p.relnamespace
     where p.relname = any($1) and n.nspname = current_schema() and i.inhdetachpending`,
    [[...BY_TIME, 'feed']],
  );
  for (const { parent, name } of pending) {
    await database.sql.query(`alter table ${parent} detach partition ${name} finalize`);
  }
  const detached = await database.sql.query<{ name: string }>(
    `select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = current_schema() and c.relkind = 'r' and obj_description(c.oid, 'pg_class') = $1
       and not exists (select from pg_inherits i where i.inhrelid = c.oid)`,
    [EXPIRED],
  );
  for (const { name } of detached) await dropTable(database, name);
  return detached.map(({ name }) => name);
};

const dropTable = (database: Database, name: string): Promise<unknown> =>
  withShortLocks(database, (sql) => sql.query(`drop table if exists ${name}`));

/**
 * Drops what is older than the retention. A partition that holds the event or the attempts of a delivery that is still
 * open, or an inbound delivery that waits, stays: a delivery's id has the millisecond of its event, so the oldest open id
 * is the floor. What dies on the way is ended by the next call, in whatever process.
 *
 * @returns the names of the dropped partitions
 */
export const dropExpiredPartitions = async (
  database: Database,
  nowMs: number,
  retentionDays: number,
): Promise<string[]> => {
  const [oldest] = await database.sql.query<{ id: string | null }>(
    `select least((select id from delivery_open order by id limit 1), (select id from inbound_open order by id limit 1)) as id`,
  );
  const floor = Math.min(nowMs - retentionDays * DAY_MS, oldest?.id ? idTime(oldest.id) : Number.POSITIVE_INFINITY);
  const dropped = await finishDetaching(database);
  for (const name of await existing(database.sql)) {
    const parent = name.slice(0, name.lastIndexOf('_p'));
    const expired =
      parent === 'feed'
        ? await isFeedExpired(database.sql, name, nowMs - retentionDays * DAY_MS)
        : dayOfName(name) + DAY_MS <= floor;
    if (!expired) continue;
    await database.sql.query(`comment on table ${name} is '${EXPIRED}'`);
    await database.sql.query(`alter table ${parent} detach partition ${name} concurrently`);
    await dropTable(database, name);
    dropped.push(name);
  }
  return dropped;
};

/** A full feed partition whose newest row is older than the retention; one that is still to fill never is. */
const isFeedExpired = async (sql: Sql, name: string, floorMs: number): Promise<boolean> => {
  const [newest] = await sql.query<{ at: number; seq: string }>(
    `select epoch_ms(at) as at, seq from ${name} order by seq desc limit 1`,
  );
  const end = (Number(name.slice('feed_p'.length)) + 1) * FEED_PARTITION_ROWS;
  const [head] = await sql.query<{ seq: string }>(`select last_value as seq from feed_seq`);
  return newest !== undefined && newest.at < floorMs && Number(head?.seq ?? 0) >= end;
};

const LOCK_TRIES = 20;

/** Schema changes wait at most a second for a lock and try again, rather than queue everybody behind them. */
const withShortLocks = async <T>(database: Database, work: (sql: Sql) => Promise<T>): Promise<T> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await database.transaction(async (sql) => {
        await sql.query(`select pg_advisory_xact_lock($1)`, [PARTITION_LOCK]);
        await sql.query(`set local lock_timeout = '1s'`);
        return work(sql);
      });
    } catch (error) {
      if ((error as { code?: string }).code !== '55P03' || attempt === LOCK_TRIES) throw error;
    }
  }
};

/** PostgreSQL found no partition for a row: make partitions and try once more. */
export const isMissingPartition = (error: unknown): boolean =>
  (error as { code?: string }).code === '23514' && /no partition of relation/.test((error as Error).message);

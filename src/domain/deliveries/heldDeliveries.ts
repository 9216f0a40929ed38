import type { Sql } from '../../platform/database.ts';

/*
 * What the feed says of the open deliveries of a webhook that is paused or resumed.
 *
 * `delivery_open.is_held` says of each whether the feed has called it held and not yet taken that back. Whoever opens a delivery
 * of a webhook that he sees paused tells it as held himself, and writes so. All others are told by the holder of the lane, who
 * walks what is open: of a paused webhook what isn't called held, of an active one what is.
 *
 * Whoever saw the status before, and commits after the walk has passed, would be missed. So the walk is taken again once they
 * all have ended who were writing when it began: a statement locks the table that it writes before it looks at anything, and
 * keeps that lock until its transaction ends. This holds for READ COMMITTED, in which everything here runs. It needs no ring,
 * nor anybody to stay alive: `lane.status_told` follows `lane.status_changes` only after such a walk, and until then the lane
 * has work.
 */

/** Rows that one statement looks at, and tells at most. */
const SLICE = 1_000;

/**
 * Looks at the next rows after $4 and tells those that the feed doesn't call what they are: held ($5), or not any more. By
 * `delivery_open_webhook`; 45 to 75 us for a row that is told, 5 us for one that is not. Nothing where the status has changed since
 * $3. What is locked is left out: nobody who ends it is waited for, and nobody ends what is told before that is committed, else
 * the feed would say HELD after CANCELLED.
 */
export const TELL_HELD = `/*lane_held*/
with current as materialized (
  select webhook_id from lane where webhook_id = $1 and status_changes = $3
), seen as materialized (
  select o.id, o.is_held from delivery_open o where o.webhook_id = (select webhook_id from current) and o.id > $4
  order by o.webhook_id, o.id limit ${SLICE}
), slice as materialized (
  select o.* from delivery_open o
  where o.id = any (array(select id from seen where is_held <> $5)) and o.is_held <> $5
  for no key update skip locked
), marked as (
  update delivery_open o set is_held = $5 from slice where o.id = slice.id
), feed as (
  insert into feed_outbox (tenant_id, changes)
  select tenant_id, json_agg(json_build_object('at', floor(epoch_ms(clock_timestamp())), 'd', id, 'w', webhook_id,
    'e', event_id, 'n', $2::text, 't', event_type, 's', case when $5 then 'HELD' when attempts = 0 then 'PENDING'
      else 'RETRYING' end, 'a', attempts, 'f', is_forward::int) order by id)::text
  from slice group by tenant_id
)
select count(*)::int as seen, (array_agg(id order by id desc))[1] as upto,
  count(*) filter (where is_held <> $5)::int as wanted, (select count(*)::int from slice) as told,
  exists (select from current) as is_current
from seen`;

interface SliceRow {
  readonly seen: number;
  readonly upto: string | null;
  readonly wanted: number;
  readonly told: number;
  readonly is_current: boolean;
}

/** What came of a slice of a walk. */
export interface ToldSlice {
  readonly told: number;
  /** Of those that had to be told, how many somebody else is changing or ending right now. */
  readonly skipped: number;
  /** Everything up to this id was looked at; null: there is nothing more. */
  readonly upto: string | null;
}

/**
 * Tells a slice of what is open of a webhook, in the order of ids, as held where it is PAUSED, and as pending or to be repeated
 * where it is ACTIVE. Each once, whoever dies in between.
 *
 * @param change the number of the change that led to the status
 * @param after where the slice before came to, or LOWEST_ID
 * @returns null where the status has changed again, and nothing was told
 */
export const tellSlice = async (
  sql: Sql,
  { webhookId, webhookName }: { readonly webhookId: string; readonly webhookName: string },
  status: 'PAUSED' | 'ACTIVE',
  change: number,
  after: string,
): Promise<ToldSlice | null> => {
  const [row] = await sql.query<SliceRow>(TELL_HELD, [webhookId, webhookName, change, after, status === 'PAUSED']);
  const { seen, upto, wanted, told, is_current: isCurrent } = row!;
  return isCurrent ? { told, skipped: wanted - told, upto: seen < SLICE ? null : upto } : null;
};

const STATUS_TOLD = `/*lane_status_told*/
update lane set status_told = $2 where webhook_id = $1 and status_told < $2`;

/** The feed knows what this change of status means for each delivery: there is nothing left to tell. */
export const statusIsTold = async (sql: Sql, webhookId: string, change: number): Promise<void> => {
  await sql.query(STATUS_TOLD, [webhookId, change]);
};

const WRITERS = `/*delivery_writers*/
select distinct virtualtransaction as id from pg_locks
where relation = 'delivery_open'::regclass and mode = 'RowExclusiveLock' and granted
  and database = (select oid from pg_database where datname = current_database())
  and ($1::text[] is null or virtualtransaction = any ($1))`;

/**
 * Transactions that have written open deliveries, or begin to, and have not ended.
 *
 * @param among only these; null: all of them
 */
export const writersOf = async (sql: Sql, among: readonly string[] | null): Promise<string[]> =>
  (await sql.query<{ id: string }>(WRITERS, [among])).map(({ id }) => id);

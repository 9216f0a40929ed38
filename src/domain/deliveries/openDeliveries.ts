import type { Sql } from '../../platform/database.ts';

/** An open delivery, as a lane reads it ahead. */
export interface OpenDelivery {
  readonly id: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly isTest: boolean;
  /** Attempts made: the number that a settle compares and sets. */
  readonly attempts: number;
  /** Those of them that used up a wait of the retry schedule since it began (anew). */
  readonly cycleAttempts: number;
  readonly trigger: string;
  readonly payloadFields: readonly string[] | null;
  /** Open for longer than a delivery may be. */
  readonly isExpired: boolean;
}

/** Where a lane has read up to, exact to the microsecond: after the row with this due time and number. */
export interface LaneCursor {
  readonly nextAt: string;
  readonly seq: string;
}

/** Before every row. */
export const LANE_START: LaneCursor = { nextAt: '-infinity', seq: '0' };

/** Before every row that is due at this millisecond or later. */
export const laneCursorAt = (epochMs: number): LaneCursor => ({
  nextAt: new Date(Math.floor(epochMs)).toISOString(),
  seq: '0',
});

interface OpenRow {
  readonly id: string;
  readonly event_id: string;
  readonly event_type: string;
  readonly is_test: boolean;
  readonly attempts: number;
  readonly cycle_attempts: number;
  readonly trigger: string;
  readonly payload_fields: string[] | null;
  readonly next_at: string;
  readonly seq: string;
  readonly is_expired: boolean;
  readonly version: string | null;
}

/**
 * What is due for one webhook after the cursor, in order. Served by `delivery_open_due` from the cursor on, so that what
 * was settled before it, and is not vacuumed yet, costs nothing. Nothing is written to claim: the lane's lease is
 * the claim, and what it has in hand is left out by id.
 */
export const READ_DUE = `/*lane_read*/
select id, event_id, event_type, is_test, attempts, cycle_attempts, trigger, payload_fields, next_at, seq,
  expires_at <= clock_timestamp() as is_expired, (select version from webhook where id = $1) as version
from delivery_open
where webhook_id = $1 and band = 0 and (next_at, seq) > ($2::timestamptz, $3::bigint)
  and next_at <= clock_timestamp() and id <> all($4::uuid[])
order by next_at, seq
limit $5`;

export interface DueRead {
  readonly deliveries: readonly OpenDelivery[];
  /** After the last row read; the one given where nothing was. */
  readonly cursor: LaneCursor;
  /** When the last row read was due, ms since the epoch; null where nothing was read. */
  readonly lastDueAt: number | null;
  /** The webhook's version when it was read; null where there was no row to read it beside. */
  readonly webhookVersion: number | null;
}

export const readDue = async (
  sql: Sql,
  webhookId: string,
  cursor: LaneCursor,
  inHand: readonly string[],
  limit: number,
): Promise<DueRead> => {
  const rows = await sql.query<OpenRow>(READ_DUE, [webhookId, cursor.nextAt, cursor.seq, inHand, limit]);
  const last = rows.at(-1);
  return {
    deliveries: rows.map((row) => ({
      id: row.id,
      eventId: row.event_id,
      eventType: row.event_type,
      isTest: row.is_test,
      attempts: row.attempts,
      cycleAttempts: row.cycle_attempts,
      trigger: row.trigger,
      payloadFields: row.payload_fields,
      isExpired: row.is_expired,
    })),
    cursor: last ? { nextAt: last.next_at, seq: last.seq } : cursor,
    lastDueAt: last ? Date.parse(last.next_at) : null,
    webhookVersion: last?.version ? Number(last.version) : null,
  };
};

/** Bodies by event id. The bounds let PostgreSQL leave out partitions, which it can't for an array alone. */
const READ_BODIES = `/*event_bodies*/
select id, body from event where id = any($1::uuid[]) and id >= $2 and id <= $3`;

export const readBodies = async (sql: Sql, eventIds: readonly string[]): Promise<Map<string, string>> => {
  if (eventIds.length === 0) return new Map();
  const sorted = [...eventIds].sort();
  const rows = await sql.query<{ id: string; body: string }>(READ_BODIES, [sorted, sorted[0], sorted.at(-1)]);
  return new Map(rows.map((row) => [row.id, row.body]));
};

/** Ends a slice of what is open of a webhook that was disabled or deleted; what is being sent is left to its settle. */
const CANCEL = `/*lane_cancel*/
with slice as (
  select id from delivery_open where webhook_id = $1 and id <> all($2::uuid[]) order by webhook_id, id limit 1000
), ended as (
  delete from delivery_open o using slice where o.id = slice.id returning o.*
), history as (
  insert into delivery (id, tenant_id, webhook_id, event_id, event_type, status, is_test, attempts, created_at,
    completed_at, payload_fields, response_status, duration_ms, error_code, error_message)
  select id, tenant_id, webhook_id, event_id, event_type, 'CANCELLED', is_test, attempts, created_at,
    clock_timestamp(), payload_fields, response_status, duration_ms, error_code, error_message
  from ended
), feed as (
  insert into feed_outbox (tenant_id, changes)
  select tenant_id, json_agg(json_build_object('at', floor(epoch_ms(clock_timestamp())), 'd', id, 'w', webhook_id,
    'e', event_id, 'n', $3::text, 't', event_type, 's', 'CANCELLED', 'a', attempts) order by seq)::text
  from ended group by tenant_id
)
select count(*)::int as cancelled from ended`;

/** @returns how many were cancelled; fewer than 1,000 means that nothing is left but `inHand` */
export const cancelSlice = async (
  sql: Sql,
  webhookId: string,
  webhookName: string,
  inHand: readonly string[],
): Promise<number> => {
  const [row] = await sql.query<{ cancelled: number }>(CANCEL, [webhookId, inHand, webhookName]);
  return row!.cancelled;
};

const BEGIN_LANES = `/*lanes_begun*/
update lane set next_due_at = null where webhook_id = any($1::uuid[]) and next_due_at is not null`;

/** The lanes are held: the clock need not ring them. */
export const beginLanes = async (sql: Sql, webhookIds: readonly string[]): Promise<void> => {
  await sql.query(BEGIN_LANES, [webhookIds]);
};

const PARK_LANES = `/*lanes_parked*/
update lane l set next_due_at = case when due.next_at is not null then greatest(due.next_at, l.held_until) end
from unnest($1::uuid[]) as given(id)
left join webhook w on w.id = given.id
left join lateral (
  select next_at from delivery_open o where o.webhook_id = given.id and o.band = 0 order by next_at limit 1
) due on w.status is distinct from 'PAUSED'
where l.webhook_id = given.id`;

/** Writes down when each lane has to be rung again, before it is given up. */
export const parkLanes = async (sql: Sql, webhookIds: readonly string[]): Promise<void> => {
  await sql.query(PARK_LANES, [webhookIds]);
};

const LANES_WITH_WORK = `/*lanes_with_work*/
select l.webhook_id, l.tenant_id
from unnest($1::uuid[]) as given(id)
join lane l on l.webhook_id = given.id
left join webhook w on w.id = given.id
where w.status is distinct from 'PAUSED' and (l.held_until is null or l.held_until <= clock_timestamp() or w.id is null)
  and exists (select from delivery_open o
    where o.webhook_id = given.id and o.band = 0 and (o.next_at <= clock_timestamp() or w.status is distinct from 'ACTIVE'))`;

/** Those of these webhooks that have something to deliver now, or to cancel. */
export const lanesWithWork = async (
  sql: Sql,
  webhookIds: readonly string[],
): Promise<{ webhookId: string; tenantId: string }[]> =>
  (await sql.query<{ webhook_id: string; tenant_id: string }>(LANES_WITH_WORK, [webhookIds])).map(laneOf);

const REMOVE_LANES = `/*lanes_removed*/
delete from lane l using unnest($1::uuid[]) as given(id)
where l.webhook_id = given.id and not exists (select from webhook w where w.id = given.id)
  and not exists (select from delivery_open o where o.webhook_id = given.id)`;

/** Forgets the lanes of deleted webhooks that have nothing open any more. */
export const removeLanes = async (sql: Sql, webhookIds: readonly string[]): Promise<void> => {
  await sql.query(REMOVE_LANES, [webhookIds]);
};

const LANES_DUE = `/*lanes_due*/
select webhook_id, tenant_id from lane where next_due_at <= clock_timestamp() order by next_due_at limit $1`;

/** Lanes that were given up until a moment that has come. */
export const lanesDue = async (sql: Sql, limit: number): Promise<{ webhookId: string; tenantId: string }[]> =>
  (await sql.query<{ webhook_id: string; tenant_id: string }>(LANES_DUE, [limit])).map(laneOf);

const RECENTLY_DUE = `/*recently_due*/
select distinct webhook_id, tenant_id from (
  select webhook_id, tenant_id from delivery_open
  where next_at > from_epoch_ms($1) and next_at <= clock_timestamp() order by next_at limit 5000
) recent`;

/** Lanes with something that became due after this moment (ms), whether or not anybody was rung for it. */
export const lanesRecentlyDue = async (sql: Sql, afterMs: number): Promise<{ webhookId: string; tenantId: string }[]> =>
  (await sql.query<{ webhook_id: string; tenant_id: string }>(RECENTLY_DUE, [afterMs])).map(laneOf);

const LANE_SLICE = `/*lane_slice*/
select webhook_id from lane where webhook_id > $1 order by webhook_id limit 2000`;

/** A slice of all lanes after this id, for the search from end to end. */
export const laneSlice = async (sql: Sql, after: string): Promise<string[]> =>
  (await sql.query<{ webhook_id: string }>(LANE_SLICE, [after])).map((row) => row.webhook_id);

const laneOf = (row: { webhook_id: string; tenant_id: string }): { webhookId: string; tenantId: string } => ({
  webhookId: row.webhook_id,
  tenantId: row.tenant_id,
});

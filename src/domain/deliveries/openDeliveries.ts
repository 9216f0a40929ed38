import type { Sql } from '../../platform/database.ts';
import { deriveId } from '../../platform/ids.ts';
import type { EventRecord } from '../events/event.ts';
import { cancelling } from './cancellation.ts';

/** An open delivery, as a lane reads it ahead. */
export interface OpenDelivery {
  readonly id: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly isTest: boolean;
  /** It forwards an inbound request: what it sends is `eventId`'s inbound delivery. */
  readonly isForward: boolean;
  /** Attempts made: the number that a settle compares and sets. */
  readonly attempts: number;
  /** Those of them that used up a wait of the retry schedule since it began (anew). */
  readonly cycleAttempts: number;
  readonly trigger: string;
  readonly payloadFields: readonly string[] | null;
  /** Live work, or bulk work behind it. */
  readonly band: Band;
  /** It became due then; ms since the epoch. */
  readonly dueAt: number;
  /** Under strict order: it failed, keeps its place and waits until then; ms since the epoch. */
  readonly retryAt: number | null;
  /** Open for longer than a delivery may be. */
  readonly isExpired: boolean;
}

/** Of an event that was published just now: as a read would find it. */
export const freshDelivery = (
  event: Pick<EventRecord, 'id' | 'type' | 'isTest'>,
  webhookId: string,
  payloadFields: readonly string[] | null,
  dueAt: number,
): OpenDelivery => ({
  id: deriveId(event.id, webhookId),
  eventId: event.id,
  eventType: event.type,
  isTest: event.isTest,
  isForward: false,
  attempts: 0,
  cycleAttempts: 0,
  trigger: 'INITIAL',
  payloadFields,
  band: 0,
  dueAt,
  retryAt: null,
  isExpired: false,
});

/** 0: live work. 1: bulk work, which is taken 1 : 3 beside live work. */
export type Band = 0 | 1;
export const BANDS: readonly Band[] = [0, 1];

/** Where a lane has read up to, exact to the microsecond: after the row with this due time and number. */
export interface LaneCursor {
  readonly nextAt: string;
  readonly seq: string;
}

/** A lane whose holders died this often in a row isn't worked until somebody changes its webhook. */
export const PARKED_FROM_CRASHES = 5;

/** Before every row. */
export const LANE_START: LaneCursor = { nextAt: '-infinity', seq: '0' };

/** Before every row that is due at this millisecond or later. */
export const laneCursorAt = (epochMs: number): LaneCursor => ({
  nextAt: new Date(Math.floor(epochMs)).toISOString(),
  seq: '0',
});

/** What one lane wants to read of one band. */
export interface LaneRead {
  readonly webhookId: string;
  readonly band: Band;
  readonly cursor: LaneCursor;
  /** Deliveries in hand, which are left out. */
  readonly inHand: readonly string[];
  readonly limit: number;
}

interface OpenRow {
  readonly read: number;
  readonly id: string;
  readonly event_id: string;
  readonly event_type: string;
  readonly is_test: boolean;
  readonly is_forward: boolean;
  readonly attempts: number;
  readonly cycle_attempts: number;
  readonly trigger: string;
  readonly payload_fields: string[] | null;
  readonly next_at: string;
  readonly seq: string;
  readonly retry_at: number | null;
  readonly is_expired: boolean;
  readonly version: string | null;
}

/**
 * What is due after each cursor, in order, for all lanes that want to read, in one round trip. Served by
 * `delivery_open_due` from each cursor on, so that what was settled before it, and is not vacuumed yet, costs nothing.
 * Nothing is written to claim: the lane's lease is the claim, and what lanes have in hand is left out by id.
 */
export const READ_DUE = `/*lanes_read*/
select r.read::int, d.id, d.event_id, d.event_type, d.is_test, d.is_forward, d.attempts, d.cycle_attempts, d.trigger,
  d.payload_fields, d.next_at, d.seq, epoch_ms(d.retry_at) as retry_at, d.expires_at <= now() as is_expired, w.version
from unnest($1::uuid[], $2::smallint[], $3::timestamptz[], $4::bigint[], $5::int[])
  with ordinality as r(webhook_id, band, next_at, seq, most, read)
left join lane_target w on w.id = r.webhook_id
cross join lateral (
  select o.* from delivery_open o
  where o.webhook_id = r.webhook_id and o.band = r.band and (o.next_at, o.seq) > (r.next_at, r.seq)
    and o.next_at <= now() and o.id <> all($6::uuid[])
  order by o.next_at, o.seq
  limit r.most
) d`;

export interface DueRead {
  readonly deliveries: readonly OpenDelivery[];
  /** After the last row read; the one given where nothing was. */
  readonly cursor: LaneCursor;
  /** When the last row read was due, ms since the epoch; null where nothing was read. */
  readonly lastDueAt: number | null;
  /** The webhook's version when it was read; null where there was no row to read it beside. */
  readonly webhookVersion: number | null;
}

/** @returns what each read brought, in the order of `reads` */
export const readDue = async (sql: Sql, reads: readonly LaneRead[]): Promise<DueRead[]> => {
  const rows = await sql.query<OpenRow>(READ_DUE, [
    reads.map((read) => read.webhookId),
    reads.map((read) => read.band),
    reads.map((read) => read.cursor.nextAt),
    reads.map((read) => read.cursor.seq),
    reads.map((read) => read.limit),
    reads.flatMap((read) => read.inHand),
  ]);
  const byRead = reads.map((): OpenRow[] => []);
  for (const row of rows) byRead[row.read - 1]!.push(row);
  return reads.map((read, index) => dueRead(read, byRead[index]!));
};

const dueRead = ({ cursor, band }: LaneRead, rows: readonly OpenRow[]): DueRead => {
  const last = rows.at(-1);
  return {
    deliveries: rows.map((row) => ({
      id: row.id,
      eventId: row.event_id,
      eventType: row.event_type,
      isTest: row.is_test,
      isForward: row.is_forward,
      attempts: row.attempts,
      cycleAttempts: row.cycle_attempts,
      trigger: row.trigger,
      payloadFields: row.payload_fields,
      band,
      dueAt: Date.parse(row.next_at),
      retryAt: row.retry_at,
      isExpired: row.is_expired,
    })),
    cursor: last ? { nextAt: last.next_at, seq: last.seq } : cursor,
    lastDueAt: last ? Date.parse(last.next_at) : null,
    webhookVersion: last?.version ? Number(last.version) : null,
  };
};

/** What deliveries of one event have in common. */
export interface EventBody {
  /** The envelope, or the request that is forwarded, as it came. */
  readonly body: string | Buffer;
  /** Of a forwarded request; null is JSON. */
  readonly contentType: string | null;
  /** How often what led to it had passed through hookgraph before. */
  readonly hops: number;
}

/** By event id. The bounds let PostgreSQL leave out partitions, which it can't for an array alone. */
const READ_BODIES = `/*event_bodies*/
select id, body, hops, null as "contentType" from event where id = any($1::uuid[]) and id >= $2 and id <= $3`;

const READ_FORWARDED = `/*forwarded_bodies*/
select id, body, hops + 1 as hops, content_type as "contentType" from inbound_delivery
where id = any($1::uuid[]) and id >= $2 and id <= $3 and body is not null`;

/** By id of the event, or with `forwarded` of the inbound delivery. */
export const readBodies = async (
  sql: Sql,
  ids: readonly string[],
  forwarded: boolean,
): Promise<Map<string, EventBody>> => {
  if (ids.length === 0) return new Map();
  const sorted = [...ids].sort();
  const statement = forwarded ? READ_FORWARDED : READ_BODIES;
  const rows = await sql.query<EventBody & { id: string }>(statement, [sorted, sorted[0], sorted.at(-1)]);
  return new Map(rows.map((row) => [row.id, row]));
};

/** Ends a slice of what is open of a webhook that was disabled or deleted; what is being sent is left to its settle. */
const CANCEL = `/*lane_cancel*/
with slice as (
  select id from delivery_open where webhook_id = $1 and id <> all($2::uuid[]) order by webhook_id, id limit 1000
), ${cancelling('slice', '$3::text')}
select count(*)::int as cancelled from ended`;

/** Deliveries that one statement cancels. */
export const CANCEL_SLICE = 1_000;

/** @returns how many were cancelled; fewer than a slice means that nothing is left but `inHand` */
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
update lane l set next_due_at = null, crashes = l.crashes + given.orphaned::int
from unnest($1::uuid[], $2::boolean[]) as given(id, orphaned)
where l.webhook_id = given.id and (l.next_due_at is not null or given.orphaned)`;

/** The lanes are held: the clock need not ring them. `isOrphaned`: the holder before died. */
export const beginLanes = async (
  sql: Sql,
  lanes: readonly { readonly webhookId: string; readonly isOrphaned: boolean }[],
): Promise<void> => {
  await sql.query(BEGIN_LANES, [lanes.map((lane) => lane.webhookId), lanes.map((lane) => lane.isOrphaned)]);
};

const FORGIVE_LANE = `/*lane_forgiven*/ update lane set crashes = 0 where webhook_id = $1`;

/** A result was written down: whatever the holders before died of, it isn't this lane. */
export const forgiveLane = async (sql: Sql, webhookId: string): Promise<void> => {
  await sql.query(FORGIVE_LANE, [webhookId]);
};

/**
 * The lane of a deleted webhook stays for so long, far beyond what a transaction can last: what publishes doesn't lock the
 * webhooks that it matched, which would cost each event a write of each of them, so one that began before the deletion
 * may commit open deliveries after everything was cancelled. Nobody but the lane's holder ends those.
 */
const OUTLIVES = `interval '1 hour'`;

/** With the deletion of the webhook: nothing of its lane is held back any more, and the clock forgets it in an hour. */
export const outliveTarget = async (sql: Sql, webhookId: string): Promise<void> => {
  await sql.query(`update lane set next_due_at = now() + ${OUTLIVES} where webhook_id = $1`, [webhookId]);
};

/** What the feed calls the webhook from now on, and when it is deleted. One that forwards has no lane before it does. */
export const renameLane = async (sql: Sql, webhookId: string, name: string): Promise<void> => {
  await sql.query(`update lane set webhook_name = $2 where webhook_id = $1`, [webhookId, name]);
};

const PARK_LANES = `/*lanes_parked*/
update lane l set next_due_at = case
    when w.id is null then least(due.at, now() + ${OUTLIVES})
    when l.crashes < ${PARKED_FROM_CRASHES} and due.at is not null
    then greatest(due.at, l.held_until, l.circuit_until, from_epoch_ms(given.not_before)) end,
  limiter_at = from_epoch_ms(given.limiter_at)
from unnest($1::uuid[], $2::double precision[], $3::double precision[]) as given(id, not_before, limiter_at)
left join lane_target w on w.id = given.id
left join lateral (
  select least(
    (select coalesce(retry_at, next_at) from delivery_open o
      where o.webhook_id = given.id and o.band = 0 order by next_at, seq limit 1),
    (select coalesce(retry_at, next_at) from delivery_open o
      where o.webhook_id = given.id and o.band = 1 order by next_at, seq limit 1)) as at
) due on w.status is distinct from 'PAUSED'
where l.webhook_id = given.id`;

/** A lane that is given up. */
export interface ParkedLane {
  readonly webhookId: string;
  /** Its rate limit allows nothing earlier; ms since the epoch, null without one. */
  readonly notBefore: number | null;
  /** What its limiter has to remember; ms since the epoch. */
  readonly limiterAt: number | null;
}

/** Writes down when each lane has to be rung again, before it is given up. */
export const parkLanes = async (sql: Sql, lanes: readonly ParkedLane[]): Promise<void> => {
  await sql.query(PARK_LANES, [
    lanes.map((lane) => lane.webhookId),
    lanes.map((lane) => lane.notBefore),
    lanes.map((lane) => lane.limiterAt),
  ]);
};

/*
 * To deliver now: the first of either band is due, and nothing holds the lane back. Of a webhook that is disabled or
 * deleted: to cancel. Of one that was paused or resumed: to tell, until all of it is told.
 */
const LANES_WITH_WORK = `/*lanes_with_work*/
select l.webhook_id, l.tenant_id
from unnest($1::uuid[]) as given(id)
join lane l on l.webhook_id = given.id
left join lane_target w on w.id = given.id
where case coalesce(w.status, 'DELETED')
  when 'PAUSED' then l.status_told <> l.status_changes
  when 'ACTIVE' then l.status_told <> l.status_changes or l.crashes < ${PARKED_FROM_CRASHES}
    and (greatest(l.held_until, l.circuit_until) <= now() or (l.held_until is null and l.circuit_until is null))
    and least(
        (select coalesce(retry_at, next_at) from delivery_open o
          where o.webhook_id = given.id and o.band = 0 order by next_at, seq limit 1),
        (select coalesce(retry_at, next_at) from delivery_open o
          where o.webhook_id = given.id and o.band = 1 order by next_at, seq limit 1)) <= now()
  else exists (select from delivery_open o where o.webhook_id = given.id)
end`;

/** Those of these webhooks that have something to deliver now, to cancel or to tell. */
export const lanesWithWork = async (
  sql: Sql,
  webhookIds: readonly string[],
): Promise<{ webhookId: string; tenantId: string }[]> =>
  (await sql.query<{ webhook_id: string; tenant_id: string }>(LANES_WITH_WORK, [webhookIds])).map(laneOf);

const REMOVE_LANES = `/*lanes_removed*/
delete from lane l using unnest($1::uuid[]) as given(id)
where l.webhook_id = given.id and l.next_due_at <= now()
  and not exists (select from lane_target w where w.id = given.id)
  and not exists (select from delivery_open o where o.webhook_id = given.id)`;

/** Of these lanes, forgets those whose webhook was deleted long enough ago, and which have nothing open any more. */
export const removeLanes = async (sql: Sql, webhookIds: readonly string[]): Promise<void> => {
  await sql.query(REMOVE_LANES, [webhookIds]);
};

const LANES_DUE = `/*lanes_due*/
select webhook_id, tenant_id from lane where next_due_at <= now() order by next_due_at limit $1`;

/** Lanes that were given up until a moment that has come. */
export const lanesDue = async (sql: Sql, limit: number): Promise<{ webhookId: string; tenantId: string }[]> =>
  (await sql.query<{ webhook_id: string; tenant_id: string }>(LANES_DUE, [limit])).map(laneOf);

const RECENTLY_DUE = `/*recently_due*/
select distinct webhook_id, tenant_id from (
  select webhook_id, tenant_id from delivery_open
  where next_at > from_epoch_ms($1) and next_at <= now() order by next_at limit 5000
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

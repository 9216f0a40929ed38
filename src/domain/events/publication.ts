import type { Sql } from '../../platform/database.ts';
import type { Ring } from '../deliveries/bell.ts';
import { MAX_OPEN_MS } from '../deliveries/schedule.ts';
import type { EventRecord } from './event.ts';
import { heldChange } from './heldChange.ts';
import { coveringPatterns } from './patterns.ts';

/** Deliveries of one event that are written with it; the others are left to the fan-out. */
export const MOST_WITH_EVENT = 5_000;
/** Deliveries that one statement writes, about: an event of a large batch has fewer with it. */
const MOST_AT_ONCE = 50_000;

/**
 * Writes events and an open delivery for each webhook that matches. What matches is asked once for all events of one type
 * and entity ($2), whose ids, times and places in the input stand together in $3 to $5. It is found through
 * `webhook_subscription_pkey`, one probe per covering pattern for all entities and one for the event's: as a plain join it became, after an ANALYZE that knew one large
 * tenant, a walk through all subscriptions for each event. Ids derive from event and webhook, so that writing again changes
 * nothing. `seq` follows the order of the input. What a paused webhook gets is told as held, and marked, so that its lane, which
 * tells what was there before, doesn't tell it too. A delivery is as old as its event, in the database's time.
 *
 * Of more than $7 webhooks the first get theirs here, and those with strict order, because what is published next must not
 * overtake it; a row of `fan_out` says what is left.
 */
export const PUBLISH = `/*publish*/
with input as materialized (
  select * from json_to_recordset($1::json) as input(
    id uuid, tenant_id uuid, type text, entity_id text, source text, hops smallint,
    occurred_at timestamptz, published_at timestamptz, body text)
), events as (
  insert into event (id, tenant_id, type, entity_id, source, hops, occurred_at, published_at, body)
  select id, tenant_id, type, entity_id, source, hops, occurred_at, published_at, body from input
), found as (
  select distinct on (t.n, w.id) t.*, w.id as webhook_id, w.status, w.version, w.payload_fields, w.ordering
  from json_to_recordset($2::json) as t(
    n int, tenant_id uuid, type text, entity_id text, patterns text, first int, last int)
  cross join lateral unnest(string_to_array(t.patterns, ' ')) as covering(pattern)
  cross join lateral unnest(array['', t.entity_id]) as narrowed(entity_id)
  cross join lateral (
    select s.webhook_id from webhook_subscription s
    where (s.tenant_id, s.pattern, s.entity_id) >= (t.tenant_id, covering.pattern, narrowed.entity_id)
      and (s.tenant_id, s.pattern, s.entity_id) <= (t.tenant_id, covering.pattern, narrowed.entity_id)
    order by s.tenant_id, s.pattern, s.entity_id, s.webhook_id offset 0
  ) s cross join lateral (select * from webhook w where w.id = s.webhook_id offset 0) w
  where w.status <> 'DISABLED'
  order by t.n, w.id
), matches as materialized (
  select *, ordering = 'STRICT' or row_number() over (partition by n order by webhook_id) <= $7 as is_written from found
), opened as (
  insert into delivery_open
    (id, tenant_id, webhook_id, event_id, event_type, next_at, created_at, expires_at, payload_fields, is_held)
  select derive_id(event_id, webhook_id::text), tenant_id, webhook_id, event_id, type,
    now(), least(now(), published_at), now() + $6 * interval '1 ms', payload_fields, status = 'PAUSED'
  from (
    select m.*, ($3::uuid[])[at] as event_id, ($4::timestamptz[])[at] as published_at
    from matches m cross join lateral generate_series(first, last) as at
    where is_written order by ($5::int[])[at], webhook_id
  ) as written
  on conflict (id) do nothing
), held as (
  insert into feed_outbox (tenant_id, changes)
  select m.tenant_id, json_agg(${heldChange('($3::uuid[])[at]', 'm.type')} order by ($5::int[])[at], l.webhook_id)::text
  from matches m join lane l on l.webhook_id = m.webhook_id cross join lateral generate_series(first, last) as at
  where m.is_written and m.status = 'PAUSED' group by m.tenant_id
), deferred as (
  insert into fan_out
    (event_id, tenant_id, event_type, entity_id, published_at, patterns, next_webhook, last_webhook, written_webhooks)
  select ($3::uuid[])[at], tenant_id, type, entity_id, ($4::timestamptz[])[at], patterns,
    rest[1], rest[cardinality(rest)], strict
  from (
    select tenant_id, type, entity_id, patterns, first, last,
      array_agg(webhook_id order by webhook_id) filter (where not is_written) as rest,
      coalesce(array_agg(webhook_id) filter (where ordering = 'STRICT'), '{}') as strict
    from matches group by n, tenant_id, type, entity_id, patterns, first, last having not bool_and(is_written)
  ) as unfinished cross join lateral generate_series(first, last) as at
)
select n, tenant_id, count(*)::int as matched, epoch_ms(now()) as due_at,
  coalesce(array_agg(webhook_id::text) filter (where is_written and status = 'ACTIVE'), '{}') as active,
  coalesce(array_agg(version::int) filter (where is_written and status = 'ACTIVE'), '{}') as versions,
  case when not bool_and(is_written) then pg_notify('hookgraph_fan_out', '')::text end as called
from matches group by n, tenant_id`;

interface MatchRow {
  readonly n: number;
  readonly tenant_id: string;
  readonly matched: number;
  /** Those that may send now: not the paused ones. */
  readonly active: string[];
  readonly versions: number[];
  readonly due_at: number;
}

/** What events of one type and entity matched; the same object for all of them. */
export interface Match {
  readonly matched: number;
  /** For after the commit. */
  readonly rings: readonly Ring[];
}

/** By event id; one that matched nothing isn't among them. */
export type Matches = ReadonlyMap<string, Match>;

/** Writes events and their deliveries by one statement, or in the caller's transaction. Throws what PostgreSQL throws. */
export const writeEvents = async (sql: Sql, records: readonly EventRecord[]): Promise<Matches> => {
  const byKey = new Map<string, number[]>();
  for (const [place, { tenantId, type, entityId }] of records.entries()) {
    const key = JSON.stringify([tenantId, type, entityId]);
    const known = byKey.get(key);
    if (known) known.push(place);
    else byKey.set(key, [place]);
  }
  const alike = [...byKey.values()];
  const places = alike.flat();
  const rows = await sql.query<MatchRow>(PUBLISH, [
    JSON.stringify(records.map(inputRow)),
    JSON.stringify(targetRows(records, alike)),
    places.map((place) => records[place]!.id),
    places.map((place) => records[place]!.publishedAt),
    places,
    MAX_OPEN_MS,
    Math.min(MOST_WITH_EVENT, Math.floor(MOST_AT_ONCE / records.length)),
  ]);
  const matches = new Map<string, Match>();
  for (const { n, tenant_id: tenantId, matched, active, versions, due_at: dueAt } of rows) {
    const events = alike[n]!.map((place) => records[place]!);
    const rings = active.map((webhookId, index) => {
      return { tenantId, webhookId, dueAt, fresh: { version: versions[index]!, events } };
    });
    const match = { matched, rings };
    for (const { id } of events) matches.set(id, match);
  }
  return matches;
};

const inputRow = (record: EventRecord): Record<string, unknown> => ({
  id: record.id,
  tenant_id: record.tenantId,
  type: record.type,
  entity_id: record.entityId,
  source: record.source,
  hops: record.hops,
  occurred_at: record.occurredAt,
  published_at: record.publishedAt,
  body: record.body,
});

/** For each group of places what its events match by, and where the group begins and ends among all. */
const targetRows = (
  records: readonly EventRecord[],
  alike: readonly (readonly number[])[],
): Record<string, unknown>[] => {
  let last = 0;
  return alike.map((places, n) => {
    const { tenantId, type, entityId } = records[places[0]!]!;
    const first = last + 1;
    last += places.length;
    const patterns = coveringPatterns(type).join(' ');
    return { n, tenant_id: tenantId, type, entity_id: entityId, patterns, first, last };
  });
};

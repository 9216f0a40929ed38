import type { Database, Sql } from '../../platform/database.ts';
import { deriveId, idTime } from '../../platform/ids.ts';
import { JSON_STRING, linesOf, readLines } from '../../platform/lines.ts';
import type { Exchange } from '../../platform/outbound/exchange.ts';
import { counting } from '../analytics/counting.ts';
import { minuteOf } from '../analytics/grain.ts';
import { latencyBucket } from '../analytics/histogram.ts';
import type { EventRecord } from '../events/event.ts';
import { OPERATIONAL_TYPES_SQL } from '../events/operationalTypes.ts';
import type { FeedChange } from '../feed/change.ts';
import { FAILING_SETTLED, OVERDUE_REASON_SQL } from '../webhooks/failureStreak.ts';
import type { WebhookHealthChange } from '../webhooks/healthFeed.ts';
import type { AttemptError, DeliveryStatus } from './delivery.ts';

/** What an attempt was and brought, for its row. */
export interface SettledAttempt {
  readonly trigger: string;
  /** Ms since the epoch. */
  readonly startedAt: number;
  readonly durationMs: number;
  /** Flat list of names and values. */
  readonly requestHeaders: readonly string[];
  readonly responseStatus: number | null;
  readonly responseHeaders: readonly (readonly [string, string])[] | null;
  /** Its first 8 KiB, any bytes. */
  readonly responseBody: Buffer | null;
  readonly responseTruncated: boolean;
}

/** The end of a delivery, or of one attempt of it. */
export interface Settlement {
  readonly deliveryId: string;
  readonly webhookId: string;
  readonly webhookName: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly isTest: boolean;
  readonly isForward: boolean;
  /** Attempts made before this one: the settle changes nothing where the row has another number. */
  readonly attemptsBefore: number;
  readonly status: DeliveryStatus;
  /** Due again then (RETRYING), or null: the delivery has ended. Ms since the epoch. */
  readonly nextAt: number | null;
  /** Under strict order: it keeps its place, which is its due time, and waits beside it. */
  readonly keepsPlace: boolean;
  /** The webhook's circuit opens until then, or closes (null); undefined: it stays as it is. Ms since the epoch. */
  readonly circuitUntil: number | null | undefined;
  /** Uses up a wait of the retry schedule. */
  readonly countsAsFailure: boolean;
  /** The receiver asked the webhook to wait until then. */
  readonly heldUntil: number | null;
  /** The receiver answered 410: the webhook is disabled in the same transaction. */
  readonly isGone: boolean;
  /** Null where the delivery ended without one. */
  readonly attempt: SettledAttempt | null;
  readonly error: AttemptError | null;
}

/** Of a delivery that has ended, and leaves its webhook as it was. */
export const PLAIN_END = {
  nextAt: null,
  keepsPlace: false,
  circuitUntil: undefined,
  countsAsFailure: false,
  heldUntil: null,
  isGone: false,
} satisfies Partial<Settlement>;

/** What an exchange was and brought. */
export const settledAttempt = (
  trigger: string,
  requestHeaders: readonly string[],
  { startedAt, durationMs, responseStatus, responseHeaders, responseBody, responseTruncated }: Exchange,
): SettledAttempt => ({
  trigger,
  startedAt,
  durationMs,
  requestHeaders,
  responseStatus,
  responseHeaders,
  responseBody,
  responseTruncated,
});

/** What a settle changed. */
export interface Settled {
  /** Deliveries that had the number of attempts that was expected; the others were settled by somebody else. */
  readonly applied: ReadonlySet<string>;
  /** Webhooks that were disabled: a receiver is gone, or everything failed for a day. */
  readonly disabled: readonly string[];
  /** Webhooks, these among them, whose health is another than before. */
  readonly healthChanged: readonly WebhookHealthChange[];
  /** Whether there is something in the operational outbox that was not before. */
  readonly announces: boolean;
}

/** A settlement as the statement reads it. */
const INPUT = {
  id: 'uuid',
  n: 'int',
  s: 'text',
  next: 'double precision',
  kp: 'boolean',
  cost: 'int',
  cc: 'boolean',
  cu: 'double precision',
  held: 'double precision',
  gone: 'boolean',
  x: 'boolean',
  aid: 'uuid',
  tg: 'text',
  st: 'double precision',
  ms: 'int',
  rq: 'text',
  rs: 'int',
  rh: 'text',
  rb: 'text',
  rt: 'boolean',
  ec: 'text',
  em: JSON_STRING,
  ch: 'text',
  mi: 'int',
  lb: 'smallint',
} as const;

/**
 * One statement, one commit for a batch: open → history → attempt → feed → rollup → health → webhook → operational outbox. Everything
 * after the compare-and-set (`attempts = n`) derives from the rows that it returned, so a repeated or stale settle changes
 * nothing. Planned once per connection; all look-ups by primary key.
 */
export const SETTLE = `/*settle*/
with input as materialized (
  ${readLines(INPUT, '$1')}
), ended as (
  delete from delivery_open o using input i
  where o.id = i.id and o.attempts = i.n and i.next is null
  returning o.tenant_id, o.webhook_id, o.event_id, o.event_type, o.is_test, o.is_forward, o.created_at, o.payload_fields,
    o.response_status, o.duration_ms, i.*
), continued as (
  update delivery_open o set
    attempts = o.attempts + 1, cycle_attempts = o.cycle_attempts + i.cost, trigger = 'RETRY',
    next_at = case when i.kp then o.next_at else from_epoch_ms(i.next) end,
    retry_at = case when i.kp then from_epoch_ms(i.next) end, response_status = i.rs, duration_ms = i.ms,
    error_code = i.ec, error_message = i.em
  from input i
  where o.id = i.id and o.attempts = i.n and i.next is not null
  returning o.tenant_id, o.webhook_id, o.event_type, i.*
), history as (
  insert into delivery (id, tenant_id, webhook_id, event_id, event_type, status, is_test, attempts, created_at,
    completed_at, payload_fields, response_status, duration_ms, error_code, error_message, is_forward)
  select id, tenant_id, webhook_id, event_id, event_type, s, is_test,
    n + case when st is null then 0 else 1 end, created_at,
    clock_timestamp(), payload_fields, case when st is null then response_status else rs end,
    case when st is null then duration_ms else ms end, ec, em, is_forward
  from ended
), touched as (
  select tenant_id, webhook_id, event_type, id, n, next, cc, cu, held, gone, x, aid, tg, st, ms, rq, rs, rh, rb, rt, ec, em, ch, s, mi, lb from ended
  union all
  select tenant_id, webhook_id, event_type, id, n, next, cc, cu, held, gone, x, aid, tg, st, ms, rq, rs, rh, rb, rt, ec, em, ch, 'RETRYING', mi, lb from continued
), attempts as (
  insert into attempt (id, tenant_id, delivery_id, number, trigger, started_at, duration_ms, request_headers,
    response_status, response_headers, response_body, response_truncated, error_code, error_message)
  select aid, tenant_id, id, n + 1, tg, from_epoch_ms(st), ms, rq, rs, rh,
    decode(rb, 'base64'), rt, ec, em
  from touched where st is not null
), feed as (
  insert into feed_outbox (tenant_id, changes)
  select tenant_id, '[' || string_agg(ch, ',' order by st) || ']' from touched group by tenant_id
), ${counting(`
  select tenant_id, webhook_id, event_type, mi as minute, case when n > 0 then 'RETRYING' end as was, s as becomes,
    n > 0 or st is not null as tried, lb as latency
  from touched where not x and s <> 'FILTERED'`)}, real as (
  select tenant_id, webhook_id, st + ms as at, ec is null as ok, gone, cc, event_type in (${OPERATIONAL_TYPES_SQL}) as operational
  from touched where st is not null and not x
), ended_at as (
  select tenant_id, webhook_id, max(at) as last_at, max(at) filter (where ok) as ok_at, max(at) filter (where not ok) as failed_at,
    max(at) filter (where not ok and not operational) as tellable_at, array_agg(at) filter (where not ok) as failures_at,
    bool_or(gone) as gone, bool_or(cc) as switches
  from real group by tenant_id, webhook_id
), streak as (
  select ended_at.*, coalesce(tellable_at > ok_at, tellable_at is not null) as may_tell, since_ok.*
  from ended_at cross join lateral (
    select count(*)::int as failures, min(at) as failing_at from unnest(failures_at) as at where ok_at is null or at > ok_at
  ) as since_ok
), health as (
  update webhook_health h set
    last_delivery_at = greatest(h.last_delivery_at, from_epoch_ms(k.last_at)),
    last_success_at = greatest(h.last_success_at, from_epoch_ms(k.ok_at)),
    last_failure_at = greatest(h.last_failure_at, from_epoch_ms(k.failed_at)),
    ${FAILING_SETTLED.assignments}
  from streak k where h.webhook_id = k.webhook_id
  returning k.tenant_id, h.webhook_id, h.consecutive_failures, h.failing_since, k.gone, ${FAILING_SETTLED.facts}
), holding as (
  update lane l set held_until = greatest(l.held_until, from_epoch_ms(t.held)),
    circuit_until = case when t.switches then from_epoch_ms(t.circuit) else l.circuit_until end
  from (
    select webhook_id, max(held) as held, bool_or(cc) as switches,
      (array_agg(cu order by st desc) filter (where cc))[1] as circuit
    from touched where held is not null or cc group by webhook_id
  ) t
  where l.webhook_id = t.webhook_id
), disabling as (
  update webhook w set status = 'DISABLED', disabled_at = clock_timestamp(), version = w.version + 1,
    updated_at = clock_timestamp(),
    disabled_reason = case when h.gone then 'The receiver answered 410 Gone: it does not want this webhook any more.'
      else ${OVERDUE_REASON_SQL} end
  from health h
  where w.id = h.webhook_id and (h.gone and w.status <> 'DISABLED' or h.overdue and w.status = 'ACTIVE')
  returning w.tenant_id, w.id, w.disabled_reason, h.consecutive_failures, h.failing_since
), announced as (
  insert into operational_outbox (tenant_id, webhook_id, type, detail)
  select tenant_id, webhook_id, 'webhook.failing',
    json_build_object('failures', consecutive_failures, 'since', epoch_ms(failing_since))::text
  from health where told
  union all
  select tenant_id, id, 'webhook.disabled', json_build_object('reason', disabled_reason,
    'failures', consecutive_failures, 'since', epoch_ms(failing_since))::text
  from disabling
  union all
  select tenant_id, webhook_id, 'delivery.abandoned', json_build_object('delivery', id, 'event', event_id,
    'type', event_type, 'attempts', n + case when st is null then 0 else 1 end,
    'status', case when st is null then response_status else rs end, 'code', ec, 'message', em)::text
  from ended
  where s = 'ABANDONED' and not is_test and not is_forward and event_type not in (${OPERATIONAL_TYPES_SQL})
    and exists (select from webhook_subscription b where b.tenant_id = ended.tenant_id
      and b.pattern in ('delivery.abandoned', 'delivery.*', '*'))
  returning tenant_id, webhook_id
)
select id, null::uuid as tenant_id, 'stale' as what from (select id from input except select id from touched) as stale
union all select id, tenant_id, 'disabled' from disabling
union all select webhook_id, tenant_id, 'changed' from health where changed
union all select webhook_id, tenant_id, 'announced' from announced`;

/** A delivery that had another number of attempts, or a webhook to which something happened. */
interface SettledRow {
  readonly id: string;
  /** Of a webhook. */
  readonly tenant_id: string;
  readonly what: 'stale' | 'disabled' | 'changed' | 'announced';
}

/**
 * Settles a batch in one transaction. Throws what PostgreSQL throws; then nothing of the batch happened. Safe to
 * repeat.
 */
export const settle = async (sql: Sql, batch: readonly Settlement[]): Promise<Settled> => {
  const rows = await sql.query<SettledRow>(SETTLE, [linesOf(INPUT, batch.map(inputRow))]);
  const stale = new Set(rows.filter(({ what }) => what === 'stale').map(({ id }) => id));
  const changed = rows.filter(({ what }) => what === 'disabled' || what === 'changed');
  return {
    applied: new Set(batch.map(({ deliveryId }) => deliveryId).filter((id) => !stale.has(id))),
    disabled: rows.filter(({ what }) => what === 'disabled').map(({ id }) => id),
    healthChanged: changed.map(({ tenant_id, id }) => ({ tenantId: tenant_id, webhookId: id })),
    announces: rows.some(({ what }) => what === 'announced'),
  };
};

/** As JSON the batch took PostgreSQL longer to read than to store its attempts: 28 us for each, of which lines take a third. */
const inputRow = (settlement: Settlement) => {
  const { attempt, error } = settlement;
  return {
    id: settlement.deliveryId,
    n: settlement.attemptsBefore,
    s: settlement.status,
    next: settlement.nextAt,
    kp: settlement.keepsPlace,
    cost: settlement.countsAsFailure ? 1 : 0,
    cc: settlement.circuitUntil !== undefined,
    cu: settlement.circuitUntil,
    held: settlement.heldUntil,
    gone: settlement.isGone,
    x: settlement.isTest,
    aid: attempt && deriveId(settlement.deliveryId, String(settlement.attemptsBefore + 1)),
    tg: attempt?.trigger,
    st: attempt?.startedAt,
    ms: attempt?.durationMs,
    rq: attempt && headersJson(attempt.requestHeaders),
    rs: attempt?.responseStatus,
    rh: attempt?.responseHeaders && headersJson(attempt.responseHeaders.flat()),
    rb: attempt?.responseBody?.toString('base64'),
    rt: attempt?.responseTruncated,
    ec: error?.code,
    em: error && JSON.stringify(storable(error.message)),
    ch: JSON.stringify(changeOf(settlement)),
    mi: minuteOf(idTime(settlement.deliveryId)),
    lb: attempt && latencyBucket(attempt.durationMs),
  };
};

const changeOf = (settlement: Settlement): FeedChange => {
  const { attempt, error } = settlement;
  return {
    at: attempt ? attempt.startedAt + attempt.durationMs : Date.now(),
    d: settlement.deliveryId,
    w: settlement.webhookId,
    e: settlement.eventId,
    n: settlement.webhookName,
    t: settlement.eventType,
    s: settlement.status,
    ...(settlement.isTest && { x: 1 as const }),
    ...(settlement.isForward && { f: 1 as const }),
    a: settlement.attemptsBefore + (attempt ? 1 : 0),
    ...(attempt && { m: attempt.durationMs }),
    ...(attempt && attempt.responseStatus !== null && { r: attempt.responseStatus }),
    ...(error && { c: error.code, g: error.message }),
  };
};

/** Name to value, or to a list where a name came more than once. */
const headersJson = (flat: readonly string[]): string => {
  const headers = new Map<string, string | string[]>();
  for (let index = 0; index < flat.length; index += 2) {
    const name = flat[index]!;
    const value = flat[index + 1]!;
    const present = headers.get(name);
    headers.set(name, present === undefined ? value : [present, value].flat());
  }
  return JSON.stringify(Object.fromEntries(headers));
};

/** Text that PostgreSQL can hold: no NUL, no lone surrogate. */
const storable = (text: string): string => text.replaceAll('\0', '').toWellFormed();

const INSERT_EVENT = `/*insert_event*/
insert into event (id, tenant_id, type, entity_id, source, is_test, occurred_at, published_at, body)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`;

const INSERT_OPEN = `/*insert_open*/
insert into delivery_open
  (id, tenant_id, webhook_id, event_id, event_type, is_test, next_at, created_at, expires_at, payload_fields)
values ($1, $2, $3, $4, $5, $6, 'infinity', clock_timestamp(), 'infinity', $7)`;

/** Records an event of its own and a delivery that is over already, with its one attempt, in one transaction. */
export const recordFinished = async (
  database: Database,
  event: EventRecord,
  payloadFields: readonly string[] | null,
  settlement: Settlement,
): Promise<void> => {
  await database.transaction(async (sql) => {
    await sql.query(INSERT_EVENT, [
      event.id,
      event.tenantId,
      event.type,
      event.entityId,
      event.source,
      event.isTest,
      event.occurredAt,
      event.publishedAt,
      event.body,
    ]);
    await sql.query(INSERT_OPEN, [
      settlement.deliveryId,
      event.tenantId,
      settlement.webhookId,
      event.id,
      event.type,
      event.isTest,
      payloadFields,
    ]);
    await settle(sql, [settlement]);
  });
};

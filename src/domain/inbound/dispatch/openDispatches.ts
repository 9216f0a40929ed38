import type { Sql } from '../../../platform/database.ts';
import { deriveId } from '../../../platform/ids.ts';
import { MAX_OPEN_MS } from '../../deliveries/schedule.ts';
import type { AuthStatus } from '../verification/verification.ts';
import type { DispatchStatus } from '../inboundDelivery.ts';
import type { InboundChange } from '../inboundFeed.ts';
import type { InboundHandlerType } from '../inboundWebhook.ts';

/** A request that was received and waits for what is to be done with it. */
export interface OpenDispatch {
  readonly id: string;
  readonly tenantId: string;
  readonly webhookId: string;
  readonly isTest: boolean;
  /** Attempts made: the number that a settle compares and sets. */
  readonly attempts: number;
  /** Open for longer than it may be. */
  readonly isExpired: boolean;
  readonly receivedAt: number;
  readonly eventType: string | null;
  readonly authStatus: AuthStatus;
  readonly idempotencyKey: string | null;
  /** Names in lower case, without credentials. */
  readonly headers: Readonly<Record<string, string>>;
  readonly contentType: string | null;
  /** As it came; null where it is not stored any more. */
  readonly body: Buffer | null;
  readonly responseStatus: number;
  readonly durationMs: number;
  /** How often it had passed through hookgraph before. */
  readonly hops: number;
}

/** What an inbound webhook does with what it receives, as it is set now. */
export interface DispatchTarget {
  readonly webhookId: string;
  readonly tenantId: string;
  readonly name: string;
  readonly slug: string;
  readonly source: string;
  readonly isDisabled: boolean;
  readonly handlerType: InboundHandlerType;
  readonly action: string | null;
  /** Target field to JSONata. */
  readonly fieldMapping: Readonly<Record<string, string>>;
  readonly workflowId: string | null;
  /** It has an address to forward to. */
  readonly forwards: boolean;
}

interface OpenRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly is_test: boolean;
  readonly attempts: number;
  readonly is_expired: boolean;
  readonly received_at: number | null;
  readonly event_type: string | null;
  readonly auth_status: AuthStatus;
  readonly idempotency_key: string | null;
  readonly headers: string | null;
  readonly content_type: string | null;
  readonly body: Buffer | null;
  readonly response_status: number;
  readonly duration_ms: number;
  readonly hops: number;
}

/** In the order in which they came, by `inbound_open_due`; each with its record, one probe of its partition. */
export const READ_DISPATCHES = `/*dispatches_read*/
select o.id, o.tenant_id, o.is_test, o.attempts, o.expires_at <= now() as is_expired, epoch_ms(d.received_at) as received_at,
  d.event_type, d.auth_status, d.idempotency_key, d.headers, d.content_type, d.body, d.response_status, d.duration_ms, d.hops
from (
  select * from inbound_open where webhook_id = $1 and band = 0 and next_at <= now() order by next_at, seq limit $2
) o left join inbound_delivery d on d.id = o.id
order by o.next_at, o.seq`;

/** At most `most` of what is due of a webhook, the first one first. */
export const readDispatches = async (sql: Sql, webhookId: string, most: number): Promise<OpenDispatch[]> =>
  (await sql.query<OpenRow>(READ_DISPATCHES, [webhookId, most])).map((row) => ({
    id: row.id,
    tenantId: row.tenant_id,
    webhookId,
    isTest: row.is_test,
    attempts: row.attempts,
    isExpired: row.is_expired,
    receivedAt: row.received_at ?? 0,
    eventType: row.event_type,
    authStatus: row.auth_status,
    idempotencyKey: row.idempotency_key,
    headers: row.headers === null ? {} : (JSON.parse(row.headers) as Record<string, string>),
    contentType: row.content_type,
    body: row.body,
    responseStatus: row.response_status,
    durationMs: row.duration_ms,
    hops: row.hops,
  }));

interface TargetRow {
  readonly tenant_id: string;
  readonly name: string;
  readonly slug: string;
  readonly source: string;
  readonly status: string;
  readonly handler_type: InboundHandlerType;
  readonly handler_action: string | null;
  readonly handler_field_mapping: string | null;
  readonly handler_workflow_id: string | null;
  readonly forwards: boolean;
}

/** Null where the webhook is gone. */
export const readDispatchTarget = async (sql: Sql, webhookId: string): Promise<DispatchTarget | null> => {
  const [row] = await sql.query<TargetRow>(
    `/*dispatch_target*/
     select tenant_id, name, slug, source, status, handler_type, handler_action, handler_field_mapping,
       handler_workflow_id, url is not null as forwards
     from inbound_webhook where id = $1`,
    [webhookId],
  );
  if (!row) return null;
  return {
    webhookId,
    tenantId: row.tenant_id,
    name: row.name,
    slug: row.slug,
    source: row.source,
    isDisabled: row.status === 'DISABLED',
    handlerType: row.handler_type,
    action: row.handler_action,
    fieldMapping: JSON.parse(row.handler_field_mapping ?? '{}') as Record<string, string>,
    workflowId: row.handler_workflow_id,
    forwards: row.forwards,
  };
};

/** What one attempt brought. */
export interface DispatchSettlement {
  readonly dispatch: OpenDispatch;
  /** Of the webhook; its last where it is gone. */
  readonly webhookName: string;
  /** PENDING: it is tried again at `nextAt`. */
  readonly status: Extract<DispatchStatus, 'PENDING' | 'DISPATCHED' | 'FAILED'>;
  /** Ms since the epoch; null where it has ended. */
  readonly nextAt: number | null;
  /** JSON for those who look: what was done, or why not. */
  readonly outcome: Readonly<Record<string, unknown>> | null;
  readonly workflowRunId: string | null;
  /** Queues the request for the webhook's address, in the same transaction. Once: with the first attempt. */
  readonly forwards: boolean;
}

/**
 * Writes down what came of a batch, in one statement: what ended leaves the open ones, what is to be tried again waits.
 * A compare-and-set: where the row has another number of attempts than `n` nothing of it happens. A failure for good
 * frees the idempotency key. All look-ups by primary key.
 */
export const SETTLE_DISPATCHES = `/*dispatches_settle*/
with input as materialized (
  select * from json_to_recordset($1::json) as input(
    id uuid, n int, s text, next double precision, o text, run uuid, fw uuid, nm text, ch json)
), ended as (
  delete from inbound_open x using input i where x.id = i.id and x.attempts = i.n and i.next is null
  returning x.tenant_id, x.webhook_id, x.is_test, x.key, i.*
), continued as (
  update inbound_open x set attempts = x.attempts + 1, next_at = from_epoch_ms(i.next)
  from input i where x.id = i.id and x.attempts = i.n and i.next is not null
  returning x.tenant_id, x.webhook_id, x.is_test, null::bytea as key, i.*
), touched as (select * from ended union all select * from continued),
recorded as (
  update inbound_delivery d set dispatch_status = t.s, handler_outcome = t.o, attempt_count = t.n + 1,
    workflow_run_id = coalesce(t.run, d.workflow_run_id)
  from touched t where d.id = t.id
  returning d.id, d.tenant_id, d.webhook_id, d.event_type, d.is_test, t.fw, t.nm
), freed as (
  delete from inbound_key k using ended e
  where e.s = 'FAILED' and k.webhook_id = e.webhook_id and k.key = e.key and k.delivery_id = e.id
), forwarded as (
  insert into delivery_open
    (id, tenant_id, webhook_id, event_id, event_type, is_test, is_forward, next_at, created_at, expires_at)
  select fw, tenant_id, webhook_id, id, coalesce(event_type, ''), is_test, true, now(), now(), now() + $2 * interval '1 ms'
  from recorded where fw is not null order by id
  on conflict (id) do nothing
), laned as (
  insert into lane (webhook_id, tenant_id, webhook_name)
  select distinct webhook_id, tenant_id, nm from recorded where fw is not null
  on conflict (webhook_id) do nothing
), told as (
  insert into feed_outbox (tenant_id, kind, changes)
  select tenant_id, 1, '[' || string_agg(ch::text, ',') || ']' from touched group by tenant_id
)
select id, epoch_ms(now()) as at from touched`;

/** What a settle changed. */
export interface SettledDispatches {
  /** Those that had the expected number of attempts; the others were settled by somebody else. */
  readonly applied: ReadonlySet<string>;
  /** When what it forwards became due, ms since the epoch. */
  readonly at: number;
}

export const settleDispatches = async (sql: Sql, batch: readonly DispatchSettlement[]): Promise<SettledDispatches> => {
  const input = JSON.stringify(batch.map(inputOf));
  const rows = await sql.query<{ id: string; at: number }>(SETTLE_DISPATCHES, [input, MAX_OPEN_MS]);
  return { applied: new Set(rows.map(({ id }) => id)), at: rows[0]?.at ?? 0 };
};

/** The delivery that forwards an inbound one. */
export const forwardIdOf = ({ id, webhookId }: Pick<OpenDispatch, 'id' | 'webhookId'>): string =>
  deriveId(id, webhookId);

const inputOf = (settlement: DispatchSettlement): Record<string, unknown> => {
  const { dispatch, status, nextAt, outcome, workflowRunId, forwards, webhookName } = settlement;
  const change: InboundChange = {
    at: Date.now(),
    d: dispatch.id,
    w: dispatch.webhookId,
    n: webhookName,
    ...(dispatch.eventType !== null && { t: dispatch.eventType }),
    u: dispatch.authStatus,
    s: status,
    r: dispatch.responseStatus,
    m: dispatch.durationMs,
    ...(dispatch.isTest && { x: 1 }),
  };
  return {
    id: dispatch.id,
    n: dispatch.attempts,
    s: status,
    next: nextAt,
    o: outcome === null ? null : storableJson(outcome),
    run: workflowRunId,
    fw: forwards ? forwardIdOf(dispatch) : null,
    nm: webhookName,
    ch: change,
  };
};

/** JSON in which PostgreSQL's text has nothing to refuse: escapes of NUL stay escapes, lone surrogates are replaced. */
const storableJson = (value: unknown): string => JSON.stringify(value).toWellFormed();

const HOLD = `/*dispatch_hold*/ select id from inbound_open where id = $1 and attempts = $2 for update`;

/** Keeps everybody else from settling it until the transaction ends; false where somebody has. */
export const holdDispatch = async (sql: Sql, { id, attempts }: OpenDispatch): Promise<boolean> =>
  (await sql.query(HOLD, [id, attempts])).length > 0;

const DROP_UNRECORDED = `/*dispatches_unrecorded*/ delete from inbound_open where id = any($1::uuid[])`;

/** Forgets what has no record any more, because its partition was dropped. */
export const dropUnrecorded = async (sql: Sql, ids: readonly string[]): Promise<void> => {
  await sql.query(DROP_UNRECORDED, [ids]);
};

const DUE_SINCE = `/*dispatches_due_since*/
select distinct webhook_id, tenant_id from (
  select webhook_id, tenant_id from inbound_open
  where next_at > from_epoch_ms($1) and next_at <= now() order by next_at limit 5000
) recent`;
const WITH_WORK = `/*dispatches_with_work*/
select given.id as webhook_id, o.tenant_id from unnest($1::uuid[]) as given(id)
cross join lateral (
  select tenant_id from inbound_open o where o.webhook_id = given.id and o.band = 0 and o.next_at <= now()
  order by o.next_at, o.seq limit 1) o`;
/** The webhooks with something open, one after the other by one probe each, however much each has. */
const OPEN_AFTER = `/*dispatches_open*/
with recursive walk as (
  (select webhook_id, 1 as n from inbound_open where webhook_id > $1 order by webhook_id limit 1)
  union all
  select next.webhook_id, walk.n + 1 from walk cross join lateral (
    select o.webhook_id from inbound_open o where o.webhook_id > walk.webhook_id order by o.webhook_id limit 1) next
  where walk.n < 1000
)
select webhook_id from walk`;

interface LaneRow {
  readonly webhook_id: string;
  readonly tenant_id: string;
}
const laneOf = (row: LaneRow): { webhookId: string; tenantId: string } => ({
  webhookId: row.webhook_id,
  tenantId: row.tenant_id,
});

/** The webhooks of which something became due after that moment (ms since the epoch), of the first 5,000 that did. */
export const dispatchesDueSince = async (sql: Sql, since: number): Promise<{ webhookId: string; tenantId: string }[]> =>
  (await sql.query<LaneRow>(DUE_SINCE, [since])).map(laneOf);

/** Those of these webhooks that have something due. */
export const dispatchesWithWork = async (
  sql: Sql,
  webhookIds: readonly string[],
): Promise<{ webhookId: string; tenantId: string }[]> =>
  (await sql.query<LaneRow>(WITH_WORK, [webhookIds])).map(laneOf);

/** A slice of the webhooks that have anything open, in the order of their ids. */
export const openDispatchSlice = async (sql: Sql, after: string): Promise<string[]> =>
  (await sql.query<{ webhook_id: string }>(OPEN_AFTER, [after])).map((row) => row.webhook_id);

import type { Sql } from '../../platform/database.ts';
import { idRangeOf, lowestIdAt } from '../../platform/ids.ts';
import { splitTypePatterns } from '../events/typePatterns.ts';
import type { DispatchStatus, InboundDeliveryRecord } from './inboundDelivery.ts';
import type { AuthStatus } from './verification/verification.ts';
import { COUNT_LIMIT } from '../page.ts';

/** Which inbound deliveries a list shows; what is left out does not narrow, and an empty list matches nothing. */
export interface InboundListFilter {
  readonly webhookId?: string | undefined;
  readonly authStatus?: readonly AuthStatus[] | undefined;
  readonly dispatchStatus?: readonly DispatchStatus[] | undefined;
  /** Names, or wildcards such as `ticket.*`. */
  readonly eventTypes?: readonly string[] | undefined;
  readonly isTest?: boolean | undefined;
  readonly isReplay?: boolean | undefined;
  /** Received at or after. */
  readonly from?: Date | undefined;
  /** Received before. */
  readonly to?: Date | undefined;
}

export interface InboundPage {
  /** Newest first. */
  readonly deliveries: readonly InboundDeliveryRecord[];
  readonly hasMore: boolean;
}

interface InboundRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly webhook_id: string;
  readonly received_at: number;
  readonly event_type: string | null;
  readonly auth_status: AuthStatus;
  readonly dispatch_status: DispatchStatus;
  readonly idempotency_key: string | null;
  readonly duplicate_of: string | null;
  readonly method: string;
  readonly path: string;
  readonly headers: string;
  readonly content_type: string | null;
  readonly has_body: boolean;
  readonly source_ip: string | null;
  readonly response_status: number;
  readonly duration_ms: number;
  readonly handler_outcome: string | null;
  readonly attempt_count: number;
  readonly is_test: boolean;
  readonly is_replay: boolean;
  readonly replayed_from: string | null;
  readonly workflow_run_id: string | null;
  readonly hops: number;
}

// A body may be a megabyte, and lists rarely show it: see findInboundBodies.
const COLUMNS = `d.id, d.tenant_id, d.webhook_id, epoch_ms(d.received_at) as received_at, d.event_type, d.auth_status,
  d.dispatch_status, d.idempotency_key, d.duplicate_of, d.method, d.path, d.headers, d.content_type,
  d.body is not null as has_body, d.source_ip, d.response_status, d.duration_ms, d.handler_outcome, d.attempt_count,
  d.is_test, d.is_replay, d.replayed_from, d.workflow_run_id, d.hops`;

/** The deliveries with these ids; those of other tenants and those that are not kept any more are left out. */
export const findInboundDeliveries = async (
  sql: Sql,
  tenantId: string,
  ids: readonly string[],
): Promise<Map<string, InboundDeliveryRecord>> => {
  if (ids.length === 0) return new Map();
  const rows = await sql.query<InboundRow>(
    `/*inbound_deliveries_by_id*/
     select ${COLUMNS} from inbound_delivery d
      where d.id = any($2::uuid[]) and d.id >= $3 and d.id < $4 and d.tenant_id = $1`,
    [tenantId, ids, ...idRangeOf(ids)],
  );
  return new Map(rows.map((row) => [row.id, recordOf(row)]));
};

/** The bodies of these deliveries, byte for byte as they came; those that have none are left out. */
export const findInboundBodies = async (
  sql: Sql,
  tenantId: string,
  ids: readonly string[],
): Promise<Map<string, Buffer>> => {
  if (ids.length === 0) return new Map();
  const rows = await sql.query<{ id: string; body: Buffer }>(
    `/*inbound_bodies*/
     select d.id, d.body from inbound_delivery d
      where d.id = any($2::uuid[]) and d.id >= $3 and d.id < $4 and d.tenant_id = $1 and d.body is not null`,
    [tenantId, ids, ...idRangeOf(ids)],
  );
  return new Map(rows.map((row) => [row.id, row.body]));
};

/**
 * At most `first` deliveries, newest first (of one millisecond: in the order of their ids), after the delivery with the
 * id `after` (null: from the newest). Walks an index backwards, (webhook_id, id) where the webhook is given, else
 * (tenant_id, id), newest partition first, and stops at a page; other filters are checked row by row.
 */
export const listInboundDeliveries = async (
  sql: Sql,
  tenantId: string,
  filter: InboundListFilter,
  page: { readonly first: number; readonly after: string | null },
): Promise<InboundPage> => {
  const { where, values } = conditionOf(tenantId, filter);
  if (page.after !== null) where.push(`d.id < $${values.push(page.after)}`);
  const rows = await sql.query<InboundRow>(
    `select ${COLUMNS} from inbound_delivery d where ${where.join(' and ')}
      order by d.id desc limit $${values.push(page.first + 1)}`,
    values,
  );
  return { deliveries: rows.slice(0, page.first).map(recordOf), hasMore: rows.length > page.first };
};

/** How many deliveries a list has in all: exact up to 100,000, and 100,000 beyond, so that counting never takes long. */
export const countInboundDeliveries = async (
  sql: Sql,
  tenantId: string,
  filter: InboundListFilter,
): Promise<number> => {
  const { where, values } = conditionOf(tenantId, filter);
  const [row] = await sql.query<{ count: number }>(
    `select count(*)::integer as count
       from (select 1 from inbound_delivery d where ${where.join(' and ')} limit ${COUNT_LIMIT}) as counted`,
    values,
  );
  return row!.count;
};

const conditionOf = (tenantId: string, filter: InboundListFilter): { where: string[]; values: unknown[] } => {
  const values: unknown[] = [tenantId];
  const where = ['d.tenant_id = $1'];
  const { webhookId, authStatus, dispatchStatus, eventTypes, isTest, isReplay, from, to } = filter;
  if (webhookId !== undefined) where.push(`d.webhook_id = $${values.push(webhookId)}`);
  if (authStatus) where.push(`d.auth_status = any($${values.push(authStatus)}::text[])`);
  if (dispatchStatus) where.push(`d.dispatch_status = any($${values.push(dispatchStatus)}::text[])`);
  if (isTest !== undefined) where.push(`d.is_test = $${values.push(isTest)}`);
  if (isReplay !== undefined) where.push(`d.is_replay = $${values.push(isReplay)}`);
  if (from) where.push(`d.id >= $${values.push(lowestIdAt(from.getTime()))}`);
  if (to) where.push(`d.id < $${values.push(lowestIdAt(to.getTime()))}`);
  if (eventTypes) {
    const { names, prefixes } = splitTypePatterns(eventTypes);
    where.push(
      `(d.event_type = any($${values.push(names)}::text[])
        or exists (select from unnest($${values.push(prefixes)}::text[]) as prefix where starts_with(d.event_type, prefix)))`,
    );
  }
  return { where, values };
};

const recordOf = (row: InboundRow): InboundDeliveryRecord => ({
  id: row.id,
  tenantId: row.tenant_id,
  webhookId: row.webhook_id,
  receivedAt: new Date(Math.round(row.received_at)),
  eventType: row.event_type,
  authStatus: row.auth_status,
  dispatchStatus: row.dispatch_status,
  idempotencyKey: row.idempotency_key,
  duplicateOf: row.duplicate_of,
  method: row.method,
  path: row.path,
  headers: JSON.parse(row.headers) as Record<string, string>,
  contentType: row.content_type,
  hasBody: row.has_body,
  sourceIp: row.source_ip,
  responseStatus: row.response_status,
  durationMs: row.duration_ms,
  handlerOutcome: row.handler_outcome === null ? null : (JSON.parse(row.handler_outcome) as unknown),
  attemptCount: row.attempt_count,
  isTest: row.is_test,
  isReplay: row.is_replay,
  replayedFrom: row.replayed_from,
  workflowRunId: row.workflow_run_id,
  hops: row.hops,
});

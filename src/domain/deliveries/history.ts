import type { Sql } from '../../platform/database.ts';
import { idRangeOf, lowestIdAt } from '../../platform/ids.ts';
import { splitTypePatterns } from '../events/typePatterns.ts';
import type { AttemptErrorCode, DeliveryRecord, DeliveryStatus } from './delivery.ts';

/** Which deliveries a list shows; what is left out does not narrow, and an empty list matches nothing. */
export interface DeliveryListFilter {
  readonly webhookId?: string | undefined;
  readonly eventId?: string | undefined;
  readonly status?: readonly DeliveryStatus[] | undefined;
  /** Names, or wildcards such as `ticket.*`. */
  readonly eventTypes?: readonly string[] | undefined;
  readonly isTest?: boolean | undefined;
  /** Of the last attempt. */
  readonly responseStatus?: number | undefined;
  /** Of events published at or after. */
  readonly from?: Date | undefined;
  /** Of events published before. */
  readonly to?: Date | undefined;
}

/** A row of either table, as both are selected. */
export interface DeliveryRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly webhook_id: string;
  readonly event_id: string;
  readonly event_type: string;
  readonly status: DeliveryStatus;
  readonly is_test: boolean;
  readonly is_forward: boolean;
  readonly attempts: number;
  readonly next_at: number | null;
  readonly payload_fields: string[] | null;
  readonly response_status: number | null;
  readonly duration_ms: number | null;
  readonly error_code: AttemptErrorCode | null;
  readonly error_message: string | null;
  readonly created_at: number;
  readonly completed_at: number | null;
}

/*
 * A delivery is in one of two tables, and moves from the one to the other in a single transaction: both are read in one
 * statement, so in one snapshot, and every delivery is in exactly one branch. What is open has no stored status.
 */
export const OPEN_STATUS = `case when w.status = 'PAUSED' then 'HELD' when d.attempts = 0 then 'PENDING' else 'RETRYING' end`;
/** Gives an open delivery `d` its target `w`. */
export const WITH_TARGET = `left join lane_target w on w.id = d.webhook_id`;
export const OPEN_FROM = `delivery_open d ${WITH_TARGET}`;
export const OPEN_STATUSES: ReadonlySet<DeliveryStatus> = new Set<DeliveryStatus>(['PENDING', 'RETRYING', 'HELD']);

const SHARED = `d.id, d.tenant_id, d.webhook_id, d.event_id, d.event_type, d.is_test, d.attempts, d.payload_fields,
  d.response_status, d.duration_ms, d.error_code, d.error_message, d.is_forward, epoch_ms(d.created_at) as created_at`;
/** Of an open delivery `d` with its target `w`. */
// Nobody knows when a held one will be sent.
export const OPEN_COLUMNS = `${SHARED}, ${OPEN_STATUS} as status,
  case when w.status = 'PAUSED' then null else epoch_ms(coalesce(d.retry_at, d.next_at)) end as next_at, null::double precision as completed_at`;
export const ENDED_COLUMNS = `${SHARED}, d.status, null::double precision as next_at, epoch_ms(d.completed_at) as completed_at`;

/** The deliveries with these ids; those of other tenants and those that are not kept any more are left out. */
export const findDeliveries = async (
  sql: Sql,
  tenantId: string,
  ids: readonly string[],
): Promise<Map<string, DeliveryRecord>> => {
  if (ids.length === 0) return new Map();
  // The range lets PostgreSQL leave out partitions; it can't do that for the list.
  const ours = `d.id = any($2::uuid[]) and d.id >= $3 and d.id < $4 and d.tenant_id = $1`;
  const rows = await sql.query<DeliveryRow>(
    `/*deliveries_by_id*/
     select ${OPEN_COLUMNS} from delivery_open d ${WITH_TARGET} where ${ours}
     union all
     select ${ENDED_COLUMNS} from delivery d where ${ours}`,
    [tenantId, ids, ...idRangeOf(ids)],
  );
  return new Map(rows.map((row) => [row.id, deliveryOf(row)]));
};

/** One delivery by its id, open or ended; null where this tenant has none such. */
export const findDelivery = async (sql: Sql, tenantId: string, id: string): Promise<DeliveryRecord | null> =>
  (await findDeliveries(sql, tenantId, [id])).get(id) ?? null;

/** What a filter asks of a delivery `d`, whichever table it is in, but for its tenant, its webhook and its status. */
export interface DeliveryCriteria {
  /** Its id is none before this one. */
  readonly fromId: string | null;
  /** Its id comes before this one. */
  readonly beforeId: string | null;
  /** Conditions over `values`, to be checked row by row. */
  readonly checks: string[];
}

/** @param values the parameters of the statement, which are added to */
export const criteriaOf = (filter: DeliveryListFilter, values: unknown[]): DeliveryCriteria => {
  const checks: string[] = [];
  const { eventId, eventTypes, isTest, responseStatus, from, to } = filter;
  const lowest = from ? [lowestIdAt(from.getTime())] : [];
  const beyond = to ? [lowestIdAt(to.getTime())] : [];
  if (eventId !== undefined) {
    // A delivery's id has the millisecond of its event.
    const [lowestOfEvent, beyondEvent] = idRangeOf([eventId]);
    lowest.push(lowestOfEvent);
    beyond.push(beyondEvent);
    checks.push(`d.event_id = $${values.push(eventId)}`);
  }
  if (isTest !== undefined) checks.push(`d.is_test = $${values.push(isTest)}`);
  if (responseStatus !== undefined) checks.push(`d.response_status = $${values.push(responseStatus)}`);
  if (eventTypes) {
    const { names, prefixes } = splitTypePatterns(eventTypes);
    checks.push(
      `(d.event_type = any($${values.push(names)}::text[])
        or exists (select from unnest($${values.push(prefixes)}::text[]) as prefix where starts_with(d.event_type, prefix)))`,
    );
  }
  return { fromId: lowest.sort().at(-1) ?? null, beforeId: beyond.sort()[0] ?? null, checks };
};

export const deliveryOf = (row: DeliveryRow): DeliveryRecord => ({
  id: row.id,
  tenantId: row.tenant_id,
  webhookId: row.webhook_id,
  eventId: row.event_id,
  eventType: row.event_type,
  status: row.status,
  isTest: row.is_test,
  isForward: row.is_forward,
  attemptCount: row.attempts,
  nextAttemptAt: row.next_at === null ? null : dateOf(row.next_at),
  payloadFields: row.payload_fields,
  responseStatus: row.response_status,
  durationMs: row.duration_ms,
  error: row.error_code === null ? null : { code: row.error_code, message: row.error_message ?? '' },
  createdAt: dateOf(row.created_at),
  completedAt: row.completed_at === null ? null : dateOf(row.completed_at),
});

/** Rounded: a Date cuts off fractions, and 122.9999 stands for 123. */
const dateOf = (epochMs: number): Date => new Date(Math.round(epochMs));

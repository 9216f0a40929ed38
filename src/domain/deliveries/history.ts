import type { Sql } from '../../platform/database.ts';
import { idTime, lowestIdAt } from '../../platform/ids.ts';
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

export interface DeliveryPage {
  /** Newest first. */
  readonly deliveries: readonly DeliveryRecord[];
  readonly hasMore: boolean;
}

interface DeliveryRow {
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
export const OPEN_FROM = `delivery_open d left join lane_target w on w.id = d.webhook_id`;
export const OPEN_STATUSES: ReadonlySet<DeliveryStatus> = new Set<DeliveryStatus>(['PENDING', 'RETRYING', 'HELD']);

const SHARED = `d.id, d.tenant_id, d.webhook_id, d.event_id, d.event_type, d.is_test, d.attempts, d.payload_fields,
  d.response_status, d.duration_ms, d.error_code, d.error_message, d.is_forward, epoch_ms(d.created_at) as created_at`;
// Nobody knows when a held one will be sent.
const OPEN_COLUMNS = `${SHARED}, ${OPEN_STATUS} as status,
  case when w.status = 'PAUSED' then null else epoch_ms(coalesce(d.retry_at, d.next_at)) end as next_at, null::double precision as completed_at`;
const ENDED_COLUMNS = `${SHARED}, d.status, null::double precision as next_at, epoch_ms(d.completed_at) as completed_at`;

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
     select ${OPEN_COLUMNS} from ${OPEN_FROM} where ${ours}
     union all
     select ${ENDED_COLUMNS} from delivery d where ${ours}`,
    [tenantId, ids, ...idRangeOf(ids)],
  );
  return new Map(rows.map((row) => [row.id, deliveryOf(row)]));
};

/** One delivery by its id, open or ended; null where this tenant has none such. */
export const findDelivery = async (sql: Sql, tenantId: string, id: string): Promise<DeliveryRecord | null> =>
  (await findDeliveries(sql, tenantId, [id])).get(id) ?? null;

/**
 * At most `first` deliveries, newest first (of one millisecond: in the order of their ids), after the delivery with the
 * id `after` (null: from the newest). Each branch walks an index backwards, (webhook_id, id) where the webhook is
 * given, else (tenant_id, id), newest partition first, and stops at a page; other filters are checked row by row.
 */
export const listDeliveries = async (
  sql: Sql,
  tenantId: string,
  filter: DeliveryListFilter,
  page: { readonly first: number; readonly after: string | null },
): Promise<DeliveryPage> => {
  const { where, values, branches } = conditionOf(tenantId, filter);
  if (branches.length === 0) return { deliveries: [], hasMore: false };
  if (page.after !== null) where.push(`d.id < $${values.push(page.after)}`);
  const limit = `order by id desc limit $${values.push(page.first + 1)}`;
  const pages = branches.map(
    ({ columns, from, status }) => `(select ${columns} from ${from} where ${and(where, status)} ${limit})`,
  );
  const rows = await sql.query<DeliveryRow>(`select * from (${pages.join(' union all ')}) as pages ${limit}`, values);
  return { deliveries: rows.slice(0, page.first).map(deliveryOf), hasMore: rows.length > page.first };
};

/** How many deliveries a list has in all: exact up to 100,000, and 100,000 beyond, so that counting never takes long. */
export const countDeliveries = async (sql: Sql, tenantId: string, filter: DeliveryListFilter): Promise<number> => {
  const { where, values, branches } = conditionOf(tenantId, filter);
  if (branches.length === 0) return 0;
  const matching = branches.map(({ from, status }) => `select 1 from ${from} where ${and(where, status)}`);
  const [row] = await sql.query<{ count: number }>(
    `select count(*)::integer as count from (${matching.join(' union all ')} limit ${COUNT_LIMIT}) as counted`,
    values,
  );
  return row!.count;
};

const COUNT_LIMIT = 100_000;

interface Branch {
  readonly columns: string;
  readonly from: string;
  /** Its part of the status filter; null where every row fits. */
  readonly status: string | null;
}

interface Condition {
  readonly where: string[];
  readonly values: unknown[];
  readonly branches: readonly Branch[];
}

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

const conditionOf = (tenantId: string, filter: DeliveryListFilter): Condition => {
  const values: unknown[] = [tenantId];
  const where = ['d.tenant_id = $1'];
  if (filter.webhookId !== undefined) where.push(`d.webhook_id = $${values.push(filter.webhookId)}`);
  const { fromId, beforeId, checks } = criteriaOf(filter, values);
  if (fromId !== null) where.push(`d.id >= $${values.push(fromId)}`);
  if (beforeId !== null) where.push(`d.id < $${values.push(beforeId)}`);
  return { where: [...where, ...checks], values, branches: branchesOf(filter.status ?? null, values) };
};

const branchesOf = (status: readonly DeliveryStatus[] | null, values: unknown[]): Branch[] => {
  const open = { columns: OPEN_COLUMNS, from: OPEN_FROM, status: null };
  const ended = { columns: ENDED_COLUMNS, from: 'delivery d', status: null };
  if (status === null) return [open, ended];
  const branches: Branch[] = [];
  const ofOpen = status.filter((one) => OPEN_STATUSES.has(one));
  const ofEnded = status.filter((one) => !OPEN_STATUSES.has(one));
  if (ofOpen.length > 0) branches.push({ ...open, status: `${OPEN_STATUS} = any($${values.push(ofOpen)}::text[])` });
  if (ofEnded.length > 0) branches.push({ ...ended, status: `d.status = any($${values.push(ofEnded)}::text[])` });
  return branches;
};

const and = (where: readonly string[], status: string | null): string =>
  (status === null ? where : [...where, status]).join(' and ');

/** The smallest id of the first millisecond among these ids, and that of the one after the last. */
const idRangeOf = (ids: readonly string[]): [string, string] => {
  const times = ids.map(idTime);
  return [lowestIdAt(Math.min(...times)), lowestIdAt(Math.max(...times) + 1)];
};

const deliveryOf = (row: DeliveryRow): DeliveryRecord => ({
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

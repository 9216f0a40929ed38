import { z } from 'zod';
import type { Sql } from '../../platform/database.ts';
import type { DeliveryStatus } from '../deliveries/delivery.ts';
import type { DeliveryListFilter } from '../deliveries/history.ts';

export const BULK_STATUSES = ['RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED'] as const;
export type BulkStatus = (typeof BULK_STATUSES)[number];

/** What an operation does, and with what: fixed when it is started. */
export type BulkTask =
  | { readonly kind: 'RETRY'; readonly filter: DeliveryListFilter }
  | { readonly kind: 'CANCEL'; readonly filter: DeliveryListFilter }
  | { readonly kind: 'RECOVER'; readonly webhookId: string; readonly since: Date };

export type BulkKind = BulkTask['kind'];

/** An operation on many deliveries, as it is shown. */
export interface BulkOperation {
  readonly id: string;
  readonly tenantId: string;
  readonly kind: BulkKind;
  readonly status: BulkStatus;
  /** Grows while they are counted, which is before the first is processed. */
  readonly total: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly startedAt: Date;
  readonly completedAt: Date | null;
  readonly error: string | null;
}

/** The same for whoever works on it. */
export interface BulkWork extends BulkOperation {
  readonly task: BulkTask;
  readonly isCounted: boolean;
  /** Everything up to this id was looked at, by the count or, once it is done, by the work. */
  readonly scanAfter: string;
  /** Slices in a row that failed. */
  readonly tries: number;
}

export interface BulkRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly kind: BulkKind;
  readonly parameters: string;
  readonly status: BulkStatus;
  readonly is_counted: boolean;
  readonly scan_after: string;
  readonly total: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly tries: number;
  readonly started_at: number;
  readonly completed_at: number | null;
  readonly error: string | null;
}

export const BULK_COLUMNS = `id, tenant_id, kind, parameters, status, is_counted, scan_after, total, succeeded, failed,
  tries, epoch_ms(started_at) as started_at, epoch_ms(completed_at) as completed_at, error`;

/** Operations with these ids; those of other tenants are left out. By primary key. */
export const findOperations = async (sql: Sql, tenantId: string, ids: readonly string[]): Promise<BulkOperation[]> =>
  (
    await sql.query<BulkRow>(
      `/*bulk_by_id*/ select ${BULK_COLUMNS} from bulk_operation where id = any($2::uuid[]) and tenant_id = $1`,
      [tenantId, ids],
    )
  ).map(operationOf);

export const operationOf = (row: BulkRow): BulkOperation => ({
  id: row.id,
  tenantId: row.tenant_id,
  kind: row.kind,
  status: row.status,
  total: row.total,
  succeeded: row.succeeded,
  failed: row.failed,
  // Up, so that what had ended by then had ended by this too.
  startedAt: new Date(Math.ceil(row.started_at)),
  completedAt: row.completed_at === null ? null : new Date(Math.ceil(row.completed_at)),
  error: row.error,
});

export const workOf = (row: BulkRow): BulkWork => ({
  ...operationOf(row),
  task: parseTask(row.kind, row.parameters),
  isCounted: row.is_counted,
  scanAfter: row.scan_after,
  tries: row.tries,
});

/** As it is stored, beside the kind. */
export const parametersOf = ({ kind: _kind, ...parameters }: BulkTask): string => JSON.stringify(parameters);

// Of every criterion there is: one that got lost would widen the operation.
const criteria = {
  webhookId: z.string().optional(),
  eventId: z.string().optional(),
  status: z.array(z.string().transform((status) => status as DeliveryStatus)).optional(),
  eventTypes: z.array(z.string()).optional(),
  isTest: z.boolean().optional(),
  responseStatus: z.number().optional(),
  from: z.coerce.date().optional(),
  to: z.coerce.date().optional(),
} satisfies Record<keyof DeliveryListFilter, z.ZodType>;

const filterParameters = z.object({ filter: z.strictObject(criteria) });

const recoverParameters = z.object({ webhookId: z.string(), since: z.coerce.date() });

const parseTask = (kind: BulkKind, parameters: string): BulkTask => {
  const value: unknown = JSON.parse(parameters);
  return kind === 'RECOVER' ? { kind, ...recoverParameters.parse(value) } : { kind, ...filterParameters.parse(value) };
};

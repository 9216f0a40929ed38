import type { Sql } from '../../platform/database.ts';
import type { Ring } from '../deliveries/bell.ts';
import type { BulkWork } from './bulkOperation.ts';
import { cancelScan } from './cancelScan.ts';
import { recoverScan } from './recoverScan.ts';
import { retryScan } from './retryScan.ts';
import type { Scan } from './scan.ts';

/** Deliveries that one slice changes. */
const MOST_CHANGED = 1_000;

/** What came of a slice. */
export interface Slice {
  /** Everything up to this id was looked at; null: there is nothing more. */
  readonly scannedTo: string | null;
  readonly counted: number;
  readonly succeeded: number;
  readonly failed: number;
  /** Lanes that have something to send, once this is committed. */
  readonly rings: readonly Ring[];
  /** Webhooks of whose deliveries some were cancelled: what their lanes have read ahead is not to be sent. */
  readonly cancelledOf: readonly string[];
  /** Where the operation can't go on: why, for people. */
  readonly obstacle: string | null;
}

const NOTHING = { counted: 0, succeeded: 0, failed: 0, rings: [], cancelledOf: [], obstacle: null };

interface SliceRow {
  readonly scanned: number;
  readonly last_scanned: string | null;
  readonly fitting: number;
}

interface WorkedRow {
  readonly wanted: number;
  /** Null where a whole slice is wanted. */
  readonly scanned: number | null;
  readonly last_scanned: string | null;
  readonly last_wanted: string | null;
  readonly last_free: string | null;
  readonly succeeded: number;
  readonly failed: number;
  readonly rung: string[];
  readonly cancelled_of: string[];
  readonly is_blocked: boolean;
  readonly due_at: number;
}

/**
 * Counts, or does, the next slice of an operation, in the transaction that also writes down how far it came: so it
 * happens once, whoever dies when. The operation is locked by the caller.
 *
 * @param lowestId what is below is too old to be opened again
 */
export const runSlice = async (sql: Sql, operation: BulkWork, lowestId: string): Promise<Slice> => {
  const scan = await scanOf(sql, operation, lowestId);
  if (typeof scan === 'string') return { ...NOTHING, scannedTo: null, obstacle: scan };
  return operation.isCounted ? workSlice(sql, operation, scan) : countSlice(sql, scan);
};

const scanOf = async (sql: Sql, operation: BulkWork, lowestId: string): Promise<Scan | string> => {
  const { task } = operation;
  switch (task.kind) {
    case 'RETRY':
      return retryScan(operation, task.filter, lowestId);
    case 'CANCEL':
      return cancelScan(operation, task.filter);
    case 'RECOVER':
      return recoverScan(sql, operation, task, lowestId);
    default:
      return task satisfies never;
  }
};

const SCANNED = `(select count(*)::int from scanned)`;
const LAST_SCANNED = `(select key from scanned order by key desc limit 1)`;

/** How many of the next rows fit. Not prepared: what a filter asks for decides which index leads there. */
export const countStatement = ({ scanned }: Scan): string => `
with scanned as materialized (${scanned})
select ${SCANNED} as scanned, ${LAST_SCANNED} as last_scanned,
  (select count(*)::int from scanned where fits) as fitting`;

/**
 * Works on those of the next rows that fit, in one statement: a delivery is always in exactly one table. `scanned` gives its rows
 * in their order, and makes no more of them than are asked for: all of them only where less than a slice fits.
 */
export const workStatement = ({ scanned, work, outcome }: Scan): string => `
with scanned as materialized (${scanned}
), wanted as materialized (
  select * from scanned where fits limit ${MOST_CHANGED}
), ${work}, outcome as materialized (${outcome})
select taken.count as wanted, taken.last as last_wanted,
  case when taken.count < ${MOST_CHANGED} then ${SCANNED} end as scanned,
  case when taken.count < ${MOST_CHANGED} then ${LAST_SCANNED} end as last_scanned,
  (select key from wanted where key < outcome.blocked order by key desc limit 1) as last_free,
  outcome.succeeded, outcome.failed, outcome.rung, outcome.cancelled_of, outcome.blocked is not null as is_blocked,
  epoch_ms(now()) as due_at
from outcome, (
  select count(*)::int as count, (array_agg(key order by key desc))[1] as last from wanted
) as taken`;

const countSlice = async (sql: Sql, scan: Scan): Promise<Slice> => {
  const [row] = await sql.query<SliceRow>(countStatement(scan), scan.values);
  return { ...NOTHING, scannedTo: row!.scanned < scan.most ? null : row!.last_scanned, counted: row!.fitting };
};

const workSlice = async (sql: Sql, operation: BulkWork, scan: Scan): Promise<Slice> => {
  const [row] = await sql.query<WorkedRow>(workStatement(scan), scan.values);
  const { succeeded, failed, rung, due_at: dueAt } = row!;
  return {
    ...NOTHING,
    scannedTo: scannedTo(operation, row!, scan.most),
    succeeded,
    failed,
    rings: rung.map((webhookId) => ({ tenantId: operation.tenantId, webhookId, dueAt })),
    cancelledOf: row!.cancelled_of,
  };
};

const scannedTo = ({ scanAfter }: BulkWork, row: WorkedRow, most: number): string | null => {
  if (row.is_blocked) return row.last_free ?? scanAfter;
  if (row.wanted === MOST_CHANGED) return row.last_wanted;
  return row.scanned! < most ? null : row.last_scanned;
};

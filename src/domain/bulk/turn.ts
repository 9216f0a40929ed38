import type { Sql } from '../../platform/database.ts';
import { LOWEST_ID } from '../../platform/ids.ts';
import { lowestReopenableId } from '../deliveries/reopening.ts';
import { BULK_COLUMNS, operationOf, workOf } from './bulkOperation.ts';
import type { BulkOperation, BulkRow, BulkWork } from './bulkOperation.ts';
import { runSlice } from './slice.ts';
import type { Slice } from './slice.ts';

/** After so many failures in a row an operation is given up. */
const MOST_TRIES = 8;
const GIVEN_UP =
  'This failed again and again for a reason inside of hookgraph. What was done stays: start it anew for the rest.';

/** How far an operation is. */
export type BulkState = Pick<
  BulkWork,
  'status' | 'isCounted' | 'scanAfter' | 'total' | 'succeeded' | 'failed' | 'error'
>;

/** How far it is after one slice more. When all is counted the walk begins anew, and when all is done the total is exact. */
export const afterSlice = (work: BulkState, slice: Slice): BulkState => {
  if (slice.obstacle !== null) return { ...work, status: 'FAILED', error: slice.obstacle };
  if (!work.isCounted) {
    const total = work.total + slice.counted;
    if (slice.scannedTo !== null) return { ...work, total, scanAfter: slice.scannedTo };
    return { ...work, total, isCounted: true, scanAfter: LOWEST_ID, status: total === 0 ? 'COMPLETED' : 'RUNNING' };
  }
  const succeeded = work.succeeded + slice.succeeded;
  const failed = work.failed + slice.failed;
  const done = { ...work, succeeded, failed };
  if (slice.scannedTo === null) return { ...done, total: succeeded + failed, status: 'COMPLETED' };
  // What was held up before it was counted may have joined meanwhile.
  return { ...done, total: Math.max(work.total, succeeded + failed), scanAfter: slice.scannedTo };
};

const WRITE = `/*bulk_write*/
update bulk_operation set status = $2, is_counted = $3, scan_after = $4, total = $5, succeeded = $6, failed = $7,
  error = $8, tries = 0,
  completed_at = case when $2 <> 'RUNNING' then clock_timestamp() end
where id = $1
returning ${BULK_COLUMNS}`;

/** Tells followers, with the commit; and lanes, whose holders drop what they have read ahead and read again. */
const TELL = `/*bulk_tell*/
select pg_notify('hookgraph_bulk', $1)
union all select pg_notify('hookgraph_webhook', id) from unnest($2::text[]) as id`;

/** A turn that was taken: to be told about after the commit. */
export interface Turn {
  readonly operation: BulkOperation;
  readonly slice: Slice;
}

/** Does the next slice of a locked operation and writes down how far it came, in the caller's transaction. */
export const advance = async (sql: Sql, work: BulkWork, retentionDays: number): Promise<Turn> => {
  const slice = await runSlice(sql, work, lowestReopenableId(retentionDays, Date.now()));
  const { status, isCounted, scanAfter, total, succeeded, failed, error } = afterSlice(work, slice);
  const [row] = await sql.query<BulkRow>(WRITE, [
    work.id,
    status,
    isCounted,
    scanAfter,
    total,
    succeeded,
    failed,
    error,
  ]);
  await sql.query(TELL, [work.id, slice.cancelledOf]);
  return { operation: operationOf(row!), slice };
};

const LOCK = `/*bulk_lock*/
select ${BULK_COLUMNS} from bulk_operation where id = $1 and status = 'RUNNING' for update`;

/**
 * The next slice of an operation, in the caller's transaction; null where it has ended. The operation is locked meanwhile,
 * so that of two who work on it by mistake each does a slice of its own.
 */
export const takeTurn = async (sql: Sql, id: string, retentionDays: number): Promise<Turn | null> => {
  const [row] = await sql.query<BulkRow>(LOCK, [id]);
  return row ? advance(sql, workOf(row), retentionDays) : null;
};

const MISSED = `/*bulk_missed*/
update bulk_operation set tries = tries + 1,
  status = case when tries + 1 >= ${MOST_TRIES} then 'FAILED' else status end,
  completed_at = case when tries + 1 >= ${MOST_TRIES} then clock_timestamp() end,
  error = case when tries + 1 >= ${MOST_TRIES} then $2 end
where id = $1 and status = 'RUNNING'
returning tries, status`;

/**
 * A slice failed and changed nothing: answers how long to wait until it is tried again, in ms; null where the operation
 * has ended, or is given up, which it is after eight failures in a row.
 */
export const missTurn = async (sql: Sql, id: string): Promise<number | null> => {
  const [row] = await sql.query<{ tries: number; status: string }>(MISSED, [id, GIVEN_UP]);
  if (row?.status === 'RUNNING') return Math.min(60, 2 ** (row.tries - 1)) * 1_000;
  if (row) await sql.query(TELL, [id, []]);
  return null;
};

const RUNNING = `/*bulk_running*/ select id from bulk_operation where status = 'RUNNING' order by id limit 5000`;

/** Operations that somebody has to work on, the oldest first. By `bulk_operation_running`. */
export const runningOperations = async (sql: Sql): Promise<string[]> =>
  (await sql.query<{ id: string }>(RUNNING)).map(({ id }) => id);

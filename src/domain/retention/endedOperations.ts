import type { Sql } from '../../platform/database.ts';

const SLICE = 5_000;

/** By `bulk_operation_ended`. */
const REMOVE = `/*ended_bulk_operations*/
delete from bulk_operation where id = any (array(
  select id from bulk_operation where completed_at < now() - $1 * interval '1 day' order by completed_at limit ${SLICE}
)) returning 1`;

/** Forgets operations on many deliveries that ended longer ago than history is kept, in slices. @returns how many */
export const removeEndedOperations = async (sql: Sql, retentionDays: number): Promise<number> => {
  let removed = 0;
  for (;;) {
    const slice = (await sql.query(REMOVE, [retentionDays])).length;
    removed += slice;
    if (slice < SLICE) return removed;
  }
};

import type { Sql } from '../../platform/database.ts';

/** What is open at the end of the retention may still be dispatched for 7 days, and its day is dropped as a whole. */
const MARGIN_DAYS = 9;

/**
 * Removes versions that were replaced, and workflows that were deleted, longer ago than any run is kept: what runs are left
 * began later. @returns how many of both
 */
export const removeRetired = async (sql: Sql, retentionDays: number): Promise<number> => {
  const days = retentionDays + MARGIN_DAYS;
  const versions = await sql.query(
    `delete from workflow_version where replaced_at < now() - $1::integer * interval '1 day' returning version`,
    [days],
  );
  const workflows = await sql.query(
    `delete from workflow where deleted_at < now() - $1::integer * interval '1 day' returning id`,
    [days],
  );
  return versions.length + workflows.length;
};

import type { Sql } from '../../platform/database.ts';

const SLICE = 5_000;

/*
 * By where the rows stand: to join a slice with its table by the key, PostgreSQL without hash and merge joins compares each
 * row with each (12,000 keys took more than 30 s). A key that is claimed anew meanwhile stands elsewhere then, and stays.
 */
const removeFrom = (table: 'event_key' | 'inbound_key'): string => `/*expired_${table}s*/
delete from ${table} where ctid = any (array(
  select ctid from ${table} where expires_at < now() order by expires_at limit $1
)) returning 1`;

export const REMOVE_PUBLISHED = removeFrom('event_key');
export const REMOVE_RECEIVED = removeFrom('inbound_key');

/** Forgets idempotency keys whose time is over, of what was published and of what was received, in slices. @returns how many */
export const removeExpiredKeys = async (sql: Sql): Promise<number> => {
  let removed = 0;
  for (const statement of [REMOVE_PUBLISHED, REMOVE_RECEIVED]) {
    for (;;) {
      const slice = (await sql.query(statement, [SLICE])).length;
      removed += slice;
      if (slice < SLICE) break;
    }
  }
  return removed;
};

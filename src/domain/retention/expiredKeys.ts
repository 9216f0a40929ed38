import type { Sql } from '../../platform/database.ts';

const SLICE = 5_000;

const REMOVE = `/*expired_event_keys*/
with slice as (
  select tenant_id, key from event_key where expires_at < now() order by expires_at limit $1
)
delete from event_key k using slice s
where k.tenant_id = s.tenant_id and k.key = s.key and k.expires_at < now()
returning 1`;

/** Forgets idempotency keys whose day is over, in slices. @returns how many */
export const removeExpiredKeys = async (sql: Sql): Promise<number> => {
  let removed = 0;
  for (;;) {
    const slice = (await sql.query(REMOVE, [SLICE])).length;
    removed += slice;
    if (slice < SLICE) return removed;
  }
};

import type { Database } from '../../platform/database.ts';
import { COLUMNS, countingAgain } from './reopening.ts';
import { settle } from './settlement.ts';
import type { Settled, Settlement } from './settlement.ts';

/** By primary key. Where somebody else asked for the delivery again meanwhile, it isn't CANCELLED any more. */
export const TAKE_BACK = `/*late_results*/
with late as (
  delete from delivery d using unnest($1::uuid[], $2::int[]) as given(id, attempts)
  where d.id = given.id and d.attempts = given.attempts and d.status = 'CANCELLED' and not d.is_test
  returning d.*
), opened as (
  insert into delivery_open (${COLUMNS}, next_at, expires_at)
  select ${COLUMNS}, 'infinity', 'infinity' from late order by id
  returning id
), ${countingAgain('late')}
select id from opened`;

/**
 * Records what came of requests whose deliveries were cancelled while they were under way: a success makes the delivery
 * DELIVERED after all, a failure leaves it CANCELLED with one attempt more. One transaction; safe to repeat.
 *
 * @param unapplied settlements that found no open delivery with their number of attempts, of whatever cause
 * @returns null where none of them was cancelled
 */
export const settleLate = async (database: Database, unapplied: readonly Settlement[]): Promise<Settled | null> => {
  const attempted = unapplied.filter(({ attempt }) => attempt !== null);
  if (attempted.length === 0) return null;
  return database.transaction(async (sql) => {
    const rows = await sql.query<{ id: string }>(TAKE_BACK, [
      attempted.map(({ deliveryId }) => deliveryId),
      attempted.map(({ attemptsBefore }) => attemptsBefore),
    ]);
    if (rows.length === 0) return null;
    const taken = new Set(rows.map(({ id }) => id));
    return settle(sql, attempted.filter(({ deliveryId }) => taken.has(deliveryId)).map(ending));
  });
};

const ending = (settlement: Settlement): Settlement =>
  settlement.status === 'DELIVERED'
    ? settlement
    : { ...settlement, status: 'CANCELLED', nextAt: null, keepsPlace: false };

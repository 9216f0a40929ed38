import type { Database } from './database.ts';
import { correctIdClock } from './ids.ts';
import type { Logger } from './logs.ts';

const EVERY_MS = 60_000;
/** Corrected up to here in new ids; beyond it the process isn't ready. */
const MOST_MS = 5_000;
/** Smaller differences are left alone. */
const LEAST_MS = 100;

/**
 * By how much another clock is ahead (behind where negative) that read `theirs` at some moment between our `before` and
 * `after`, in whole ms: only what is certain, so that a slow answer or a busy event loop never passes for a difference.
 */
export const offsetOf = (theirs: number, before: number, after: number): number => {
  if (theirs > after) return Math.floor(theirs - after);
  return theirs < before ? Math.ceil(theirs - before) : 0;
};

export interface ClockOffset {
  readonly isTooFar: boolean;
  stop(): void;
}

/**
 * Compares this process's clock with the database's, now and every minute. A difference of up to 5 s is taken out of new
 * ids, so that the ids of several machines fall into the same partitions; a larger one is an error that the operator must mend.
 */
export const watchClock = async (database: Pick<Database, 'sql'>, log: Logger): Promise<ClockOffset> => {
  let isTooFar = false;
  const compare = async (): Promise<void> => {
    const before = Date.now();
    const [row] = await database.sql.query<{ now: number }>(`select epoch_ms(clock_timestamp()) as now`);
    const offsetMs = offsetOf(row!.now, before, Date.now());
    isTooFar = Math.abs(offsetMs) > MOST_MS;
    if (isTooFar) log.error({ offsetMs }, "this machine's clock and the database's differ: mend one of them");
    else correctIdClock(Math.abs(offsetMs) > LEAST_MS ? offsetMs : 0);
  };
  await compare();
  const timer = setInterval(() => {
    compare().catch((error: unknown) => log.warn({ err: error }, "could not ask for the database's time"));
  }, EVERY_MS);
  return {
    get isTooFar() {
      return isTooFar;
    },
    stop: () => clearInterval(timer),
  };
};

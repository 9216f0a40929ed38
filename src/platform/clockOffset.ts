import type { Database } from './database.ts';
import { correctIdClock } from './ids.ts';
import type { Logger } from './logs.ts';

const EVERY_MS = 60_000;
/** Corrected up to here in new ids; beyond it the process isn't ready. */
const MOST_MS = 5_000;
/** Smaller differences are the time that the question took. */
const LEAST_MS = 100;

export interface ClockOffset {
  readonly isTooFar: boolean;
  stop(): void;
}

/**
 * Compares this process's clock with the database's, now and every minute. A difference of up to 5 s is taken out of new
 * ids, so that the ids of several machines fall into the same partitions; a larger one is an error that the operator must mend.
 */
export const watchClock = async (database: Database, log: Logger): Promise<ClockOffset> => {
  let isTooFar = false;
  const compare = async (): Promise<void> => {
    const before = Date.now();
    const [row] = await database.sql.query<{ now: number }>(`select epoch_ms(clock_timestamp()) as now`);
    const offsetMs = row!.now - (before + Date.now()) / 2;
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

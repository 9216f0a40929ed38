import { dropExpiredPartitions, ensurePartitions } from '../domain/retention/partitions.ts';
import { removeEndedOperations } from '../domain/retention/endedOperations.ts';
import { removeExpiredKeys } from '../domain/retention/expiredKeys.ts';
import { removeRetired } from '../domain/workflows/retired.ts';
import type { Database } from '../platform/database.ts';
import type { Logger } from '../platform/logs.ts';

const HOUR_MS = 3_600_000;

/**
 * Keeps partitions ahead of time and, where this process works, drops what is older than the retention, at start and
 * every hour. Safe in any number of processes: each step is idempotent and takes its turn by a lock.
 */
export class Retention {
  readonly #database: Database;
  readonly #log: Logger;
  readonly #retentionDays: number | null;
  #timer: NodeJS.Timeout | undefined;
  #run: Promise<void> = Promise.resolve();

  /** @param retentionDays null: only makes partitions */
  constructor(database: Database, log: Logger, retentionDays: number | null) {
    this.#database = database;
    this.#log = log;
    this.#retentionDays = retentionDays;
  }

  start(): void {
    const turn = (): void => {
      this.#run = this.runOnce().catch((error: unknown) => this.#log.error({ err: error }, 'retention failed'));
    };
    this.#timer = setInterval(turn, HOUR_MS);
    turn();
  }

  async runOnce(now = Date.now()): Promise<void> {
    await ensurePartitions(this.#database, now);
    if (this.#retentionDays === null) return;
    const keys = await removeExpiredKeys(this.#database.sql);
    await removeRetired(this.#database.sql, this.#retentionDays);
    const bulkOperations = await removeEndedOperations(this.#database.sql, this.#retentionDays);
    // Last, because a report that reads for hours keeps days from being dropped meanwhile.
    const dropped = await dropExpiredPartitions(this.#database, now, this.#retentionDays);
    if (dropped.length > 0 || keys > 0 || bulkOperations > 0) {
      this.#log.info({ dropped, idempotencyKeys: keys, bulkOperations }, 'retention');
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#run;
  }
}

import { foldOnce, removeExpiredRollups } from '../domain/analytics/fold.ts';
import type { Database } from '../platform/database.ts';
import type { Logger } from '../platform/logs.ts';

/** How long counts wait to be folded; readers add what is not folded yet. */
const FOLD_MS = 5_000;
const REMOVE_MS = 3_600_000;

/**
 * Folds fresh counts into rollups every 5 s, and every hour removes those that are not kept any more. Every worker has one;
 * a lock lets one work at a time, and the others find nothing left.
 */
export class RollupFold {
  readonly #database: Database;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | null = null;
  #isStopped = true;
  #isFailing = false;
  #removedAt = Number.NEGATIVE_INFINITY;

  constructor(database: Database, log: Logger) {
    this.#database = database;
    this.#log = log;
  }

  start(): void {
    this.#isStopped = false;
    this.#turnIn(FOLD_MS);
  }

  /** Resolves when the turn under way has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  /** Folds all that there is, unless another process is at it. */
  async runOnce(now = Date.now()): Promise<void> {
    while (((await foldOnce(this.#database, now)) ?? 0) > 0) if (this.#isStopped) return;
  }

  #turnIn(ms: number): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => {
      this.#running = this.#turn().then(() => {
        this.#running = null;
        this.#turnIn(FOLD_MS);
      });
    }, ms);
  }

  async #turn(): Promise<void> {
    try {
      await this.runOnce();
      if (performance.now() - this.#removedAt >= REMOVE_MS) {
        await removeExpiredRollups(this.#database.sql, Date.now());
        this.#removedAt = performance.now();
      }
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) this.#log.warn({ err: error }, 'counts could not be folded; trying again');
      this.#isFailing = true;
    }
  }
}

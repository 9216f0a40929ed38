import { settleLate } from '../../domain/deliveries/lateResult.ts';
import { settle } from '../../domain/deliveries/settlement.ts';
import type { Settled, Settlement } from '../../domain/deliveries/settlement.ts';
import type { Database } from '../../platform/database.ts';
import type { Logger } from '../../platform/logs.ts';

const MOST_IN_BATCH = 500;
const MOST_BYTES_IN_BATCH = 4 * 1024 * 1024;
const RETRY_MS = 250;
const MOST_MENDS = 3;
/** Nothing new is sent while a result waits this long, or while this many wait. */
const CONGESTED_MS = 1_000;
const CONGESTED_RESULTS = 5_000;

interface Waiting {
  readonly settlement: Settlement;
  readonly since: number;
  readonly done: () => void;
}

export interface SettlerOptions {
  readonly database: Database;
  readonly log: Logger;
  /** Makes partitions when a settle finds none; true where trying again makes sense. */
  readonly mend: (error: unknown) => Promise<boolean>;
  readonly onSettled: (settled: Settled, batch: readonly Settlement[]) => void;
}

/**
 * Writes results down: one transaction in flight, whose successor is everything that came meanwhile. Results are kept until they are written: a database that is away delays them, and
 * `isCongested` stops sending. A batch with a row that PostgreSQL refuses is halved until the row stands alone; that
 * one is settled without what its receiver said.
 */
export class Settler {
  readonly #options: SettlerOptions;
  #waiting: Waiting[] = [];
  #inFlight: readonly Waiting[] = [];
  #running: Promise<void> | null = null;

  constructor(options: SettlerOptions) {
    this.#options = options;
  }

  /** `done` is called once the result is written, or found to be somebody else's. */
  add(settlement: Settlement, done: () => void): void {
    this.#waiting.push({ settlement, since: Date.now(), done });
    this.#running ??= this.#run();
  }

  get isCongested(): boolean {
    const oldest = this.#inFlight[0] ?? this.#waiting[0];
    return (
      this.#waiting.length > CONGESTED_RESULTS || (oldest !== undefined && Date.now() - oldest.since > CONGESTED_MS)
    );
  }

  /** Resolves when all that was added so far is written. */
  async drain(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      this.#inFlight = this.#takeBatch();
      await this.#settle(this.#inFlight);
      this.#inFlight = [];
    }
    this.#running = null;
  }

  #takeBatch(): Waiting[] {
    let bytes = 0;
    let count = 0;
    while (count < Math.min(this.#waiting.length, MOST_IN_BATCH)) {
      bytes += 1_024 + (this.#waiting[count]!.settlement.attempt?.responseBody?.length ?? 0);
      if (bytes > MOST_BYTES_IN_BATCH && count > 0) break;
      count++;
    }
    const batch = this.#waiting.splice(0, count);
    return batch.sort((a, b) => (a.settlement.deliveryId < b.settlement.deliveryId ? -1 : 1));
  }

  async #settle(batch: readonly Waiting[]): Promise<void> {
    for (let failures = 0; ; failures++) {
      try {
        const settlements = batch.map((waiting) => waiting.settlement);
        const settled = await settle(this.#options.database.sql, settlements);
        const unapplied = settlements.filter(({ deliveryId }) => !settled.applied.has(deliveryId));
        if (unapplied.length > 0) await this.#settleLate(unapplied);
        for (const { done } of batch) done();
        this.#options.onSettled(settled, settlements);
        return;
      } catch (error) {
        if (failures < MOST_MENDS && (await this.#mended(error))) continue;
        if (isRefusedData(error)) return this.#bisect(batch, error);
        if (failures === 0)
          this.#options.log.warn({ err: error, results: batch.length }, 'could not settle; trying again');
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  /** A delivery that was cancelled has its end: whatever is wrong here holds up nobody else. */
  async #settleLate(unapplied: readonly Settlement[]): Promise<void> {
    try {
      const settled = await settleLate(this.#options.database, unapplied);
      if (settled) this.#options.onSettled(settled, []);
    } catch (error) {
      this.#options.log.warn({ err: error, results: unapplied.length }, 'late results could not be written down');
    }
  }

  async #bisect(batch: readonly Waiting[], error: unknown): Promise<void> {
    if (batch.length > 1) {
      const middle = batch.length >> 1;
      await this.#settle(batch.slice(0, middle));
      await this.#settle(batch.slice(middle));
      return;
    }
    const [{ settlement, since, done }] = batch as [Waiting];
    const { attempt, deliveryId } = settlement;
    if (attempt === null || attempt.responseHeaders === null) {
      // Nothing of it can be what PostgreSQL refuses: a defect of ours. The delivery stays open and will be sent again.
      this.#options.log.error({ err: error, deliveryId }, 'a result could not be written down');
      done();
      return;
    }
    this.#options.log.error({ err: error, deliveryId }, 'settled without what the receiver said');
    const bare = { ...attempt, responseHeaders: null, responseBody: null, responseTruncated: true };
    await this.#settle([{ settlement: { ...settlement, attempt: bare }, since, done }]);
  }

  async #mended(error: unknown): Promise<boolean> {
    try {
      return await this.#options.mend(error);
    } catch (failure) {
      this.#options.log.warn({ err: failure }, 'could not make partitions');
      return false;
    }
  }
}

/** Class 22 (data exception) and 23 (integrity constraint violation): the same batch would be refused again. */
const isRefusedData = (error: unknown): boolean => /^2[23]/.test((error as { code?: string }).code ?? '');

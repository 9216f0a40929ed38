/** How long after it was drawn an id may become visible: twice the timeouts that every writer's session has. */
const SETTLING_MS = 60_000;
const FULL_SCAN_MS = 60_000;
const SAMPLE_MS = 1_000;

/** One read of an outbox, in ascending order of its ids. Times are ms of a clock that only goes forward. */
export interface Scan {
  /** Before its snapshot was taken. */
  readonly startedAt: number;
  /** After `drawn` was read. */
  readonly endedAt: number;
  /** The highest id that anybody had drawn. */
  readonly drawn: number;
  /** The highest id up to which everything visible was taken; null where that is all. */
  readonly takenTo: number | null;
}

/**
 * Where the scans of an outbox begin, so that they need not pass over what was taken long ago and is not vacuumed yet.
 * Rows appear out of order, because writers draw their ids before they commit; but an id that was drawn before a
 * moment is visible, or never will be, 60 s after it. So a scan that begins 60 s after a sample, and takes
 * everything up to that sample's id, proves that nothing will ever appear up to there. Once a minute a scan begins at the
 * very start nevertheless, should a writer have outstayed its timeouts.
 */
export class LowWaterMark {
  #mark = 0;
  #samples: { readonly at: number; readonly drawn: number }[] = [];
  #fullScanAt = Number.NEGATIVE_INFINITY;

  /** The scan that begins now takes what is above this. */
  at(now: number): number {
    return now - this.#fullScanAt >= FULL_SCAN_MS ? 0 : this.#mark;
  }

  /** Learns from a scan above `at(scan.startedAt)`. */
  scanned({ startedAt, endedAt, drawn, takenTo }: Scan): void {
    if (startedAt - this.#fullScanAt >= FULL_SCAN_MS && takenTo === null) this.#fullScanAt = startedAt;
    const settled = this.#samples.findLast((sample) => sample.at <= startedAt - SETTLING_MS);
    if (settled) {
      this.#mark = Math.max(this.#mark, Math.min(settled.drawn, takenTo ?? settled.drawn));
      this.#samples = this.#samples.slice(this.#samples.indexOf(settled));
    }
    const last = this.#samples.at(-1);
    if (last === undefined || endedAt - last.at >= SAMPLE_MS) this.#samples.push({ at: endedAt, drawn });
  }

  /** Begins anew: the database was away, and may have come back as another one. */
  reset(): void {
    this.#mark = 0;
    this.#samples = [];
    this.#fullScanAt = Number.NEGATIVE_INFINITY;
  }
}

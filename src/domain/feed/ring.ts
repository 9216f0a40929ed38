import type { FeedRow } from './pages.ts';

const MAX_AGE_MS = 30_000;
const MAX_COST = 4 * 1_048_576;
// A parsed change takes about three times its text on the heap.
const COST_PER_CHARACTER = 3;

/**
 * The newest rows of one tenant and kind, parsed once for all its subscribers: at most 30 s and 4 MiB of them. It is complete
 * from `start` (inclusive) to `next` (exclusive); whoever stands before `start` reads the table.
 */
export class FeedRing<Change> {
  readonly tenantId: string;
  readonly #rows: { readonly row: FeedRow<Change>; readonly addedAt: number }[] = [];
  readonly #waiting = new Set<() => void>();
  #cost = 0;
  #start: number;
  #next: number;

  constructor(tenantId: string, next: number) {
    this.tenantId = tenantId;
    this.#start = next;
    this.#next = next;
  }

  get start(): number {
    return this.#start;
  }

  get next(): number {
    return this.#next;
  }

  /** Appends rows that continue where the ring ended, and wakes whoever waits where there is something for them. */
  append(rows: readonly FeedRow<Change>[], next: number, now: number): void {
    for (const row of rows) {
      this.#rows.push({ row, addedAt: now });
      this.#cost += costOf(row);
    }
    this.#next = Math.max(this.#next, next);
    this.trim(now);
    if (rows.length > 0) this.wake();
  }

  /** Lets go of what is too old or too much. */
  trim(now: number): void {
    let gone = 0;
    for (const { row, addedAt } of this.#rows) {
      if (this.#cost <= MAX_COST && addedAt > now - MAX_AGE_MS) break;
      this.#cost -= costOf(row);
      this.#start = row.seq + 1;
      gone++;
    }
    this.#rows.splice(0, gone);
  }

  /** Starts over, empty, at another place: its numbers mean other rows now. */
  reset(next: number): void {
    this.#rows.length = 0;
    this.#cost = 0;
    this.#start = next;
    this.#next = next;
    this.wake();
  }

  /** The rows from `seq` on; only meant for `seq` not before `start`. */
  *from(seq: number): Generator<FeedRow<Change>> {
    let low = 0;
    let high = this.#rows.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#rows[middle]!.row.seq < seq) low = middle + 1;
      else high = middle;
    }
    for (let index = low; index < this.#rows.length; index++) yield this.#rows[index]!.row;
  }

  /** Calls `woken` at the next row; returns how to stop that. */
  onRow(woken: () => void): () => void {
    this.#waiting.add(woken);
    return () => this.#waiting.delete(woken);
  }

  wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const woken of waiting) woken();
  }
}

/** About how many bytes a parsed row takes. */
export const costOf = (row: FeedRow<unknown>): number => 64 + row.size * COST_PER_CHARACTER;

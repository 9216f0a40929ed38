import { LANE_START, laneCursorAt } from '../../domain/deliveries/openDeliveries.ts';
import type { Band, DueRead, LaneCursor } from '../../domain/deliveries/openDeliveries.ts';
import type { ReadyDelivery } from './lane.ts';

/** Read again when this few are ready, so that sending never waits for the database. */
const REFILL_BELOW = 100;
const MOST_READ = 200;
/** For sizing a first read, before the lane knows its payloads. */
const FIRST_READ = 32;
/** How often a band is read from the very start, for what became visible out of order and was never rung. */
const START_READ_MS = 60_000;
/** After a read that found nothing more, what is published is taken in hand unread for so long. */
const CAUGHT_UP_MS = 1_000;

/**
 * What a lane has read ahead of one band, and up to where. The cursor only goes forward over what was read, except when a
 * ring says that something before it became visible, or once a minute from the start. `isExhausted` means that the last
 * read came back short: nothing more is due until a ring or `wakeAt`.
 */
export class LaneBand {
  readonly band: Band;
  ready: ReadyDelivery[] = [];
  /** Earliest known moment at which something becomes due. */
  wakeAt = Number.POSITIVE_INFINITY;

  #cursor: LaneCursor = LANE_START;
  #cursorMs = 0;
  #highWaterMs = 0;
  #rungAt: number | null = null;
  #isExhausted = false;
  #readAt = Number.NEGATIVE_INFINITY;
  #startReadAt: number;

  constructor(band: Band, now: number) {
    this.band = band;
    this.#startReadAt = now;
  }

  /** Something became due at `dueAt` or later, and is visible. */
  heed(dueAt: number): void {
    this.#rungAt = Math.min(this.#rungAt ?? Number.POSITIVE_INFINITY, dueAt);
  }

  wantsRead(now: number): boolean {
    return this.ready.length < REFILL_BELOW && this.#mayBeDue(now);
  }

  #mayBeDue(now: number): boolean {
    return !this.#isExhausted || this.#rungAt !== null || this.wakeAt <= now || now - this.#startReadAt > START_READ_MS;
  }

  /**
   * All that is due has been read, so that what was published just now is the next. Believed for a second only: what a
   * holder before left to be retried is due without a ring.
   */
  isCaughtUp(now: number): boolean {
    return this.ready.length < REFILL_BELOW && !this.#mayBeDue(now) && now - this.#readAt < CAUGHT_UP_MS;
  }

  /** Takes in hand what is due at `dueAt` and was not read: the cursor stays, so that reads have to leave it out. */
  accept(entry: ReadyDelivery): void {
    this.ready.push(entry);
    this.#highWaterMs = Math.max(this.#highWaterMs, Math.floor(entry.delivery.dueAt) + 1);
  }

  /** Nothing is due before `wakeAt`, as far as anybody told. */
  isQuiet(now: number, forMs: number): boolean {
    return this.#isExhausted && this.#rungAt === null && this.wakeAt > now + forMs;
  }

  /** Where to read from, how much to take, and whether what is in hand has to be left out. */
  beginRead(now: number): { cursor: LaneCursor; limit: number; overlaps: boolean } {
    if (now - this.#startReadAt > START_READ_MS) {
      this.#startReadAt = now;
      this.#moveTo(LANE_START, 0);
    } else if (this.#rungAt !== null && this.#rungAt <= this.#cursorMs) {
      const before = Math.floor(this.#rungAt) - 1;
      this.#moveTo(laneCursorAt(before), before);
    }
    this.#rungAt = null;
    this.#readAt = now;
    if (this.wakeAt <= now) this.wakeAt = Number.POSITIVE_INFINITY;
    return {
      cursor: this.#cursor,
      limit: this.#highWaterMs === 0 ? FIRST_READ : MOST_READ,
      overlaps: this.#cursorMs < this.#highWaterMs,
    };
  }

  /** @param limit what the read asked for: less than that means that nothing more is due */
  endRead({ cursor, lastDueAt, deliveries }: DueRead, limit: number): void {
    this.#isExhausted = deliveries.length < limit;
    if (lastDueAt !== null) this.#moveTo(cursor, lastDueAt);
    this.#highWaterMs = Math.max(this.#highWaterMs, this.#cursorMs);
  }

  /** Reads from the start again, past what is in hand. */
  rewind(): void {
    this.#isExhausted = false;
    this.#moveTo(LANE_START, 0);
  }

  /** Lets go of what is ready, which stays in the table. */
  drop(): ReadyDelivery[] {
    const dropped = this.ready;
    this.ready = [];
    this.rewind();
    return dropped;
  }

  #moveTo(cursor: LaneCursor, ms: number): void {
    this.#cursor = cursor;
    this.#cursorMs = ms;
  }
}

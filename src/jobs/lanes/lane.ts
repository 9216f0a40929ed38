import type { Destination } from '../../domain/deliveries/destination.ts';
import { LANE_START, laneCursorAt } from '../../domain/deliveries/openDeliveries.ts';
import type { DueRead, LaneCursor, OpenDelivery } from '../../domain/deliveries/openDeliveries.ts';

/** A delivery that was read ahead, with its body as it is sent. */
export interface ReadyDelivery {
  readonly delivery: OpenDelivery;
  /** The event's TypeID. */
  readonly eventId: string;
  readonly body: Buffer;
}

/** What a slow lane may have under way at once, until it answers fast again. */
const MOST_SLOW = 2;
/** Read again when this few are ready, so that sending never waits for the database. */
const REFILL_BELOW = 100;
const MOST_READ = 200;
/** For sizing a first read, before the lane knows its payloads. */
const FIRST_READ = 32;
/** A lane with nothing to do is kept this long, because what comes next mostly comes soon. */
const IDLE_MS = 2_000;
/** How often a lane reads from the very start, for what became visible out of order and was never rung. */
const START_READ_MS = 60_000;

/**
 * One webhook's lane while this process holds its lease: the only reader and sender of the webhook's deliveries.
 *
 * What is in hand goes ready → sending → unsettled, and is left out of reads by id. The cursor only goes forward over
 * what was read, except when a ring says that something before it became visible, or once a minute from the start.
 * `exhausted` means that the last read came back short: nothing more is due until a ring or `wakeAt`.
 *
 * The gate is open while the webhook is ACTIVE, its configuration is fresh, no `Retry-After` holds it back and the
 * lane isn't being given up.
 */
export class Lane {
  readonly webhookId: string;
  readonly tenantId: string;
  /** The fetched job: passing it fences every statement to this lease. */
  readonly job: { readonly id: string; readonly retryCount: number };
  destination: Destination;

  ready: ReadyDelivery[] = [];
  sending = 0;
  isSlow = false;
  heldUntil: number;
  /** Earliest known moment at which something becomes due. */
  wakeAt = Number.POSITIVE_INFINITY;
  reading = false;
  /** In the queue for a read. */
  isWaitingToRead = false;
  /** The configuration changed and is being read again; `reloadAgain`: it changed once more meanwhile. */
  isStale = false;
  reloadAgain = false;
  isCancelling = false;
  /** The receiver answered 410: nothing is sent until that is written down and the configuration read again. */
  isGone = false;
  isClosing = false;
  isLost = false;
  /** In the dispatcher's round. */
  isQueued = false;
  /** Average bytes of a body, for sizing reads. */
  bodyBytes = 4_096;

  readonly #inHand = new Set<string>();
  #cursor: LaneCursor = LANE_START;
  #cursorMs = 0;
  #highWaterMs = 0;
  #rungAt: number | null = null;
  #exhausted = false;
  #startReadAt = 0;
  #readAfter = 0;
  #idleSince: number;

  constructor(job: { id: string; retryCount: number }, destination: Destination, now: number) {
    this.webhookId = destination.webhookId;
    this.tenantId = destination.tenantId;
    this.job = job;
    this.destination = destination;
    this.heldUntil = destination.heldUntil;
    this.#idleSince = now;
    this.#startReadAt = now;
  }

  get inHand(): number {
    return this.#inHand.size;
  }

  isGateOpen(now: number): boolean {
    return (
      this.destination.status === 'ACTIVE' &&
      !this.isStale &&
      !this.isGone &&
      !this.isClosing &&
      !this.isLost &&
      this.heldUntil <= now
    );
  }

  canSend(now: number): boolean {
    const most = this.isSlow ? Math.min(MOST_SLOW, this.destination.maxConcurrency) : this.destination.maxConcurrency;
    return this.ready.length > 0 && this.sending < most && this.isGateOpen(now);
  }

  /** Something became due at `dueAt` or later, and is visible. */
  heed(dueAt: number): void {
    this.#rungAt = Math.min(this.#rungAt ?? Number.POSITIVE_INFINITY, dueAt);
  }

  wantsRead(now: number): boolean {
    if (this.reading || this.#readAfter > now || !this.isGateOpen(now) || this.ready.length >= REFILL_BELOW)
      return false;
    return !this.#exhausted || this.#rungAt !== null || this.wakeAt <= now || now - this.#startReadAt > START_READ_MS;
  }

  /** Where to read from, what to leave out and how much to take. */
  beginRead(now: number, bytesFree: number): { cursor: LaneCursor; inHand: string[]; limit: number } {
    this.reading = true;
    if (now - this.#startReadAt > START_READ_MS) {
      this.#startReadAt = now;
      this.#moveTo(LANE_START, 0);
    } else if (this.#rungAt !== null && this.#rungAt <= this.#cursorMs) {
      const before = Math.floor(this.#rungAt) - 1;
      this.#moveTo(laneCursorAt(before), before);
    }
    this.#rungAt = null;
    if (this.wakeAt <= now) this.wakeAt = Number.POSITIVE_INFINITY;
    const affordable = Math.max(1, Math.floor(bytesFree / this.bodyBytes));
    return {
      cursor: this.#cursor,
      inHand: this.#cursorMs < this.#highWaterMs ? [...this.#inHand] : [],
      limit: Math.min(this.#highWaterMs === 0 ? FIRST_READ : MOST_READ, affordable),
    };
  }

  /** @param wasShort the read came back with less than it asked for */
  endRead({ cursor, lastDueAt }: DueRead, wasShort: boolean): void {
    this.reading = false;
    this.#exhausted = wasShort;
    if (lastDueAt !== null) this.#moveTo(cursor, lastDueAt);
    this.#highWaterMs = Math.max(this.#highWaterMs, this.#cursorMs);
  }

  /** What this read would have taken is still there: read it again, from the start. */
  failRead(retryAt: number): void {
    this.reading = false;
    this.#readAfter = retryAt;
    this.#exhausted = false;
    this.#moveTo(LANE_START, 0);
  }

  take(entries: readonly ReadyDelivery[]): void {
    for (const entry of entries) {
      this.#inHand.add(entry.delivery.id);
      this.ready.push(entry);
    }
  }

  /** Taken in hand to be settled without being sent. */
  hold(deliveryId: string): void {
    this.#inHand.add(deliveryId);
  }

  /** Its settle is done, or was somebody else's. */
  release(deliveryId: string, now: number): void {
    this.#inHand.delete(deliveryId);
    this.#idleSince = now;
  }

  /** Lets go of what isn't being sent; it stays in the table. */
  dropReady(): ReadyDelivery[] {
    const dropped = this.ready;
    for (const { delivery } of dropped) this.#inHand.delete(delivery.id);
    this.ready = [];
    this.#exhausted = false;
    this.#moveTo(LANE_START, 0);
    return dropped;
  }

  inHandIds(): string[] {
    return [...this.#inHand];
  }

  isIdle(now: number): boolean {
    if (this.#inHand.size > 0 || this.reading || this.isStale || this.isGone || this.isClosing) return false;
    if (this.destination.status !== 'ACTIVE') return true;
    if (this.heldUntil > now) return this.heldUntil - now > IDLE_MS && now - this.#idleSince > IDLE_MS;
    return this.#exhausted && this.#rungAt === null && this.wakeAt > now + IDLE_MS && now - this.#idleSince > IDLE_MS;
  }

  #moveTo(cursor: LaneCursor, ms: number): void {
    this.#cursor = cursor;
    this.#cursorMs = ms;
  }
}

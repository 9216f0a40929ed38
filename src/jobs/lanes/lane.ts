import { afterAttempt, circuitState } from '../../domain/deliveries/breaker.ts';
import type { Circuit } from '../../domain/deliveries/breaker.ts';
import type { Destination } from '../../domain/deliveries/destination.ts';
import { afterRequest, nextRequestAt } from '../../domain/deliveries/limiter.ts';
import { PARKED_FROM_CRASHES } from '../../domain/deliveries/openDeliveries.ts';
import type { OpenDelivery, ParkedLane } from '../../domain/deliveries/openDeliveries.ts';
import { LaneBand } from './band.ts';

/** A delivery that was read ahead, with its body as it is sent. */
export interface ReadyDelivery {
  readonly delivery: OpenDelivery;
  /** The TypeID of the event, or of the inbound delivery that it forwards. */
  readonly eventId: string;
  /** As it is sent. */
  readonly body: Buffer;
  /** The whole envelope, which `payloadFields` may have narrowed to the body. */
  readonly envelope: Buffer;
  readonly contentType: string;
  /** How often what led to it had passed through hookgraph before. */
  readonly hops: number;
}

/** What a slow lane may have under way at once, until it answers fast again. */
const MOST_SLOW = 2;
/** Live deliveries for one of bulk work, while there are both. */
const LIVE_FOR_ONE_BULK = 3;
/** A lane with nothing to do is kept this long, because what comes next mostly comes soon. */
const IDLE_MS = 2_000;
/** One that is held back is given up when that lasts longer than this. */
const PATIENCE_MS = 10_000;
/** After so many takeovers from holders that died one delivery is sent at a time. */
const CAREFUL_FROM_CRASHES = 2;

/** Something may have been missed of a change of the status that was told: a second look is needed. */
export interface SecondLook {
  /** The number of the change. */
  readonly change: number;
  /** After the end of these transactions. */
  readonly writers: readonly string[];
  /** When to look whether they have ended; ms since the epoch. */
  dueAt: number;
  /** How long to wait the next time, ms. */
  readonly waitMs: number;
}

/**
 * One webhook's lane while this process holds its lease: the only reader and sender of the webhook's deliveries. So its
 * limits are exact, and all decided here.
 *
 * What is in hand goes ready → sending → unsettled, and is left out of reads by id. It is sent while
 *
 * - the gate is open: the webhook is ACTIVE, its configuration is fresh, what was held is told as resumed, and the lane is
 *   neither lost nor being given up, nor is another worker to have it;
 * - nothing throttles it: `Retry-After`, an open circuit, the rate limit, or, under strict order, the head's own wait;
 * - there is room: `maxConcurrency`, two while it is slow, one while the circuit is half open, and, under strict order,
 *   one at a time whose result is written down before the next.
 */
export class Lane {
  readonly webhookId: string;
  readonly tenantId: string;
  /** The fetched job: passing it fences every statement to this lease. */
  readonly job: { readonly id: string; readonly retryCount: number };
  destination: Destination;

  readonly bands: readonly [live: LaneBand, bulk: LaneBand];
  sending = 0;
  isSlow = false;
  heldUntil: number;
  circuit: Circuit;
  isReading = false;
  /** Rises whenever what was read ahead is let go of: a read that began before would leave a gap. */
  generation = 0;
  /** The configuration changed and is being read again; `reloadAgain`: it changed once more meanwhile. */
  isStale = false;
  reloadAgain = false;
  /** What was open is being cancelled, or told as held or resumed. */
  isSweeping = false;
  /** Nothing is left to cancel, as long as nothing rings. */
  isSwept = false;
  /** Up to which change of the status the feed was told of all that was to be seen then. */
  toldChange: number;
  /** Up to which nothing was missed either, and that is written down. */
  statusTold: number;
  secondLook: SecondLook | null = null;
  /** The receiver answered 410: nothing is sent until that is written down and the configuration read again. */
  isGone = false;
  isClosing = false;
  isLost = false;
  /** Another worker is to have it: nothing more is begun. */
  isLeaving = false;
  /** In the dispatcher's round. */
  isQueued = false;
  /** Average bytes of a body, for sizing reads. */
  bodyBytes = 4_096;
  crashes: number;

  readonly #inHand = new Set<string>();
  /** Under strict order: the head waits until then. */
  #headUntil: number;
  /** Under strict order: a request of a holder that was taken for dead may be on its way until then. */
  readonly #orphansUntil: number;
  #limiterAt: number;
  #liveInARow = 0;
  #readAfter = 0;
  #idleSince: number;

  constructor(job: { id: string; retryCount: number }, destination: Destination, now: number) {
    this.webhookId = destination.webhookId;
    this.tenantId = destination.tenantId;
    this.job = job;
    this.destination = destination;
    this.bands = [new LaneBand(0, now), new LaneBand(1, now)];
    this.heldUntil = destination.heldUntil;
    this.circuit = destination.circuit;
    this.toldChange = destination.statusTold;
    this.statusTold = destination.statusTold;
    this.crashes = destination.crashes;
    this.#limiterAt = destination.limiterAt;
    this.#idleSince = now;
    this.#orphansUntil = destination.isStrict && job.retryCount > 0 ? now + destination.timeoutMs : 0;
    this.#headUntil = this.#orphansUntil;
  }

  get inHand(): number {
    return this.#inHand.size;
  }

  get readyCount(): number {
    return this.bands[0].ready.length + this.bands[1].ready.length;
  }

  /** Holders died over it again and again: whatever it is, it isn't tried any more until the operator looks at it. */
  get isParked(): boolean {
    return this.crashes >= PARKED_FROM_CRASHES;
  }

  /** What was paused or resumed and isn't told in the feed to the end. */
  get toTell(): 'PAUSED' | 'ACTIVE' | null {
    if (this.isStale || this.statusTold === this.destination.statusChanges) return null;
    if (this.destination.status === 'PAUSED') {
      const isQuiet = this.sending === 0 && this.#inHand.size === this.readyCount;
      return isQuiet ? 'PAUSED' : null;
    }
    return this.destination.status === 'ACTIVE' ? 'ACTIVE' : null;
  }

  isGateOpen(): boolean {
    return (
      this.destination.status === 'ACTIVE' &&
      this.toldChange === this.destination.statusChanges &&
      !this.isStale &&
      !this.isGone &&
      !this.isClosing &&
      !this.isLost &&
      !this.isLeaving &&
      !this.isParked
    );
  }

  /** Nothing is sent before this moment; ms since the epoch. */
  throttledUntil(): number {
    const { rateLimit } = this.destination;
    return Math.max(
      this.heldUntil,
      this.#headUntil,
      this.circuit.until ?? 0,
      rateLimit ? nextRequestAt(rateLimit, this.#limiterAt) : 0,
    );
  }

  canSend(now: number): boolean {
    return this.readyCount > 0 && this.#hasRoom(now) && this.isGateOpen() && this.throttledUntil() <= now;
  }

  #hasRoom(now: number): boolean {
    if (this.destination.isStrict || this.crashes >= CAREFUL_FROM_CRASHES) return this.#inHand.size === this.readyCount;
    if (circuitState(this.circuit.until, now) === 'HALF_OPEN') return this.sending === 0;
    const most = this.isSlow ? Math.min(MOST_SLOW, this.destination.maxConcurrency) : this.destination.maxConcurrency;
    return this.sending < most;
  }

  /** The next to be sent, which counts as sent from now on. Only where it `canSend`. */
  next(now: number): ReadyDelivery {
    const { rateLimit } = this.destination;
    if (rateLimit) this.#limiterAt = afterRequest(rateLimit, this.#limiterAt, now);
    this.sending++;
    const [live, bulk] = this.bands;
    const isBulk = live.ready.length === 0 || (bulk.ready.length > 0 && this.#liveInARow >= LIVE_FOR_ONE_BULK);
    this.#liveInARow = isBulk ? 0 : this.#liveInARow + 1;
    return (isBulk ? bulk : live).ready.shift()!;
  }

  /**
   * The receiver answered, or failed to.
   *
   * @returns until when the circuit is open from now on, null where it closed, undefined where nothing changed
   */
  answered(isOk: boolean, isHold: boolean, isFast: boolean, now: number): number | null | undefined {
    this.sending--;
    if (isFast) this.isSlow = false;
    if (isHold) return undefined;
    const before = this.circuit.until;
    this.circuit = afterAttempt(this.circuit, isOk, now);
    return this.circuit.until === before ? undefined : this.circuit.until;
  }

  /** Under strict order: the delivery failed, and nothing passes it until it is tried again. */
  waitForHead(until: number): void {
    this.#headUntil = Math.max(this.#headUntil, until);
  }

  /** Something became due at `dueAt` or later, and is visible. */
  heed(dueAt: number): void {
    this.isSwept = false;
    // Who rings for a paused webhook saw it active: perhaps he was waited for.
    if (this.secondLook && this.destination.status === 'PAUSED') this.secondLook.dueAt = 0;
    for (const band of this.bands) band.heed(dueAt);
  }

  /** The bands that want to read now: none while a read is under way. */
  wantingBands(now: number): LaneBand[] {
    if (this.isReading || this.#readAfter > now || !this.isGateOpen()) return [];
    if (this.throttledUntil() > now + IDLE_MS) return [];
    return this.bands.filter((band) => band.wantsRead(now));
  }

  /** What this read would have taken is still there: read it again later. */
  failRead(retryAt: number): void {
    this.isReading = false;
    this.#readAfter = retryAt;
    for (const band of this.bands) band.rewind();
  }

  take(band: LaneBand, entries: readonly ReadyDelivery[]): void {
    for (const entry of entries) {
      this.#inHand.add(entry.delivery.id);
      band.ready.push(entry);
    }
    const head = band.ready[0]?.delivery.retryAt;
    if (this.destination.isStrict && head) this.waitForHead(head);
  }

  /**
   * Whether what was just published, as matched by this version of the webhook, may be taken in hand without a read: it is
   * the next, and is sent as it is.
   */
  takesFresh(version: number, now: number): boolean {
    const { destination } = this;
    return (
      version === destination.version &&
      destination.condition === null &&
      !destination.isStrict &&
      !this.isReading &&
      this.isGateOpen() &&
      this.bands[0].isCaughtUp(now)
    );
  }

  takeFresh(entry: ReadyDelivery): void {
    this.#inHand.add(entry.delivery.id);
    this.bands[0].accept(entry);
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
    this.generation++;
    // The head is read again too, and may be another by then.
    this.#headUntil = this.#orphansUntil;
    const dropped = this.bands.flatMap((band) => band.drop());
    for (const { delivery } of dropped) this.#inHand.delete(delivery.id);
    return dropped;
  }

  inHandIds(): string[] {
    return [...this.#inHand];
  }

  /** What was sent or held and isn't settled. */
  get underWay(): number {
    return this.#inHand.size - this.readyCount;
  }

  /** When the last of it was settled, or it was fetched. */
  get idleSince(): number {
    return this.#idleSince;
  }

  /** Whether it can be given up: there is nothing to do for a while, or nothing that may be done. */
  isIdle(now: number): boolean {
    if (this.isReading || this.isStale || this.isGone || this.isClosing || this.isSweeping) return false;
    if (this.#inHand.size > this.readyCount) return false;
    if (this.isLeaving) return true;
    if (this.toTell !== null) return false;
    if (this.destination.status !== 'ACTIVE' || this.isParked) return true;
    if (now - this.#idleSince <= IDLE_MS) return false;
    if (this.throttledUntil() - now > PATIENCE_MS) return true;
    return this.readyCount === 0 && this.bands.every((band) => band.isQuiet(now, IDLE_MS));
  }

  /** What has to be remembered of it when it is given up. */
  parked(): ParkedLane {
    const { rateLimit } = this.destination;
    return {
      webhookId: this.webhookId,
      notBefore: rateLimit ? nextRequestAt(rateLimit, this.#limiterAt) : null,
      limiterAt: rateLimit ? this.#limiterAt : null,
    };
  }
}

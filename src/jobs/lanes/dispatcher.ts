import { outcomeOf } from '../../domain/deliveries/outcome.ts';
import { recordedHeaders, signedHeaders } from '../../domain/deliveries/request.ts';
import { settledAttempt } from '../../domain/deliveries/settlement.ts';
import type { Settlement } from '../../domain/deliveries/settlement.ts';
import { encodeId } from '../../platform/ids.ts';
import type { Exchange } from '../../platform/outbound/exchange.ts';
import type { Sender } from '../../platform/outbound/sender.ts';
import type { Lane, ReadyDelivery } from './lane.ts';
import type { Settlers } from './settlers.ts';

/** Requests at once that are younger than {@link SLOW_AFTER_MS}, and those that are older. */
const FAST_SLOTS = 256;
const SLOW_SLOTS = 2_000;
const SLOW_AFTER_MS = 250;

export interface DispatcherOptions {
  readonly sender: Sender;
  readonly settlers: Settlers;
  readonly headerPrefix: string;
  readonly userAgent: string;
  /** This process may send: it has renewed its leases. */
  readonly maySend: () => boolean;
  /** A 410 is written down. */
  readonly onGone: (lane: Lane) => void;
  /** Under strict order: a failed delivery is back in its place, and what was read ahead of it has to be read again. */
  readonly onHeadFailed: (lane: Lane) => void;
  /** After each result that is written down. */
  readonly onSettled: (lane: Lane) => void;
  /** After each answer: the lane has room again, and maybe wants to read. */
  readonly onAnswer: (lane: Lane, entry: ReadyDelivery, exchange: Exchange) => void;
}

interface Running {
  readonly lane: Lane;
  readonly startedAt: number;
  isSlow: boolean;
  isDone: boolean;
}

/**
 * Sends what lanes have ready, one of each lane in turn, within two budgets. A request that is older than 250 ms moves
 * to the slow budget and makes its lane slow; a slow lane starts from the slow budget only, two at once, until it
 * answers fast. So endpoints that hang use up the slow budget and nobody else's time. (One budget, fair round robin,
 * 100 of 200 hanging: p99 of the others 91 s; two budgets: 10 ms.)
 */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #fastRound: Lane[] = [];
  readonly #slowRound: Lane[] = [];
  #fast = 0;
  #slow = 0;
  /** Fast requests in the order in which they started. */
  #young: Running[] = [];
  #youngFrom = 0;
  #isStopped = false;

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#fast + this.#slow;
  }

  /** The lane may have something to send: gives it its turns, now and as slots come free. */
  offer(lane: Lane): void {
    if (!lane.isQueued && lane.canSend(Date.now())) {
      lane.isQueued = true;
      (lane.isSlow ? this.#slowRound : this.#fastRound).push(lane);
    }
    this.pump();
  }

  /** From now on nothing is sent, and what is still under way counts as never sent. */
  ignoreAnswers(): void {
    this.#isStopped = true;
  }

  /** Sends while there are slots and lanes with something to send. */
  pump(): void {
    if (this.#isStopped || this.#options.settlers.isCongested || !this.#options.maySend()) return;
    const now = Date.now();
    this.#serve(this.#fastRound, false, now);
    this.#serve(this.#slowRound, true, now);
  }

  /** A lane that is served goes to the end of its round; one that has nothing to send leaves it. */
  #serve(round: Lane[], isSlow: boolean, now: number): void {
    while (round.length > 0 && (isSlow ? this.#slow < SLOW_SLOTS : this.#fast < FAST_SLOTS)) {
      const lane = round.shift()!;
      if (!lane.canSend(now)) lane.isQueued = false;
      else {
        (lane.isSlow ? this.#slowRound : this.#fastRound).push(lane);
        if (lane.isSlow === isSlow) this.#send(lane, lane.next(now), now);
      }
    }
  }

  /** Moves what has grown old to the slow budget. Called some twenty times a second. */
  age(now: number): void {
    while (this.#youngFrom < this.#young.length) {
      const running = this.#young[this.#youngFrom]!;
      if (!running.isDone) {
        if (now - running.startedAt < SLOW_AFTER_MS) break;
        running.isSlow = true;
        running.lane.isSlow = true;
        this.#fast--;
        this.#slow++;
      }
      this.#youngFrom++;
    }
    if (this.#youngFrom > 1_000) {
      this.#young = this.#young.slice(this.#youngFrom);
      this.#youngFrom = 0;
    }
    this.pump();
  }

  #send(lane: Lane, entry: ReadyDelivery, now: number): void {
    const { delivery, body } = entry;
    const { destination } = lane;
    const running: Running = { lane, startedAt: now, isSlow: lane.isSlow, isDone: false };
    if (running.isSlow) this.#slow++;
    else {
      this.#fast++;
      this.#young.push(running);
    }
    const headers = signedHeaders({
      headerPrefix: this.#options.headerPrefix,
      contentType: entry.contentType,
      userAgent: this.#options.userAgent,
      webhookId: destination.publicId,
      deliveryId: encodeId('delivery', delivery.id),
      eventId: entry.eventId,
      eventType: delivery.eventType,
      attempt: delivery.attempts + 1,
      hops: entry.hops,
      customHeaders: destination.customHeaders,
      keys: destination.keys(now),
      body,
      now,
    });
    const { url, timeoutMs, verifySsl } = destination;
    void this.#options.sender.send({ url, headers, body, timeoutMs, verifySsl }).then((exchange) => {
      if (this.#isStopped) return;
      running.isDone = true;
      if (running.isSlow) this.#slow--;
      else this.#fast--;
      const settlement = settlementOf(lane, entry, recordedHeaders(headers, destination.customHeaders), exchange);
      if (settlement.heldUntil !== null) lane.heldUntil = Math.max(lane.heldUntil, settlement.heldUntil);
      if (settlement.isGone) lane.isGone = true;
      if (settlement.keepsPlace) lane.waitForHead(settlement.nextAt!);
      this.#options.settlers.add(settlement, () => this.#settled(lane, entry, settlement));
      this.#options.onAnswer(lane, entry, exchange);
    });
  }

  #settled(lane: Lane, { delivery }: ReadyDelivery, settlement: Settlement): void {
    const { isGone, keepsPlace, nextAt } = settlement;
    lane.release(delivery.id, Date.now());
    if (isGone) this.#options.onGone(lane);
    if (keepsPlace) this.#options.onHeadFailed(lane);
    else if (nextAt !== null) {
      const band = lane.bands[delivery.band];
      band.wakeAt = Math.min(band.wakeAt, nextAt);
    }
    this.#options.onSettled(lane);
  }
}

const settlementOf = (
  lane: Lane,
  { delivery }: ReadyDelivery,
  requestHeaders: readonly string[],
  exchange: Exchange,
): Settlement => {
  const { destination } = lane;
  const now = exchange.startedAt + exchange.durationMs;
  const outcome = outcomeOf({
    answer: exchange,
    retrySchedule: destination.retrySchedule,
    failuresBefore: delivery.cycleAttempts,
    isOpen: destination.status === 'ACTIVE' || destination.status === 'PAUSED',
    now,
    random: Math.random(),
  });
  const isRetrying = outcome.status === 'RETRYING';
  const heldUntil = isRetrying ? outcome.heldUntil : null;
  const circuitUntil = lane.answered(
    exchange.error === null,
    heldUntil !== null,
    exchange.durationMs < SLOW_AFTER_MS,
    now,
  );
  return {
    deliveryId: delivery.id,
    webhookId: destination.webhookId,
    webhookName: destination.webhookName,
    eventId: delivery.eventId,
    eventType: delivery.eventType,
    isTest: delivery.isTest,
    isForward: delivery.isForward,
    attemptsBefore: delivery.attempts,
    status: outcome.status,
    nextAt: isRetrying ? outcome.nextAt : null,
    keepsPlace: isRetrying && destination.isStrict,
    circuitUntil,
    countsAsFailure: isRetrying && heldUntil === null,
    heldUntil,
    isGone: outcome.status === 'ABANDONED' && outcome.isGone,
    attempt: settledAttempt(triggerOf(delivery, destination.resumedAt), requestHeaders, exchange),
    error: exchange.error,
  };
};

/** What was due before its webhook was resumed had been held. What somebody asked for stays that. */
const triggerOf = ({ trigger, dueAt }: ReadyDelivery['delivery'], resumedAt: number): string =>
  dueAt < resumedAt && (trigger === 'INITIAL' || trigger === 'RETRY') ? 'RESUME' : trigger;

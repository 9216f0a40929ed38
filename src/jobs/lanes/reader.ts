import { readDue } from '../../domain/deliveries/openDeliveries.ts';
import type { DueRead, LaneRead, OpenDelivery } from '../../domain/deliveries/openDeliveries.ts';
import type { AttemptErrorCode } from '../../domain/deliveries/delivery.ts';
import { PLAIN_END } from '../../domain/deliveries/settlement.ts';
import type { Settlement } from '../../domain/deliveries/settlement.ts';
import type { Database } from '../../platform/database.ts';
import type { Logger } from '../../platform/logs.ts';
import type { Sandbox } from '../../platform/sandbox/sandbox.ts';
import type { LaneBand } from './band.ts';
import type { Bodies } from './bodies.ts';
import type { Lane, ReadyDelivery } from './lane.ts';
import type { Settlers } from './settlers.ts';

/** Statements at once: fewer than a worker's pool has connections, so that settles find one. */
const READS_AT_ONCE = 4;
/** Of one statement, so that taking in its rows holds nobody up for long. */
const MOST_ROWS = 1_000;
const READ_RETRY_MS = 500;
/** Of what an expression says of its failure. */
const LONGEST_MESSAGE = 500;

/** How a delivery ends without an attempt. */
type End = Pick<Settlement, 'status' | 'error'>;
const abandoned = (code: AttemptErrorCode, message: string): End => ({ status: 'ABANDONED', error: { code, message } });
const EXPIRED = abandoned('UNKNOWN', 'Not delivered within 7 days.');
const ORPHANED = abandoned('UNKNOWN', 'The event is no longer stored.');
const FILTERED: End = { status: 'FILTERED', error: null };
const NONE: ReadonlyMap<string, End> = new Map();

export interface LaneReaderOptions {
  readonly database: Database;
  readonly bodies: Bodies;
  readonly settlers: Settlers;
  readonly sandbox: Pick<Sandbox, 'evaluateMany'>;
  readonly log: Logger;
  /** Its row has another version than it is worked with. */
  readonly onStale: (lane: Lane) => void;
  /** The lane has something to send, or wants to read on. */
  readonly onRead: (lane: Lane) => void;
}

/** A read of one band that is under way. */
interface Reading extends LaneRead {
  readonly lane: Lane;
  readonly of: LaneBand;
  readonly generation: number;
}

/**
 * Reads ahead for lanes, for all that wait at once in one statement: a ring that wakes ten lanes is one read (one each
 * cost 3 ms more from publish to receiver). What can't be sent ends here: too old, its event gone, or filtered by its
 * webhook's condition.
 */
export class LaneReader {
  readonly #options: LaneReaderOptions;
  readonly #waiting = new Set<Lane>();
  #running = 0;
  #isScheduled = false;
  #isStopped = false;

  constructor(options: LaneReaderOptions) {
    this.#options = options;
  }

  /** The lane wants to read: soon, together with whoever else does. */
  request(lane: Lane): void {
    this.#waiting.add(lane);
    if (this.#isScheduled || this.#running >= READS_AT_ONCE) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.#pump();
    });
  }

  /** Takes nothing in any more; what was read is let go of. */
  stop(): void {
    this.#isStopped = true;
    this.#waiting.clear();
  }

  #pump(): void {
    while (this.#waiting.size > 0 && this.#running < READS_AT_ONCE && !this.#isStopped) {
      const readings = this.#begin();
      if (readings.length === 0) return;
      this.#running++;
      void this.#read(readings).finally(() => {
        this.#running--;
        this.#pump();
      });
    }
  }

  /** As many of the lanes that wait as one statement takes. Those that have work in hand wait while memory is short. */
  #begin(): Reading[] {
    const now = Date.now();
    const readings: Reading[] = [];
    let rows = 0;
    let bytesFree = this.#options.bodies.bytesFree;
    for (const lane of this.#waiting) {
      if (rows >= MOST_ROWS) break;
      if (bytesFree <= 0 && lane.inHand > 0) continue;
      this.#waiting.delete(lane);
      const bands = lane.wantingBands(now);
      if (bands.length === 0) continue;
      lane.isReading = true;
      for (const band of bands) {
        const { cursor, limit, overlaps } = band.beginRead(now);
        const affordable = Math.max(1, Math.min(limit, Math.floor(bytesFree / lane.bodyBytes)));
        rows += affordable;
        bytesFree -= affordable * lane.bodyBytes;
        readings.push({
          lane,
          of: band,
          generation: lane.generation,
          webhookId: lane.webhookId,
          band: band.band,
          cursor,
          inHand: overlaps ? lane.inHandIds() : [],
          limit: affordable,
        });
      }
    }
    return readings;
  }

  async #read(readings: readonly Reading[]): Promise<void> {
    const lanes = new Set(readings.map(({ lane }) => lane));
    let reads: DueRead[];
    let ready: ReadyDelivery[];
    try {
      reads = await readDue(this.#options.database.sql, readings);
      const due = reads.flatMap((read) => read.deliveries.filter((delivery) => !delivery.isExpired));
      ready = await this.#options.bodies.attach(due);
    } catch (error) {
      for (const lane of lanes) lane.failRead(Date.now() + READ_RETRY_MS);
      this.#options.log.warn({ err: error, lanes: lanes.size }, 'could not read lanes; trying again');
      return;
    }
    const entries = new Map(ready.map((entry) => [entry.delivery.id, entry]));
    for (const lane of lanes) {
      const own = readings.flatMap((reading, index) =>
        reading.lane === lane ? [{ reading, read: reads[index]! }] : [],
      );
      void this.#take(lane, own, entries);
    }
  }

  /** What was read of one lane: ended, filtered, or ready. Conditions are waited for by their own lane only. */
  async #take(
    lane: Lane,
    own: readonly { reading: Reading; read: DueRead }[],
    entries: ReadonlyMap<string, ReadyDelivery>,
  ): Promise<void> {
    const ready = own.flatMap(({ read }) => read.deliveries.flatMap(({ id }) => entries.get(id) ?? []));
    const ends =
      lane.destination.condition === null ? NONE : await this.#judge(lane, lane.destination.condition, ready);
    const isOutdated = own.some(({ reading }) => reading.generation !== lane.generation);
    if (ends === null || this.#isStopped || isOutdated || !lane.isGateOpen()) {
      for (const entry of ready) this.#options.bodies.free(entry);
      lane.failRead(ends === null ? Date.now() + READ_RETRY_MS : 0);
      if (!this.#isStopped) this.#options.onRead(lane);
      return;
    }
    for (const { reading, read } of own) {
      reading.of.endRead(read, reading.limit);
      const kept: ReadyDelivery[] = [];
      for (const delivery of read.deliveries) {
        const entry = entries.get(delivery.id);
        const end = delivery.isExpired ? EXPIRED : entry ? ends.get(delivery.id) : ORPHANED;
        if (end === undefined) kept.push(entry!);
        else {
          if (entry) this.#options.bodies.free(entry);
          this.#end(lane, delivery, end);
        }
      }
      lane.take(reading.of, kept);
    }
    if (ready.length > 0) {
      lane.bodyBytes = Math.ceil(ready.reduce((sum, { body }) => sum + body.length, 0) / ready.length) + 1_024;
    }
    lane.isReading = false;
    if (own.some(({ read }) => (read.webhookVersion ?? 0) > lane.destination.version)) this.#options.onStale(lane);
    this.#options.onRead(lane);
  }

  /**
   * The condition on what has not been tried yet, by delivery id: how those end that aren't sent. Null where the sandbox has
   * trouble of its own.
   */
  async #judge(
    lane: Lane,
    condition: string,
    ready: readonly ReadyDelivery[],
  ): Promise<ReadonlyMap<string, End> | null> {
    const fresh = ready.filter(({ delivery }) => delivery.attempts === 0);
    if (fresh.length === 0) return NONE;
    const evaluations = await this.#options.sandbox.evaluateMany(
      lane.tenantId,
      condition,
      fresh.map(({ envelope }) => envelope.toString()),
      lane.webhookId,
    );
    const ends = new Map<string, End>();
    for (const [index, evaluation] of evaluations.entries()) {
      const { id } = fresh[index]!.delivery;
      if (evaluation.ok) {
        if (!evaluation.truthy) ends.set(id, FILTERED);
      } else if (evaluation.code === 'UNAVAILABLE') return null;
      else ends.set(id, abandoned('CONDITION_FAILED', evaluation.message.slice(0, LONGEST_MESSAGE)));
    }
    return ends;
  }

  #end(lane: Lane, delivery: OpenDelivery, { status, error }: End): void {
    lane.hold(delivery.id);
    const { webhookId, webhookName } = lane.destination;
    this.#options.settlers.add(
      {
        deliveryId: delivery.id,
        webhookId,
        webhookName,
        eventId: delivery.eventId,
        eventType: delivery.eventType,
        isTest: delivery.isTest,
        isForward: delivery.isForward,
        attemptsBefore: delivery.attempts,
        status,
        ...PLAIN_END,
        attempt: null,
        error,
      },
      () => {
        lane.release(delivery.id, Date.now());
        this.#options.onRead(lane);
      },
    );
  }
}

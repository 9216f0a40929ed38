import { readDue } from '../../domain/deliveries/openDeliveries.ts';
import type { DueRead, LaneRead, OpenDelivery } from '../../domain/deliveries/openDeliveries.ts';
import type { AttemptError } from '../../domain/deliveries/delivery.ts';
import type { Database } from '../../platform/database.ts';
import type { Logger } from '../../platform/logs.ts';
import type { LaneBand } from './band.ts';
import type { Bodies } from './bodies.ts';
import type { Lane, ReadyDelivery } from './lane.ts';
import type { Settler } from './settler.ts';

/** Statements at once: fewer than a worker's pool has connections, so that settles find one. */
const READS_AT_ONCE = 4;
/** Of one statement, so that taking in its rows holds nobody up for long. */
const MOST_ROWS = 1_000;
const READ_RETRY_MS = 500;
const EXPIRED: AttemptError = { code: 'UNKNOWN', message: 'Not delivered within 7 days.' };
const ORPHANED: AttemptError = { code: 'UNKNOWN', message: 'The event is no longer stored.' };

export interface LaneReaderOptions {
  readonly database: Database;
  readonly bodies: Bodies;
  readonly settler: Settler;
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
 * cost 3 ms more from publish to receiver). What can't be sent ends here: too old, or its event gone.
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
    setImmediate(() => {
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
      this.#take(lane, own, entries);
    }
  }

  /** What was read of one lane: ended, or ready. */
  #take(
    lane: Lane,
    own: readonly { reading: Reading; read: DueRead }[],
    entries: ReadonlyMap<string, ReadyDelivery>,
  ): void {
    const ready = own.flatMap(({ read }) => read.deliveries.flatMap(({ id }) => entries.get(id) ?? []));
    const isOutdated = own.some(({ reading }) => reading.generation !== lane.generation);
    if (this.#isStopped || isOutdated || !lane.isGateOpen()) {
      for (const entry of ready) this.#options.bodies.free(entry);
      lane.failRead(0);
      if (!this.#isStopped) this.#options.onRead(lane);
      return;
    }
    for (const { reading, read } of own) {
      reading.of.endRead(read, reading.limit);
      for (const delivery of read.deliveries) {
        if (delivery.isExpired) this.#abandon(lane, delivery, EXPIRED);
        else if (!entries.has(delivery.id)) this.#abandon(lane, delivery, ORPHANED);
      }
      lane.take(
        reading.of,
        read.deliveries.flatMap(({ id }) => entries.get(id) ?? []),
      );
    }
    if (ready.length > 0) {
      lane.bodyBytes = Math.ceil(ready.reduce((sum, { body }) => sum + body.length, 0) / ready.length) + 1_024;
    }
    lane.isReading = false;
    if (own.some(({ read }) => (read.webhookVersion ?? 0) > lane.destination.version)) this.#options.onStale(lane);
    this.#options.onRead(lane);
  }

  #abandon(lane: Lane, delivery: OpenDelivery, error: AttemptError): void {
    lane.hold(delivery.id);
    const { webhookId, webhookName } = lane.destination;
    this.#options.settler.add(
      {
        deliveryId: delivery.id,
        webhookId,
        webhookName,
        eventId: delivery.eventId,
        eventType: delivery.eventType,
        isTest: delivery.isTest,
        isForward: delivery.isForward,
        attemptsBefore: delivery.attempts,
        status: 'ABANDONED',
        nextAt: null,
        keepsPlace: false,
        circuitUntil: undefined,
        countsAsFailure: false,
        heldUntil: null,
        isGone: false,
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

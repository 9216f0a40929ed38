import type { PgBoss } from 'pg-boss';
import { readDestinations, readVersions } from '../../domain/deliveries/destination.ts';
import type { Destination } from '../../domain/deliveries/destination.ts';
import type { Fresh, Ring } from '../../domain/deliveries/bell.ts';
import {
  beginLanes,
  forgiveLane,
  freshDelivery,
  lanesWithWork,
  parkLanes,
} from '../../domain/deliveries/openDeliveries.ts';
import type { Settled, Settlement } from '../../domain/deliveries/settlement.ts';
import type { Database } from '../../platform/database.ts';
import type { Logger } from '../../platform/logs.ts';
import type { Notifications } from '../../platform/notifications.ts';
import type { Exchange } from '../../platform/outbound/exchange.ts';
import type { Sender } from '../../platform/outbound/sender.ts';
import type { Sandbox } from '../../platform/sandbox/sandbox.ts';
import type { SecretBox } from '../../platform/secrets.ts';
import { DELIVER_QUEUE } from '../boss.ts';
import { Balance } from './balance.ts';
import { Bodies } from './bodies.ts';
import type { BodyCache } from './bodyCache.ts';
import { Dispatcher } from './dispatcher.ts';
import { Lane } from './lane.ts';
import { LaneReader } from './reader.ts';
import { Leases } from './leases.ts';
import type { LaneJob } from './leases.ts';
import type { Bell, LocalLanes, RingPayload } from './ring.ts';
import { Settlers } from './settlers.ts';
import { LaneSweeper } from './sweeper.ts';

const TICK_MS = 50;
const PARKED =
  'a lane is parked: its holders died again and again. Look at their logs, then change its webhook (or pause and resume it)';

export interface WorkerOptions {
  readonly database: Database;
  readonly boss: PgBoss;
  readonly bell: Bell;
  readonly notifications: Notifications;
  readonly sender: Sender;
  readonly bodies: BodyCache;
  readonly sandbox: Pick<Sandbox, 'evaluateMany'>;
  readonly box: SecretBox;
  readonly log: Logger;
  readonly headerPrefix: string;
  readonly userAgent: string;
  readonly mend: (error: unknown) => Promise<boolean>;
  /** After each commit of results: for the sequencer, and for metrics. */
  readonly onSettled: (batch: readonly Settlement[]) => void;
  /** After each of these commits: for those who watch the health of webhooks. Neither throws nor waits. */
  readonly onHealth: (settled: Pick<Settled, 'healthChanged' | 'announces'>) => void;
  readonly onAnswer?: (exchange: Exchange) => void;
}

/**
 * Works the lanes that this process holds. A lane is fetched (its pg-boss job becomes active and is renewed every 3 s),
 * read ahead, sent, settled, and given up after 2 s without anything due: its next due time is written for the clock,
 * the job completed, and then looked at once more, because what was committed before the completion rang in vain.
 * What comes after rings by itself.
 *
 * A worker that dies leaves its lanes active; after 10 s without renewal pg-boss queues them again. What it had sent
 * and not settled is sent again: at least once.
 */
export class LaneWorker implements LocalLanes {
  readonly #options: WorkerOptions;
  readonly #lanes = new Map<string, Lane>();
  readonly #bodies: Bodies;
  readonly #settlers: Settlers;
  readonly #dispatcher: Dispatcher;
  readonly #reader: LaneReader;
  readonly #sweeper: LaneSweeper;
  readonly #leases: Leases<Lane>;
  #tick: NodeJS.Timeout | undefined;
  #isDraining = false;
  readonly #givingUp = new Set<Promise<void>>();

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#bodies = new Bodies(options.database, options.bodies);
    this.#settlers = new Settlers({
      database: options.database,
      log: options.log,
      mend: options.mend,
      onSettled: (settled, batch) => {
        options.onSettled(batch);
        options.onHealth(settled);
        for (const webhookId of settled.disabled) options.bell.configurationChanged(webhookId);
        this.#dispatcher.pump();
      },
    });
    this.#dispatcher = new Dispatcher({
      sender: options.sender,
      settlers: this.#settlers,
      headerPrefix: options.headerPrefix,
      userAgent: options.userAgent,
      maySend: () => this.#leases.areFresh,
      onGone: (lane) => this.reconfigure(lane.webhookId),
      onHeadFailed: (lane) => this.#drop(lane),
      onAnswer: (lane, entry, exchange) => {
        this.#bodies.free(entry);
        options.onAnswer?.(exchange);
        this.#advance(lane);
      },
      onSettled: (lane) => {
        if (lane.crashes > 0) this.#forgive(lane);
        this.#advance(lane);
      },
    });
    this.#reader = new LaneReader({
      database: options.database,
      bodies: this.#bodies,
      sandbox: options.sandbox,
      settlers: this.#settlers,
      log: options.log,
      onStale: (lane) => this.reconfigure(lane.webhookId),
      onRead: (lane) => this.#advance(lane),
    });
    this.#sweeper = new LaneSweeper({
      database: options.database,
      log: options.log,
      onWritten: () => options.onSettled([]),
      onTold: (lane) => this.#advance(lane),
    });
    this.#leases = new Leases({
      boss: options.boss,
      queue: DELIVER_QUEUE,
      log: options.log,
      held: () => [...this.#lanes.values()],
      balance: new Balance({ ...options, queue: DELIVER_QUEUE }),
      letGo: (count) => this.#letGo(count),
      begin: (jobs) => this.#begin(jobs),
      renewed: (lanes) => {
        this.#keep(lanes);
        return this.#compareVersions(lanes);
      },
      onFresh: () => this.#dispatcher.pump(),
    });
  }

  /** Lanes held now. */
  get size(): number {
    return this.#lanes.size;
  }

  start(): void {
    const { bell, notifications } = this.#options;
    bell.attach(this);
    notifications.on(
      'hookgraph_ring',
      (payload) => this.#heard(payload),
      () => this.#afterGap(),
    );
    notifications.on(
      'hookgraph_webhook',
      (id) => this.reconfigure(id),
      () => undefined,
    );
    notifications.on(
      'hookgraph_inbound',
      (id) => this.reconfigure(id),
      () => undefined,
    );
    this.#tick = setInterval(() => this.#onTick(), TICK_MS);
    this.#leases.start();
  }

  /**
   * Stops taking work, waits for what is being sent, settles it and hands every lane back. What isn't answered by the
   * limit is left as it was: whoever gets the lane sends it again.
   */
  async drain(limitMs: number): Promise<void> {
    const deadline = Date.now() + limitMs;
    this.#isDraining = true;
    this.#reader.stop();
    await this.#leases.stopFetching();
    for (const lane of this.#lanes.values()) this.#drop(lane);
    while (this.#dispatcher.running > 0 && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 5));
    this.#dispatcher.ignoreAnswers();
    await this.#settlers.drain();
    clearInterval(this.#tick);
    await this.#leases.stop();
    await this.#giveUp([...this.#lanes.values()]);
    await Promise.all(this.#givingUp);
    await this.#options.bell.flush();
  }

  heed({ webhookId, dueAt, fresh }: Omit<Ring, 'tenantId'>): boolean {
    const lane = this.#lanes.get(webhookId);
    if (!lane || lane.isClosing || lane.isLost || this.#isDraining || !this.#leases.areFresh) return false;
    if (!fresh || !this.#takeFresh(lane, fresh, dueAt)) lane.heed(dueAt);
    this.#advance(lane);
    return true;
  }

  /** What this process has just published is sent without a read; false where some of it has to be read. */
  #takeFresh(lane: Lane, { version, events }: Fresh, dueAt: number): boolean {
    const now = Date.now();
    return events.every((event) => {
      if (!lane.takesFresh(version, now)) return false;
      const delivery = freshDelivery(event, lane.webhookId, lane.destination.payloadFields, dueAt);
      const entry = this.#bodies.attachKnown(delivery);
      if (entry) lane.takeFresh(entry);
      return entry !== null;
    });
  }

  reconfigure(webhookId: string): void {
    const lane = this.#lanes.get(webhookId);
    if (!lane || lane.isClosing) return;
    const isReloading = lane.isStale;
    lane.isStale = true;
    lane.reloadAgain = isReloading;
    if (!isReloading) void this.#reload(lane);
  }

  fetchSoon(): void {
    this.#leases.fetchSoon();
  }

  #heard(payload: string): void {
    if (payload === '') {
      this.fetchSoon();
      return;
    }
    for (const [webhookId, dueAt] of JSON.parse(payload) as RingPayload) this.heed({ webhookId, dueAt });
  }

  /** Notifications may have been lost: look for work, and at the configuration of every lane. */
  #afterGap(): void {
    this.fetchSoon();
    for (const lane of this.#lanes.values()) {
      lane.heed(0);
      this.reconfigure(lane.webhookId);
    }
  }

  /** Answers those that have no lane any more. */
  async #begin(jobs: readonly LaneJob[]): Promise<LaneJob[]> {
    const { database, box, log } = this.#options;
    await beginLanes(
      database.sql,
      jobs.map(({ data, retryCount }) => ({ webhookId: data.webhookId, isOrphaned: retryCount > 0 })),
    );
    const ids = jobs.map((job) => job.data.webhookId);
    const destinations = await readDestinations(database.sql, box, ids, log);
    const now = Date.now();
    const empty: LaneJob[] = [];
    for (const job of jobs) {
      const destination = destinations.get(job.data.webhookId);
      if (!destination) {
        empty.push(job);
        continue;
      }
      const lost = this.#lanes.get(destination.webhookId);
      if (lost) {
        lost.isLost = true;
        this.#forget(lost);
      }
      const lane = new Lane(job, destination, now);
      if (lane.isParked) log.error({ webhookId: lane.webhookId, crashes: lane.crashes }, PARKED);
      this.#lanes.set(lane.webhookId, lane);
      this.#advance(lane);
    }
    return empty;
  }

  /** Whatever the lane can do next: read ahead, send, cancel or tell. */
  #advance(lane: Lane): void {
    if (lane.isLost || lane.isClosing) return;
    this.#sweeper.sweep(lane);
    if (!this.#isDraining && lane.wantingBands(Date.now()).length > 0) this.#reader.request(lane);
    this.#dispatcher.offer(lane);
  }

  /** Lets go of what was read ahead: it is read again when it may be sent. */
  #drop(lane: Lane): void {
    for (const entry of lane.dropReady()) this.#bodies.free(entry);
  }

  #forgive(lane: Lane): void {
    lane.crashes = 0;
    forgiveLane(this.#options.database.sql, lane.webhookId).catch((error: unknown) => {
      this.#options.log.warn({ err: error, webhookId: lane.webhookId }, 'could not forgive a lane its crashes');
    });
  }

  async #reload(lane: Lane): Promise<void> {
    const { database, box, log } = this.#options;
    while (!lane.isLost) {
      lane.reloadAgain = false;
      try {
        const fresh = (await readDestinations(database.sql, box, [lane.webhookId], log)).get(lane.webhookId);
        if (lane.reloadAgain) continue;
        if (fresh) this.#adopt(lane, fresh);
        else lane.isLost = true;
        break;
      } catch (error) {
        log.warn({ err: error, webhookId: lane.webhookId }, 'could not read a changed webhook; trying again');
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    }
    lane.isStale = false;
    this.#advance(lane);
  }

  #adopt(lane: Lane, destination: Destination): void {
    const before = lane.destination;
    lane.destination = destination;
    lane.isGone = false;
    lane.isSwept = false;
    lane.crashes = destination.crashes;
    lane.statusTold = destination.statusTold;
    if (before.url !== destination.url || before.status !== destination.status) {
      lane.circuit = destination.circuit;
      lane.heldUntil = destination.heldUntil;
    } else {
      // What a settle in flight has yet to write down counts too.
      lane.heldUntil = Math.max(lane.heldUntil, destination.heldUntil);
    }
    // Whatever changed, and be it that some of it was cancelled: what is sent from now on is read from now on.
    this.#drop(lane);
  }

  #onTick(): void {
    const now = Date.now();
    this.#dispatcher.age(now);
    const idle: Lane[] = [];
    for (const lane of this.#lanes.values()) {
      if (lane.isLost) this.#forget(lane);
      else if (lane.isIdle(now)) idle.push(lane);
      else this.#advance(lane);
    }
    if (idle.length > 0 && !this.#isDraining) {
      const giving: Promise<void> = this.#giveUp(idle).finally(() => this.#givingUp.delete(giving));
      this.#givingUp.add(giving);
    }
  }

  /** They are given up with the tick that finds nothing of them under way. */
  #letGo(count: number): void {
    const coldest = [...this.#lanes.values()]
      .filter((lane) => !lane.isSlow && !lane.isClosing && !lane.isLost)
      .sort((a, b) => a.underWay - b.underWay || a.idleSince - b.idleSince);
    for (const lane of coldest.slice(0, count)) lane.isLeaving = true;
  }

  /** A lane that couldn't leave until now stays: where one request hangs, the others of its lane must not wait for it. */
  #keep(lanes: readonly Lane[]): void {
    for (const lane of lanes) {
      if (!lane.isLeaving) continue;
      lane.isLeaving = false;
      this.#advance(lane);
    }
  }

  /** Its lease is somebody else's: what is still being sent is settled by compare-and-set. */
  #forget(lane: Lane): void {
    this.#drop(lane);
    if (this.#lanes.get(lane.webhookId) === lane) this.#lanes.delete(lane.webhookId);
  }

  async #giveUp(lanes: readonly Lane[]): Promise<void> {
    const { database, bell, log } = this.#options;
    for (const lane of lanes) {
      lane.isClosing = true;
      this.#drop(lane);
      this.#lanes.delete(lane.webhookId);
    }
    const ids = lanes.map((lane) => lane.webhookId);
    if (ids.length === 0) return;
    try {
      await parkLanes(
        database.sql,
        lanes.map((lane) => lane.parked()),
      );
      await this.#leases.complete(lanes);
      const left = await lanesWithWork(database.sql, ids);
      bell.ring(left.map((lane) => ({ ...lane, dueAt: 0 })));
    } catch (error) {
      log.warn({ err: error, lanes: ids.length }, 'could not give lanes up; their leases run out');
    }
  }

  /** Notifications may have been lost: looks for configurations that are newer than what lanes work with. */
  async #compareVersions(lanes: readonly Lane[]): Promise<void> {
    const versions = await readVersions(
      this.#options.database.sql,
      lanes.map((lane) => lane.webhookId),
    );
    for (const lane of lanes) {
      const version = versions.get(lane.webhookId);
      if (version !== undefined && version > lane.destination.version) this.reconfigure(lane.webhookId);
    }
  }
}

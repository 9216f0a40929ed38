import type { PgBoss } from 'pg-boss';
import {
  dispatchesWithWork,
  dropUnrecorded,
  readDispatches,
  readDispatchTarget,
} from '../../domain/inbound/dispatch/openDispatches.ts';
import type { Ring } from '../../domain/deliveries/bell.ts';
import type { Dispatch } from '../../domain/inbound/dispatch/dispatch.ts';
import type { Database } from '../../platform/database.ts';
import type { Logger } from '../../platform/logs.ts';
import type { Notifications } from '../../platform/notifications.ts';
import { DISPATCH_QUEUE } from '../boss.ts';
import { Balance } from '../lanes/balance.ts';
import { Leases } from '../lanes/leases.ts';
import type { HeldLane, LaneJob } from '../lanes/leases.ts';
import type { Bell, LocalLanes, RingPayload } from '../lanes/ring.ts';

/** Lanes that are worked at once: below the connections of a worker's pool. */
const LANES_AT_ONCE = 4;
/** Requests of one lane in its turn: bodies are at most a megabyte each. */
const TURN = 16;
/** A lane with nothing to do is kept this long, because what comes next mostly comes soon. */
const IDLE_MS = 2_000;
const TICK_MS = 250;
const RETRY_MS = 500;

export interface DispatchWorkerOptions {
  readonly database: Database;
  readonly boss: PgBoss;
  readonly bell: Bell;
  readonly notifications: Notifications;
  readonly dispatch: Dispatch;
  readonly log: Logger;
  /** After each turn: the feed has something to tell. Neither throws nor waits. */
  readonly onSettled: () => void;
}

/** One inbound webhook's lane while this process holds its lease. */
interface DispatchLane extends HeldLane {
  readonly webhookId: string;
  readonly tenantId: string;
  isClosing: boolean;
  /** Something came since its last read began. */
  hasRung: boolean;
  isWaiting: boolean;
  isWorking: boolean;
  notBefore: number;
  idleSince: number;
}

/**
 * Handles what inbound webhooks received. A webhook's requests are handled one after the other, in the order in which they
 * came (one that is tried again is passed by those that came later); several webhooks at once take turns of 16.
 * Leases hand webhooks out to processes, as for deliveries; that nothing is handled twice is up to the compare-and-set of each
 * commit, and so holds even where two processes believe to have the same lane.
 */
export class DispatchWorker implements LocalLanes {
  readonly #options: DispatchWorkerOptions;
  readonly #lanes = new Map<string, DispatchLane>();
  readonly #round: DispatchLane[] = [];
  readonly #leases: Leases<DispatchLane>;
  readonly #turns = new Set<Promise<void>>();
  #tick: NodeJS.Timeout | undefined;
  #isDraining = false;

  constructor(options: DispatchWorkerOptions) {
    this.#options = options;
    this.#leases = new Leases({
      boss: options.boss,
      queue: DISPATCH_QUEUE,
      log: options.log,
      held: () => [...this.#lanes.values()],
      balance: new Balance({ ...options, queue: DISPATCH_QUEUE }),
      letGo: (count) => this.#letGo(count),
      begin: async (jobs) => this.#begin(jobs),
      onFresh: () => this.#pump(),
    });
  }

  start(): void {
    const { bell, notifications } = this.#options;
    bell.attach(this);
    notifications.on(
      'hookgraph_dispatch',
      (payload) => this.#heard(payload),
      () => this.#afterGap(),
    );
    this.#tick = setInterval(() => this.#onTick(), TICK_MS);
    this.#leases.start();
  }

  /** Begins nothing more, waits for what is being handled, and hands every lane back. What isn't over by the limit is left. */
  async drain(limitMs: number): Promise<void> {
    this.#isDraining = true;
    clearInterval(this.#tick);
    await this.#leases.stopFetching();
    const limit = new Promise((resolve) => setTimeout(resolve, limitMs).unref());
    await Promise.race([Promise.all(this.#turns), limit]);
    await this.#leases.stop();
    await this.#giveUp([...this.#lanes.values()]);
    await this.#options.bell.flush();
  }

  heed({ webhookId }: Pick<Ring, 'webhookId'>): boolean {
    const lane = this.#lanes.get(webhookId);
    if (!lane || lane.isClosing || lane.isLost || this.#isDraining || !this.#leases.areFresh) return false;
    lane.hasRung = true;
    this.#offer(lane);
    return true;
  }

  /** Settings are read with every turn. */
  reconfigure(): void {}

  fetchSoon(): void {
    this.#leases.fetchSoon();
  }

  #heard(payload: string): void {
    if (payload === '') this.fetchSoon();
    else for (const [webhookId] of JSON.parse(payload) as RingPayload) this.heed({ webhookId });
  }

  #afterGap(): void {
    this.fetchSoon();
    for (const webhookId of this.#lanes.keys()) this.heed({ webhookId });
  }

  #begin(jobs: readonly LaneJob[]): LaneJob[] {
    for (const job of jobs) {
      const { webhookId, tenantId } = job.data;
      const lost = this.#lanes.get(webhookId);
      if (lost) lost.isLost = true;
      const lane: DispatchLane = {
        job,
        webhookId,
        tenantId,
        isClosing: false,
        isLost: false,
        hasRung: true,
        isWaiting: false,
        isWorking: false,
        notBefore: 0,
        idleSince: Date.now(),
      };
      this.#lanes.set(webhookId, lane);
      this.#offer(lane);
    }
    return [];
  }

  #offer(lane: DispatchLane): void {
    if (!lane.isWaiting && !lane.isWorking && !lane.isLost && !lane.isClosing) {
      lane.isWaiting = true;
      this.#round.push(lane);
    }
    this.#pump();
  }

  #pump(): void {
    while (this.#round.length > 0 && this.#turns.size < LANES_AT_ONCE && !this.#isDraining && this.#leases.areFresh) {
      const lane = this.#round.shift()!;
      lane.isWaiting = false;
      if (lane.isLost || lane.isClosing || lane.notBefore > Date.now()) continue;
      lane.isWorking = true;
      const turn: Promise<void> = this.#work(lane).finally(() => {
        lane.isWorking = false;
        this.#turns.delete(turn);
        if (lane.hasRung) this.#offer(lane);
        else this.#pump();
      });
      this.#turns.add(turn);
    }
  }

  /** One turn: what is due, one after the other. */
  async #work(lane: DispatchLane): Promise<void> {
    const { database, dispatch, log, onSettled } = this.#options;
    lane.hasRung = false;
    try {
      const [due, target] = await Promise.all([
        readDispatches(database.sql, lane.webhookId, TURN),
        readDispatchTarget(database.sql, lane.webhookId),
      ]);
      if (due.length === 0) return;
      lane.hasRung ||= due.length === TURN;
      const unrecorded = due.filter(({ receivedAt }) => receivedAt === 0).map(({ id }) => id);
      if (unrecorded.length > 0) await dropUnrecorded(database.sql, unrecorded);
      const recorded = due.filter(({ receivedAt }) => receivedAt > 0);
      if (target === null) await dispatch.giveUp(recorded);
      else {
        for (const one of recorded) {
          if (this.#isDraining || lane.isLost || !this.#leases.areFresh) break;
          await dispatch.handle(target, one);
        }
      }
      onSettled();
    } catch (error) {
      log.warn({ err: error, webhookId: lane.webhookId }, 'could not dispatch; trying again');
      lane.notBefore = Date.now() + RETRY_MS;
      lane.hasRung = true;
    } finally {
      lane.idleSince = Date.now();
    }
  }

  #onTick(): void {
    const now = Date.now();
    const idle: DispatchLane[] = [];
    for (const lane of this.#lanes.values()) {
      if (lane.isLost) {
        if (!lane.isWorking) this.#lanes.delete(lane.webhookId);
      } else if (lane.hasRung) this.#offer(lane);
      else if (!lane.isWorking && !lane.isWaiting && now - lane.idleSince > IDLE_MS) idle.push(lane);
    }
    if (idle.length > 0) void this.#giveUp(idle);
  }

  #letGo(count: number): void {
    const coldest = [...this.#lanes.values()]
      .filter((lane) => !lane.isWorking && !lane.isClosing && !lane.isLost)
      .sort((a, b) => a.idleSince - b.idleSince);
    void this.#giveUp(coldest.slice(0, count));
  }

  /** Completes the jobs, then looks once more: what was committed before rang in vain, what comes after rings by itself. */
  async #giveUp(lanes: readonly DispatchLane[]): Promise<void> {
    const { database, bell, log } = this.#options;
    for (const lane of lanes) {
      lane.isClosing = true;
      this.#lanes.delete(lane.webhookId);
    }
    if (lanes.length === 0) return;
    try {
      await this.#leases.complete(lanes);
      const left = await dispatchesWithWork(
        database.sql,
        lanes.map((lane) => lane.webhookId),
      );
      bell.ring(left.map((lane) => ({ ...lane, dueAt: 0 })));
    } catch (error) {
      log.warn({ err: error, lanes: lanes.length }, 'could not give lanes up; their leases run out');
    }
  }
}

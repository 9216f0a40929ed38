import type { PgBoss } from 'pg-boss';
import type { Logger } from '../../platform/logs.ts';
import type { Balance } from './balance.ts';

/** Looks for lanes without a ring: those of a dead worker, and those whose NOTIFY was lost. */
const FETCH_BACKSTOP_MS = 1_000;
const FETCH_BATCH = 100;
const MOST_LANES = 5_000;
const HEARTBEAT_MS = 3_000;
/** Without a renewal for this long the lanes may be somebody else's: nothing is begun. Below pg-boss's 10 s. */
const LEASE_MS = 8_000;
/** Lanes that are let go of at once. */
const MOST_LET_GO = 500;
/** Who let go of lanes leaves what is queued to others for this long, and keeps what it has until they have told what they took. */
const LEFT_TO_OTHERS_MS = 2_000;
const SETTLED_DOWN_MS = 2 * HEARTBEAT_MS;

/** A lane's job, as it is fetched: its data say whose lane it is. */
export interface LaneJob {
  readonly id: string;
  /** Above 0: the holder before was taken for dead. */
  readonly retryCount: number;
  readonly data: { readonly webhookId: string; readonly tenantId: string };
}

/** A lane that this process holds. */
export interface HeldLane {
  readonly job: { readonly id: string; readonly retryCount: number };
  readonly isClosing: boolean;
  /** Its lease is somebody else's. */
  isLost: boolean;
}

export interface LeasesOptions<Lane extends HeldLane> {
  readonly boss: PgBoss;
  /** One of pg-boss's queues. */
  readonly queue: string;
  readonly log: Logger;
  readonly held: () => readonly Lane[];
  /** Takes the lanes on; answers the jobs that stand for nothing, which are completed. What throws is fetched again. */
  readonly begin: (jobs: readonly LaneJob[]) => Promise<readonly LaneJob[]>;
  /** How the lanes are shared with other workers. */
  readonly balance: Balance;
  /** Gives back so many lanes, the coldest first, as far as nothing of them is under way. */
  readonly letGo: (count: number) => void;
  /** After each renewal, with the lanes that are still held. */
  readonly renewed?: (lanes: readonly Lane[]) => Promise<void>;
  /** Work may go on. */
  readonly onFresh: () => void;
}

/**
 * The leases of the lanes of one kind: fetches their jobs when somebody rang and once a second, renews them every 3 s by
 * one statement, and gives them back. A worker that dies leaves them to pg-boss, which hands them out again after 10 s. One
 * with well above its share lets the coldest go, and leaves them to those that have less.
 */
export class Leases<Lane extends HeldLane> {
  readonly #options: LeasesOptions<Lane>;
  #fetching: Promise<void> | null = null;
  #fetchAgain = false;
  #renewing: Promise<void> | null = null;
  #renewedAt = 0;
  #letGoAt = 0;
  #backstop: NodeJS.Timeout | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(options: LeasesOptions<Lane>) {
    this.#options = options;
  }

  /** The lanes held are this process's for sure. */
  get areFresh(): boolean {
    return Date.now() - this.#renewedAt < LEASE_MS;
  }

  start(): void {
    this.#renewedAt = Date.now();
    this.#options.balance.start();
    this.#backstop = setInterval(() => this.#fetchNow(), FETCH_BACKSTOP_MS);
    this.#heartbeat = setInterval(() => {
      this.#renewing ??= this.#renew().finally(() => {
        this.#renewing = null;
      });
    }, HEARTBEAT_MS);
    this.#fetchNow();
  }

  /** Fetches nothing any more; what is held is still renewed. Resolves when no fetch is under way. */
  async stopFetching(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#backstop);
    await this.#fetching;
  }

  async stop(): Promise<void> {
    await this.stopFetching();
    clearInterval(this.#heartbeat);
    await this.#renewing;
  }

  /** Somebody rang: whoever has room fetches. What nobody has room for is fetched within a second. */
  fetchSoon(): void {
    if (this.#options.balance.room(this.#options.held().length) > 0) this.#fetchNow();
  }

  #fetchNow(): void {
    if (this.#isStopped || Date.now() - this.#letGoAt < LEFT_TO_OTHERS_MS) return;
    this.#fetchAgain = true;
    this.#fetching ??= this.#fetch().finally(() => {
      this.#fetching = null;
    });
  }

  /** Gives lanes back. */
  async complete(lanes: readonly Pick<HeldLane, 'job'>[]): Promise<void> {
    const { boss, queue } = this.#options;
    await boss.complete(
      queue,
      lanes.map((lane) => lane.job),
    );
  }

  async #fetch(): Promise<void> {
    const { boss, queue, log, held, begin, balance } = this.#options;
    while (this.#fetchAgain && !this.#isStopped && held().length < MOST_LANES) {
      this.#fetchAgain = false;
      try {
        const batchSize = Math.min(FETCH_BATCH, Math.max(1, balance.room(held().length)));
        const jobs = await boss.fetch<LaneJob['data']>(queue, { batchSize });
        if (jobs.length === 0) continue;
        if (jobs.length === batchSize && balance.room(held().length + batchSize) > 0) this.#fetchAgain = true;
        const empty = await begin(jobs);
        if (empty.length > 0) await this.complete(empty.map((job) => ({ job })));
      } catch (error) {
        // Jobs that were fetched and not begun come back when their heartbeat runs out.
        log.warn({ err: error }, 'could not fetch lanes');
        return;
      }
    }
  }

  #share(): void {
    const { balance, held, letGo } = this.#options;
    const count = held().length;
    balance.tell(count);
    if (this.#isStopped || Date.now() - this.#letGoAt < SETTLED_DOWN_MS) return;
    const excess = balance.excess(count);
    if (excess === 0) return;
    this.#letGoAt = Date.now();
    letGo(Math.min(excess, MOST_LET_GO));
  }

  /** Renews every lease by one statement, and tells the lost ones. */
  async #renew(): Promise<void> {
    const { boss, queue, log, held, renewed, onFresh } = this.#options;
    const lanes = held().filter((lane) => !lane.isClosing);
    const startedAt = Date.now();
    try {
      if (lanes.length > 0) {
        const answer = (await boss.touch(
          queue,
          lanes.map((lane) => lane.job),
        )) as { settled?: string[] };
        const mine = new Set(answer.settled);
        for (const lane of lanes) if (!mine.has(lane.job.id)) lane.isLost = true;
        await renewed?.(lanes);
      }
      this.#renewedAt = startedAt;
      onFresh();
      this.#share();
    } catch (error) {
      log.warn({ err: error, lanes: lanes.length }, 'could not renew leases');
    }
  }
}

import type { PgBoss } from 'pg-boss';
import { missTurn, runningOperations, takeTurn } from '../domain/bulk/turn.ts';
import type { Turn } from '../domain/bulk/turn.ts';
import type { LaneBell } from '../domain/deliveries/bell.ts';
import type { Database } from '../platform/database.ts';
import type { Logger } from '../platform/logs.ts';
import type { Notifications } from '../platform/notifications.ts';
import { isDatabaseOutage } from '../platform/outage.ts';
import { BULK_QUEUE } from './boss.ts';
import type { BulkQueue } from './bulkQueue.ts';

export interface BulkRunnerOptions {
  readonly database: Database;
  readonly boss: PgBoss;
  readonly queue: BulkQueue;
  readonly notifications: Notifications;
  readonly bell: LaneBell;
  readonly retentionDays: number;
  readonly log: Logger;
  /** Makes partitions when a commit finds none; true where trying again makes sense. */
  readonly mend: (error: unknown) => Promise<boolean>;
  /** After each commit. Neither throws nor waits. */
  readonly onTurn: (turn: Turn) => void;
}

/** Operations that this process works on, slice by slice in turn; more than one tenant may have running. */
const MOST_HELD = 50;
const HEARTBEAT_MS = 3_000;
/** Looks for queued operations without a call: those of a dead worker, and those whose NOTIFY was lost. */
const FETCH_BACKSTOP_MS = 1_000;
/** Looks for operations that are not even queued. */
const SEARCH_MS = 30_000;
const LEAST_PAUSE_MS = 5;
const OUTAGE_MS = 1_000;

interface Job {
  readonly id: string;
  readonly retryCount: number;
}

/** An operation that this process works on, by the lease that its job is. */
interface Held {
  readonly id: string;
  readonly job: Job;
  /** After a failure. Ms since the epoch. */
  notBefore: number;
}

/**
 * Works on operations on many deliveries: of those it holds, one slice of each in turn, so that a small one never waits for
 * a large one. A slice is a transaction with how far the operation came, so one that dies with its process has not happened;
 * ten seconds later the job is somebody else's, who goes on from there. After each slice it rests for as long as
 * that took, so that live traffic keeps the database.
 */
export class BulkRunner {
  readonly #options: BulkRunnerOptions;
  /** Who has waited longest comes first. */
  #held: Held[] = [];
  #timer: NodeJS.Timeout | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #running: Promise<void> | null = null;
  #renewing: Promise<void> | null = null;
  #isCalled = true;
  #fetchedAt = 0;
  #searchedAt = 0;
  #isStopped = true;

  constructor(options: BulkRunnerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#isStopped = false;
    const called = (): void => {
      this.#isCalled = true;
      if (!this.#running) this.#turnIn(0);
    };
    // With a payload it is about one that somebody is at already.
    this.#options.notifications.on('hookgraph_bulk', (payload) => payload === '' && called(), called);
    this.#heartbeat = setInterval(() => {
      this.#renewing ??= this.#renew();
    }, HEARTBEAT_MS);
    this.#turnIn(0);
  }

  /** Resolves when the slice under way has ended and what was held is queued for others. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    clearInterval(this.#heartbeat);
    await this.#running;
    await this.#renewing;
    const held = this.#held.splice(0);
    if (held.length === 0) return;
    const { boss, queue, log } = this.#options;
    try {
      await boss.complete(
        BULK_QUEUE,
        held.map(({ job }) => job),
      );
      await queue.queue(held.map(({ id }) => id));
    } catch (error) {
      log.warn({ err: error, operations: held.length }, 'could not hand operations back; their leases run out');
    }
  }

  #turnIn(ms: number): void {
    if (this.#isStopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#running = this.#run()
        .catch((error: unknown) => {
          this.#options.log.warn({ err: error }, 'operations on many deliveries stand still; trying again');
          return OUTAGE_MS;
        })
        .then((pauseMs) => {
          this.#running = null;
          this.#turnIn(pauseMs);
        });
    }, ms);
  }

  /** Takes a turn; answers when to take the next, in ms. */
  async #run(): Promise<number> {
    await this.#search();
    await this.#fetch();
    const now = Date.now();
    const next = this.#held.findIndex(({ notBefore }) => notBefore <= now);
    if (next < 0) return this.#isCalled ? 0 : FETCH_BACKSTOP_MS;
    const [held] = this.#held.splice(next, 1) as [Held];
    this.#held.push(held);
    const startedAt = performance.now();
    await this.#turn(held);
    return Math.max(LEAST_PAUSE_MS, performance.now() - startedAt);
  }

  async #search(): Promise<void> {
    const now = Date.now();
    if (now - this.#searchedAt < SEARCH_MS) return;
    this.#searchedAt = now;
    const ids = await runningOperations(this.#options.database.sql);
    if (ids.length > 0) await this.#options.queue.queue(ids);
  }

  async #fetch(): Promise<void> {
    const now = Date.now();
    const batchSize = MOST_HELD - this.#held.length;
    if (batchSize === 0 || (!this.#isCalled && now - this.#fetchedAt < FETCH_BACKSTOP_MS)) return;
    this.#isCalled = false;
    this.#fetchedAt = now;
    const jobs = await this.#options.boss.fetch<{ id: string }>(BULK_QUEUE, { batchSize });
    for (const job of jobs) this.#held.push({ id: job.data.id, job, notBefore: 0 });
  }

  async #turn(held: Held): Promise<void> {
    const { log } = this.#options;
    try {
      const turn = await this.#slice(held.id);
      if (turn !== null) this.#tell(turn);
      if (turn?.operation.status !== 'RUNNING') await this.#release(held);
    } catch (error) {
      if (isDatabaseOutage(error)) throw error;
      const waitMs = await missTurn(this.#options.database.sql, held.id);
      log[waitMs === null ? 'error' : 'warn'](
        { err: error, operation: held.id },
        `a slice of an operation on many deliveries failed; ${waitMs === null ? 'given up' : 'trying again'}`,
      );
      if (waitMs === null) await this.#release(held);
      else held.notBefore = Date.now() + waitMs;
    }
  }

  async #slice(id: string): Promise<Turn | null> {
    const { database, retentionDays, mend } = this.#options;
    try {
      return await database.transaction((sql) => takeTurn(sql, id, retentionDays));
    } catch (error) {
      if (!(await mend(error))) throw error;
      return database.transaction((sql) => takeTurn(sql, id, retentionDays));
    }
  }

  /** It has ended: by its last slice, or because somebody called it off. */
  async #release(held: Held): Promise<void> {
    this.#held = this.#held.filter((other) => other !== held);
    await this.#options.boss.complete(BULK_QUEUE, held.job);
  }

  #tell(turn: Turn): void {
    const { bell, log, onTurn } = this.#options;
    const { operation, slice } = turn;
    if (slice.rings.length > 0) bell.ring(slice.rings);
    onTurn(turn);
    if (operation.status === 'RUNNING') return;
    const { id, tenantId, kind, status, total, succeeded, failed, startedAt, error } = operation;
    const seconds = (Date.now() - startedAt.getTime()) / 1_000;
    log.info(
      { operation: id, tenant: tenantId, kind, status, total, succeeded, failed, seconds, reason: error },
      'an operation on many deliveries has ended',
    );
  }

  /** Renews what is held, and lets go of what is not any more. */
  async #renew(): Promise<void> {
    const { boss, log } = this.#options;
    const held = [...this.#held];
    try {
      if (held.length === 0) return;
      const renewed = (await boss.touch(
        BULK_QUEUE,
        held.map(({ job }) => job),
      )) as { settled?: string[] };
      const mine = new Set(renewed.settled);
      const lost = new Set(held.filter(({ job }) => !mine.has(job.id)));
      this.#held = this.#held.filter((one) => !lost.has(one));
    } catch (error) {
      log.warn({ err: error, operations: held.length }, 'could not renew the leases of operations');
    } finally {
      this.#renewing = null;
    }
  }
}

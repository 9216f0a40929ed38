/**
 * A few children for all tenants. A child works on one job; further jobs wait, and tenants take turns, as the holders of
 * each (its webhooks) do. No tenant has more than half of the children, and where these are several, one of them is left to
 * holders that have proved themselves, by expressions that were quick the last time: what hangs, or takes long, makes nobody wait who is
 * quick. Children are started when there is work for them, and kept; one that ended is replaced at once.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { ChildProcess } from './childProcess.ts';
import type { ChildLimits, JobReport } from './childProcess.ts';
import type { Job } from './messages.ts';
import { Turns } from './turns.ts';
import type { Waiting } from './turns.ts';

export interface PoolOptions extends ChildLimits {
  readonly size: number;
  /** Jobs that may wait at most, of all tenants. */
  readonly maxWaiting: number;
  readonly maxWaitMs: number;
  readonly onWaited: (ms: number) => void;
  /** Children don't start: said once, until one does. */
  readonly onStartFailed: (cause: unknown) => void;
}

/** A job, and for whom it is. */
export interface Request {
  readonly tenantId: string;
  readonly holder: string;
  readonly job: Job;
  /** What goes on with a job whose child died goes before what else its holder has, and always finds room. */
  readonly isContinued: boolean;
  /** Asked when its turn has come: whether there is nothing left for a child to do, so that the report is empty. */
  readonly isObsolete: () => boolean;
}

/** Longer, on the average of a job, and an expression is not quick. */
const QUICK_MS = 50;
const MOST_PROVEN = 10_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

export class Pool {
  readonly #options: PoolOptions;
  readonly #perTenant: number;
  /** Of those of a tenant, for all its holders together that haven't proved themselves. */
  readonly #perUnproven: number;
  readonly #children = new Set<ChildProcess>();
  readonly #idle = new Set<ChildProcess>();
  readonly #turns: Turns;
  /** How many children work for a tenant, and how many of them for such holders. */
  readonly #running = new Map<string, number>();
  readonly #runningUnproven = new Map<string, number>();
  /** Holders, with their tenants, whose last job was quick. */
  readonly #proven = new LRUCache<string, true>({ max: MOST_PROVEN });
  /** Of which as many are kept as the jobs have asked for so far; some of them start. */
  #kept = 0;
  #starting = 0;
  #isFailing = false;
  #refusal: unknown = null;
  #isClosed = false;
  readonly #closing = new AbortController();

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#perTenant = Math.max(1, Math.floor(options.size / 2));
    this.#perUnproven = Math.max(1, this.#perTenant - 1);
    this.#turns = new Turns(options.maxWaiting);
  }

  /** Resolves with what became of the job, or with null where no child was to be had within the wait, or too many wait. */
  run({ tenantId, holder, job, isContinued, isObsolete }: Request): Promise<JobReport | null> {
    const hasRoom = isContinued || this.#turns.hasRoomFor(tenantId, holder);
    if (this.#isClosed || !hasRoom) return Promise.resolve(null);
    const { promise, resolve } = Promise.withResolvers<JobReport | null>();
    const waiting: Waiting = {
      tenantId,
      holder,
      job,
      since: performance.now(),
      timer: setTimeout(() => this.#giveUp(waiting), this.#options.maxWaitMs),
      isObsolete,
      finish: resolve,
    };
    this.#turns.add(waiting, isContinued);
    this.#assign();
    return promise;
  }

  /** Ends every child, at work or not, and resolves when none is left. What waits gets null. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#closing.abort();
    for (let waiting = this.#turns.take(ANYBODY); waiting; waiting = this.#turns.take(ANYBODY)) {
      clearTimeout(waiting.timer);
      waiting.finish(null);
    }
    const children = [...this.#children];
    for (const child of children) child.kill();
    await Promise.all(children.map((child) => child.ended));
  }

  #assign(): void {
    const mayRun = (tenantId: string, holder: string): boolean => this.#free(tenantId, holder) > 0;
    while (this.#idle.size > 0) {
      const waiting = this.#turns.take(mayRun);
      if (!waiting) return;
      clearTimeout(waiting.timer);
      if (waiting.isObsolete()) waiting.finish({ results: [], end: 'done', cpuMs: 0 });
      else void this.#work(this.#takeIdle(), waiting);
    }
    this.#startSome();
  }

  /** How many more children may work for a holder now. */
  #free(tenantId: string, holder: string): number {
    const ofTenant = this.#perTenant - (this.#running.get(tenantId) ?? 0);
    if (this.#proven.has(keyOf(tenantId, holder))) return ofTenant;
    return Math.min(ofTenant, this.#perUnproven - (this.#runningUnproven.get(tenantId) ?? 0));
  }

  #takeIdle(): ChildProcess {
    const [child] = this.#idle;
    this.#idle.delete(child!);
    return child!;
  }

  async #work(child: ChildProcess, { tenantId, holder, job, since, finish }: Waiting): Promise<void> {
    const key = keyOf(tenantId, holder);
    const counts = this.#proven.has(key) ? [this.#running] : [this.#running, this.#runningUnproven];
    for (const count of counts) count.set(tenantId, (count.get(tenantId) ?? 0) + 1);
    this.#options.onWaited(performance.now() - since);
    const report = await child.run(job);
    for (const count of counts) {
      const rest = count.get(tenantId)! - 1;
      if (rest > 0) count.set(tenantId, rest);
      else count.delete(tenantId);
    }
    const isQuick = report.end === 'done' && report.cpuMs <= report.results.length * QUICK_MS;
    if (isQuick) this.#proven.set(key, true);
    else this.#proven.delete(key);
    if (report.end === 'done' && this.#children.has(child)) this.#idle.add(child);
    else this.#startAll();
    finish(report);
    // Behind who waits for the report: what it means for an expression holds for the next job already.
    queueMicrotask(() => this.#assign());
  }

  /** As many as there are jobs that could run now, not more than there may be. */
  #startSome(): void {
    const wantedBy = new Map<string, number>();
    for (const { tenantId, holder, jobs } of this.#turns.sizes()) {
      const more = Math.min(jobs, this.#free(tenantId, holder));
      const ofTenant = this.#perTenant - (this.#running.get(tenantId) ?? 0);
      wantedBy.set(tenantId, Math.min(ofTenant, (wantedBy.get(tenantId) ?? 0) + more));
    }
    const wanted = [...wantedBy.values()].reduce((sum, one) => sum + one, 0);
    while (this.#starting < wanted && this.#kept < this.#options.size) void this.#keep();
  }

  /** Where one was killed others may be, and while it is replaced the next one of its kind takes what is idle. */
  #startAll(): void {
    while (!this.#isClosed && this.#kept < this.#options.size) void this.#keep();
  }

  /** Keeps one child: starts it, and another one when it ends, at once, so that who comes next need not wait for it. */
  async #keep(): Promise<void> {
    this.#kept++;
    let pauseMs = FIRST_PAUSE_MS;
    while (!this.#isClosed) {
      this.#starting++;
      const child = this.#fork();
      const isReady = child !== null && (await child.ready);
      this.#starting--;
      if (isReady) {
        pauseMs = FIRST_PAUSE_MS;
        this.#isFailing = false;
        this.#idle.add(child);
        this.#assign();
        await child.ended;
      }
      if (child) {
        this.#children.delete(child);
        this.#idle.delete(child);
      }
      if (isReady || this.#isClosed) continue;
      // No memory, no processes left: trying again at once would make it worse.
      if (!this.#isFailing) this.#options.onStartFailed(child === null ? this.#refusal : null);
      this.#isFailing = true;
      await delay(pauseMs, undefined, { signal: this.#closing.signal }).catch(() => undefined); // closed meanwhile
      pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
      if (this.#turns.size === 0) break; // the next job asks again
    }
    this.#kept--;
  }

  #fork(): ChildProcess | null {
    try {
      const child = new ChildProcess(this.#options);
      this.#children.add(child);
      return child;
    } catch (error) {
      this.#refusal = error;
      return null;
    }
  }

  #giveUp(waiting: Waiting): void {
    if (this.#turns.remove(waiting)) waiting.finish(null);
  }
}

const ANYBODY = (): boolean => true;

/** A tenant's id has no line break. */
const keyOf = (tenantId: string, holder: string): string => `${tenantId}\n${holder}`;

/**
 * A few children for all tenants. A child works on one job; further jobs wait in a queue per tenant, and tenants take
 * turns. No tenant has more than half of the children, so that one whose expressions hang leaves the others the other half.
 * Children are started when there is work for them, and kept; one that ended is replaced at once.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { ChildProcess } from './childProcess.ts';
import type { ChildLimits, JobReport } from './childProcess.ts';
import type { Job } from './messages.ts';

export interface PoolOptions extends ChildLimits {
  readonly size: number;
  /** Jobs that may wait at most, of all tenants and of one. */
  readonly maxWaiting: number;
  readonly maxWaitingPerTenant: number;
  readonly maxWaitMs: number;
  readonly onWaited: (ms: number) => void;
  /** Children don't start: said once, until one does. */
  readonly onStartFailed: () => void;
}

interface Waiting {
  readonly job: Job;
  readonly since: number;
  readonly timer: NodeJS.Timeout;
  /** Null: no child was to be had. */
  readonly finish: (report: JobReport | null) => void;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

export class Pool {
  readonly #options: PoolOptions;
  readonly #perTenant: number;
  readonly #children = new Set<ChildProcess>();
  readonly #idle: ChildProcess[] = [];
  /** Tenants that wait, whose turn it is first; in each the jobs in their order. */
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #running = new Map<string, number>();
  #waitingCount = 0;
  #starting = 0;
  #failedStarts = 0;
  #isClosed = false;
  readonly #closing = new AbortController();

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#perTenant = Math.max(1, Math.floor(options.size / 2));
  }

  /**
   * Resolves with what became of the job, or with null where no child was to be had within the wait, or too many wait. What
   * continues a job whose child died goes before what else its tenant has, and always finds room.
   */
  run(tenantId: string, job: Job, isContinued: boolean): Promise<JobReport | null> {
    const queue = this.#waiting.get(tenantId) ?? [];
    const { maxWaiting, maxWaitingPerTenant, maxWaitMs } = this.#options;
    const isFull = this.#waitingCount >= maxWaiting || queue.length >= maxWaitingPerTenant;
    if (this.#isClosed || (isFull && !isContinued)) return Promise.resolve(null);
    const { promise, resolve } = Promise.withResolvers<JobReport | null>();
    const waiting: Waiting = {
      job,
      since: performance.now(),
      timer: setTimeout(() => this.#giveUp(tenantId, waiting), maxWaitMs),
      finish: resolve,
    };
    if (isContinued) queue.unshift(waiting);
    else queue.push(waiting);
    this.#waiting.set(tenantId, queue);
    this.#waitingCount++;
    this.#assign();
    return promise;
  }

  /** Ends every child, at work or not, and resolves when none is left. What waits gets null. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#closing.abort();
    for (const queue of this.#waiting.values()) {
      for (const { timer, finish } of queue) {
        clearTimeout(timer);
        finish(null);
      }
    }
    this.#waiting.clear();
    this.#waitingCount = 0;
    const children = [...this.#children];
    for (const child of children) child.kill();
    await Promise.all(children.map((child) => child.ended));
  }

  #assign(): void {
    for (;;) {
      const tenantId = [...this.#waiting.keys()].find((id) => (this.#running.get(id) ?? 0) < this.#perTenant);
      if (tenantId === undefined) return;
      const child = this.#takeIdle();
      if (!child) {
        this.#startSome();
        return;
      }
      this.#work(child, tenantId);
    }
  }

  #takeIdle(): ChildProcess | undefined {
    for (;;) {
      const child = this.#idle.pop();
      if (!child || child.isAlive) return child;
    }
  }

  #work(child: ChildProcess, tenantId: string): void {
    const queue = this.#waiting.get(tenantId)!;
    const { job, since, timer, finish } = queue.shift()!;
    clearTimeout(timer);
    this.#waitingCount--;
    this.#waiting.delete(tenantId);
    if (queue.length > 0) this.#waiting.set(tenantId, queue); // to the end of the turn
    this.#running.set(tenantId, (this.#running.get(tenantId) ?? 0) + 1);
    this.#options.onWaited(performance.now() - since);
    void child.run(job).then((report) => {
      const rest = this.#running.get(tenantId)! - 1;
      if (rest > 0) this.#running.set(tenantId, rest);
      else this.#running.delete(tenantId);
      if (report.end === 'done') this.#idle.push(child);
      finish(report);
      this.#assign();
    });
  }

  /** As many as there are jobs that could run now, not more than there may be. */
  #startSome(): void {
    if (this.#failedStarts > 0) return;
    let wanted = 0;
    for (const [tenantId, queue] of this.#waiting) {
      wanted += Math.min(queue.length, this.#perTenant - (this.#running.get(tenantId) ?? 0));
    }
    while (this.#starting < wanted && this.#children.size < this.#options.size) void this.#start();
  }

  async #start(): Promise<void> {
    if (this.#isClosed) return;
    const child = new ChildProcess(this.#options);
    this.#children.add(child);
    this.#starting++;
    const isReady = await child.ready;
    this.#starting--;
    if (!isReady) {
      this.#children.delete(child);
      if (!this.#isClosed) await this.#pause();
      return;
    }
    this.#failedStarts = 0;
    this.#idle.push(child);
    this.#assign();
    await child.ended;
    this.#children.delete(child);
    await this.#start(); // at once: who comes next is not to wait for it
  }

  /** Where children can't be started (no memory, no processes left), trying again at once would make it worse. */
  async #pause(): Promise<void> {
    if (this.#isClosed) return;
    if (this.#failedStarts++ === 0) this.#options.onStartFailed();
    const pauses = this.#failedStarts;
    const ms = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** pauses);
    await delay(ms, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    if (this.#isClosed || this.#failedStarts !== pauses) return;
    if (this.#waitingCount > 0) await this.#start();
    else this.#failedStarts = 0;
  }

  #giveUp(tenantId: string, waiting: Waiting): void {
    const queue = this.#waiting.get(tenantId);
    const at = queue?.indexOf(waiting) ?? -1;
    if (!queue || at < 0) return;
    queue.splice(at, 1);
    if (queue.length === 0) this.#waiting.delete(tenantId);
    this.#waitingCount--;
    waiting.finish(null);
  }
}

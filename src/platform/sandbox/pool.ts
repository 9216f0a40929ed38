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
  readonly onStartFailed: (cause: unknown) => void;
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
/** Of all inputs that wait. */
const MAX_WAITING_CHARACTERS = 67_108_864;

export class Pool {
  readonly #options: PoolOptions;
  readonly #perTenant: number;
  readonly #children = new Set<ChildProcess>();
  readonly #idle = new Set<ChildProcess>();
  /** Tenants that wait, whose turn it is first; in each the jobs in their order. */
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #running = new Map<string, number>();
  #waitingCount = 0;
  #waitingCharacters = 0;
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
  }

  /**
   * Resolves with what became of the job, or with null where no child was to be had within the wait, or too many wait. What
   * continues a job whose child died goes before what else its tenant has, and always finds room.
   */
  run(tenantId: string, job: Job, isContinued: boolean): Promise<JobReport | null> {
    const queue = this.#waiting.get(tenantId) ?? [];
    const { maxWaiting, maxWaitingPerTenant, maxWaitMs } = this.#options;
    const isFull =
      this.#waitingCount >= maxWaiting ||
      queue.length >= maxWaitingPerTenant ||
      this.#waitingCharacters >= MAX_WAITING_CHARACTERS;
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
    this.#waitingCharacters += sizeOf(job);
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
    this.#waitingCharacters = 0;
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
    const [child] = this.#idle;
    if (child) this.#idle.delete(child);
    return child;
  }

  #work(child: ChildProcess, tenantId: string): void {
    const queue = this.#waiting.get(tenantId)!;
    const { job, since, timer, finish } = queue.shift()!;
    clearTimeout(timer);
    this.#waitingCount--;
    this.#waitingCharacters -= sizeOf(job);
    this.#waiting.delete(tenantId);
    if (queue.length > 0) this.#waiting.set(tenantId, queue); // to the end of the turn
    this.#running.set(tenantId, (this.#running.get(tenantId) ?? 0) + 1);
    this.#options.onWaited(performance.now() - since);
    void child.run(job).then((report) => {
      const rest = this.#running.get(tenantId)! - 1;
      if (rest > 0) this.#running.set(tenantId, rest);
      else this.#running.delete(tenantId);
      if (report.end === 'done' && this.#children.has(child)) this.#idle.add(child);
      finish(report);
      this.#assign();
    });
  }

  /** As many as there are jobs that could run now, not more than there may be. */
  #startSome(): void {
    let wanted = 0;
    for (const [tenantId, queue] of this.#waiting) {
      wanted += Math.min(queue.length, this.#perTenant - (this.#running.get(tenantId) ?? 0));
    }
    while (this.#starting < wanted && this.#kept < this.#options.size) void this.#keep();
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
      if (this.#waitingCount === 0) break; // the next job asks again
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

  #giveUp(tenantId: string, waiting: Waiting): void {
    const queue = this.#waiting.get(tenantId);
    const at = queue?.indexOf(waiting) ?? -1;
    if (!queue || at < 0) return;
    queue.splice(at, 1);
    if (queue.length === 0) this.#waiting.delete(tenantId);
    this.#waitingCount--;
    this.#waitingCharacters -= sizeOf(waiting.job);
    waiting.finish(null);
  }
}

const sizeOf = ({ inputs }: Job): number => inputs.reduce((sum, { length }) => sum + length, 0);

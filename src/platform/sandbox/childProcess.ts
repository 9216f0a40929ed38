import { fork } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { ChildMessage, Job, TaskResult } from './messages.ts';
import { MOST_TRIES, processorTimeOf, SHARE_OF_RUNNING } from './starvation.ts';

/** How a job ended; all but `done` end the child too, at the first task without a result. `done` may leave tasks to be asked for again. */
export type JobEnd = 'done' | 'timeout' | 'memory' | 'lost';

export interface JobReport {
  /** Results of the tasks in their order, up to where it ended. */
  readonly results: readonly TaskResult[];
  readonly end: JobEnd;
  /** Processor time of what has results, in milliseconds: unlike the clock's it is the same on a busy machine. */
  readonly cpuMs: number;
}

export interface ChildLimits {
  /** For each expression. The child gives up by itself then; where it can't, it is killed a little later. */
  readonly deadlineMs: number;
  readonly heapMb: number;
}

const START_MS = 10_000;
/** For the way there and back. */
const GRACE_MS = 50;
/** How V8 ends a process whose heap is full; a signal by number where a shell stands between. */
const MEMORY_SIGNALS = new Set(['SIGABRT', 'SIGTRAP', 'SIGILL', 'SIGSEGV']);
const MEMORY_CODES = new Set([133, 134]);

const directory = realpathSync(dirname(fileURLToPath(import.meta.url)));
const library = realpathSync(createRequire(import.meta.url).resolve('jsonata'));

interface RunningJob {
  readonly results: TaskResult[];
  /** The child's processor time when it began. */
  readonly cpuMsBefore: number;
  readonly timer: NodeJS.Timeout;
  /** How often the task that it is at has had its deadline. */
  tries: number;
  finish(report: JobReport): void;
}

/** One child: starts, works on one job at a time, and is of no more use once it has ended. */
export class ChildProcess {
  readonly #process;
  readonly #limits: ChildLimits;
  readonly #ended = Promise.withResolvers<void>();
  readonly #ready = Promise.withResolvers<boolean>();
  #isTimedOut = false;
  #isAlive = true;
  /** Its processor time when it last said something. */
  #cpuMs = 0;
  #job: RunningJob | null = null;

  constructor(limits: ChildLimits) {
    this.#limits = limits;
    this.#process = fork(join(directory, 'child.ts'), [String(limits.deadlineMs), pathToFileURL(library).href], {
      env: {},
      cwd: '/',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      serialization: 'advanced',
      execArgv: [
        `--max-old-space-size=${limits.heapMb}`,
        '--permission',
        '--allow-worker',
        `--allow-fs-read=${directory}/*`,
        `--allow-fs-read=${dirname(library)}/*`,
        '--disable-proto=delete',
        '--disallow-code-generation-from-strings',
        '--no-warnings',
      ],
    });
    const start = setTimeout(() => this.kill(), START_MS);
    this.#process.on('message', (message: ChildMessage) => {
      this.#cpuMs = message.cpuMs;
      if (message.kind === 'ready') {
        clearTimeout(start);
        this.#ready.resolve(true);
      } else this.#take(message.result, message.isOver);
    });
    const end = (code: number | null, signal: string | null): void => {
      if (!this.#isAlive) return;
      this.#isAlive = false;
      clearTimeout(start);
      this.#ready.resolve(false);
      this.#fail(this.#isTimedOut ? 'timeout' : isMemory(code, signal) ? 'memory' : 'lost');
      this.#ended.resolve();
    };
    this.#process.on('exit', end);
    // It could not be started, or not be written to; the latter is followed by its exit.
    this.#process.on('error', () => {
      if (this.#process.pid === undefined) end(null, null);
      else this.kill();
    });
  }

  /** Resolves with false where it ended before it could work. */
  get ready(): Promise<boolean> {
    return this.#ready.promise;
  }

  /** Resolves when no process is left. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Never rejects. The caller waits for `ready` first, and for the job before. */
  run(job: Job): Promise<JobReport> {
    const { promise, resolve } = Promise.withResolvers<JobReport>();
    if (!this.#isAlive) return Promise.resolve({ results: [], end: 'lost', cpuMs: 0 });
    const timer = setTimeout(() => this.#late(), this.#limits.deadlineMs + GRACE_MS);
    this.#job = { results: [], cpuMsBefore: this.#cpuMs, timer, tries: 1, finish: resolve };
    this.#process.send(job, (error) => {
      if (error) this.kill();
    });
    return promise;
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  #take(result: TaskResult, isOver: boolean): void {
    const job = this.#job;
    if (!job) return;
    job.results.push(result);
    if (!isOver) {
      job.tries = 1;
      job.timer.refresh();
      return;
    }
    this.#finish(job, 'done');
  }

  /** Where this process itself was held up, the result may be here already: it is read before the child is judged. */
  #late(): void {
    const job = this.#job;
    const had = job?.results.length;
    setImmediate(() => {
      if (!job || this.#job !== job) return;
      if (job.results.length !== had) return;
      if (job.tries < MOST_TRIES && this.#isStarved) {
        job.tries++;
        job.timer.refresh();
        return;
      }
      this.#isTimedOut = true;
      this.kill();
    });
  }

  get #isStarved(): boolean {
    const cpuMs = processorTimeOf(this.#process.pid!);
    return cpuMs !== null && cpuMs - this.#cpuMs < this.#limits.deadlineMs * SHARE_OF_RUNNING;
  }

  #fail(end: JobEnd): void {
    if (this.#job) this.#finish(this.#job, end);
  }

  #finish(job: RunningJob, end: JobEnd): void {
    clearTimeout(job.timer);
    this.#job = null;
    job.finish({ results: job.results, end, cpuMs: this.#cpuMs - job.cpuMsBefore });
  }
}

const isMemory = (code: number | null, signal: string | null): boolean =>
  (signal !== null && MEMORY_SIGNALS.has(signal)) || (code !== null && MEMORY_CODES.has(code));

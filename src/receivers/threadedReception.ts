import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { LevelWithSilent } from 'pino';
import type { ReceiverAddress } from '../domain/inbound/directory.ts';
import type { DispatchBell, DispatchRing } from '../domain/inbound/dispatchBell.ts';
import type { Evaluation, Sandbox } from '../platform/sandbox/sandbox.ts';
import { StartupError } from '../platform/startupError.ts';
import { Line } from '../platform/threads/line.ts';
import type { Answer } from './answer.ts';
import type { ReceptionOutcome, UnreadCause } from './reception.ts';
import type { RawRequest } from './request.ts';

/** What the thread is started with. */
export interface ReceptionThreadData {
  readonly databaseUrl: string;
  /** Connections of its own. */
  readonly poolSize: number;
  readonly secretKey: KeyObject;
  /** Lower-case name of the header that counts how often something passed through hookgraph. */
  readonly hopsHeader: string;
  readonly logLevel: LevelWithSilent;
}

/** A request, and whom its path addresses: null for nobody. */
export interface Arrival extends RawRequest {
  readonly address: ReceiverAddress | null;
}

type Addressed = Arrival & { readonly address: ReceiverAddress };

/** How a request is answered. */
export interface Answered {
  readonly answer: Answer;
  readonly outcome: ReceptionOutcome;
}

/** What the thread does. */
export type ReceptionThreadServices = {
  /** The body goes beside it. */
  readonly receive: (arrival: Arrival) => Answered;
  readonly refuseUnread: (refused: {
    readonly arrival: Addressed;
    readonly cause: UnreadCause;
    readonly status: number;
  }) => void;
  readonly forget: () => void;
  readonly written: () => void;
  readonly ping: () => void;
  readonly close: () => void;
};

/** What it needs of the thread that started it. */
export type MainThreadServices = {
  readonly started: () => void;
  readonly evaluateAll: (given: Parameters<Sandbox['evaluateAll']>) => Evaluation[];
  readonly ring: (rings: readonly DispatchRing[]) => void;
  readonly kept: () => void;
  /** Whether there are partitions now for what is received. */
  readonly makePartitions: () => boolean;
};

export interface ThreadedReceptionOptions extends ReceptionThreadData {
  readonly sandbox: Pick<Sandbox, 'evaluateAll'>;
  readonly bell: Pick<DispatchBell, 'ring'>;
  /** Called after commits; must not throw. */
  readonly onKept: () => void;
  /** Must not reject. */
  readonly makePartitions: () => Promise<boolean>;
}

/**
 * A reception with a thread and database connections of its own, so that a process that receives a lot uses two cores, and one
 * that is busy with something else still answers senders: HTTP stays here, what becomes of a request is decided there. An error that
 * nobody catches in there ends the process, as it would here.
 */
export class ThreadedReception {
  readonly #thread: Worker;
  readonly #line: Line<ReceptionThreadServices, MainThreadServices>;
  readonly #ended: Promise<void>;
  #isClosed = false;
  /** Resolves when it can receive; rejects with a StartupError where it can't start. */
  readonly started: Promise<void>;

  constructor({ sandbox, bell, onKept, makePartitions, ...data }: ThreadedReceptionOptions) {
    this.#thread = new Worker(new URL('receptionThread.ts', import.meta.url), { name: 'reception', workerData: data });
    this.#ended = new Promise((resolve) => this.#thread.once('exit', () => resolve()));
    // The first thing that it says. From then on nobody listens for errors, which end the process.
    this.started = once(this.#thread, 'message').then(() => undefined, refuseStart);
    this.started.catch(() => undefined); // told to whoever waits for it, and nobody may be waiting yet
    this.#line = new Line<ReceptionThreadServices, MainThreadServices>(this.#thread, {
      started: () => undefined,
      evaluateAll: (given) => sandbox.evaluateAll(...given),
      ring: (rings) => bell.ring(rings),
      kept: onKept,
      makePartitions,
    });
  }

  /** Resolves once the request is kept, or will not be. Never rejects: what can't be said now is 503. */
  receive(arrival: Arrival, body: Buffer): Promise<Answered> {
    return this.#line.ask('receive', arrival, body).then(({ value }) => value);
  }

  /** Counts a request, for the webhook that it addresses, that was answered before its body was read. */
  refuseUnread(arrival: Addressed, cause: UnreadCause, status: number): void {
    this.#line.tell('refuseUnread', { arrival, cause, status });
  }

  /** Some webhook is another now: what arrives after this is judged by what is in the database. */
  forget(): void {
    this.#line.tell('forget');
  }

  /** Resolves when what was answered before is counted and written, so that it can be read; a second later at most. */
  async written(): Promise<void> {
    if (!this.#isClosed) await this.#line.ask('written', undefined);
  }

  /** Resolves when the thread has come to it: what it does takes milliseconds, where nothing is wrong. */
  async ping(): Promise<void> {
    await this.#line.ask('ping', undefined);
  }

  /** Writes what is counted, and ends the thread. Nothing may arrive any more. */
  async close(): Promise<void> {
    if (!this.#isClosed) this.#line.tell('close');
    this.#isClosed = true;
    await this.#ended;
  }
}

const refuseStart = (error: Error): never => {
  throw new StartupError(
    `Receiving could not start: ${error.message}. Check that PostgreSQL runs and allows all connections that this process needs.`,
    { cause: error },
  );
};

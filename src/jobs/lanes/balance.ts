import { randomUUID } from 'node:crypto';
import type { Database } from '../../platform/database.ts';
import type { Logger } from '../../platform/logs.ts';
import type { Notifications } from '../../platform/notifications.ts';

/** A worker that hasn't told how many lanes it holds for this long is gone: it tells every 3 s. */
const BELIEVED_MS = 10_000;
/** Well above its share is a worker with half as many again. */
const WELL_ABOVE = 1.5;
/**
 * Lanes that a worker may have beyond its share: most are gone again soon, and where there are few they are quickest with the worker
 * that also publishes (with ten lanes in two such processes 10 ms from publish to receiver, and 13 where five had moved).
 */
const SLACK = 10;

/** How many lanes a worker has too many, beside others that hold so many each. Alone, or with about its share, none. */
export const excessOf = (held: number, others: readonly number[]): number => {
  const share = shareOf(held, others);
  const excess = held - share;
  return held > share * WELL_ABOVE && excess > SLACK ? excess : 0;
};

/** How many more it may fetch before it has too many. Alone, as many as there are. */
export const roomOf = (held: number, others: readonly number[]): number =>
  others.length === 0 ? Number.POSITIVE_INFINITY : Math.max(0, shareOf(held, others) + SLACK - held);

const shareOf = (held: number, others: readonly number[]): number =>
  Math.ceil(others.reduce((sum, one) => sum + one, held) / (others.length + 1));

export interface BalanceOptions {
  readonly database: Database;
  readonly notifications: Notifications;
  readonly log: Logger;
  /** Of the lanes: workers are compared within a kind. */
  readonly queue: string;
}

type Payload = readonly [queue: string, worker: string, held: number];

/**
 * What a worker knows of the others: each tells by a notification how many lanes it holds. That is a hint like any ring: what
 * gets lost makes lanes stay where they are.
 */
export class Balance {
  readonly #options: BalanceOptions;
  readonly #worker = randomUUID();
  readonly #others = new Map<string, { readonly held: number; readonly at: number }>();

  constructor(options: BalanceOptions) {
    this.#options = options;
  }

  start(): void {
    this.#options.notifications.on(
      'hookgraph_lanes',
      (payload) => this.#heard(JSON.parse(payload) as Payload),
      () => undefined,
    );
    this.tell(0);
  }

  /** Neither throws nor waits. */
  tell(held: number): void {
    const { database, queue, log } = this.#options;
    const payload: Payload = [queue, this.#worker, held];
    database.sql
      .query(`/*lanes_told*/ select pg_notify('hookgraph_lanes', $1)`, [JSON.stringify(payload)])
      .catch((error: unknown) => log.warn({ err: error }, 'could not tell how many lanes are held'));
  }

  excess(held: number): number {
    return excessOf(held, this.#held());
  }

  room(held: number): number {
    return roomOf(held, this.#held());
  }

  #held(): number[] {
    const since = Date.now() - BELIEVED_MS;
    for (const [worker, { at }] of this.#others) if (at < since) this.#others.delete(worker);
    return [...this.#others.values()].map(({ held }) => held);
  }

  #heard([queue, worker, held]: Payload): void {
    if (queue === this.#options.queue && worker !== this.#worker) this.#others.set(worker, { held, at: Date.now() });
  }
}

import type { LaneBell } from '../domain/deliveries/bell.ts';
import type { Publisher } from '../domain/events/event.ts';
import { disableOverdue } from '../domain/webhooks/failureStreak.ts';
import type { HealthFeed } from '../domain/webhooks/healthFeed.ts';
import { publishOperational } from '../domain/webhooks/operationalEvents.ts';
import type { Database } from '../platform/database.ts';
import type { Logger } from '../platform/logs.ts';

export interface HealthWatchOptions {
  readonly database: Database;
  readonly publisher: Pick<Publisher, 'publishIn'>;
  readonly bell: LaneBell;
  readonly healthFeed: Pick<HealthFeed, 'tell'>;
  readonly log: Logger;
  /** Makes partitions when a commit finds none; true where trying again makes sense. */
  readonly mend: (error: unknown) => Promise<boolean>;
}

const AT_ONCE = 500;
/** Settles that end within this time are announced together. */
const GATHER_MS = 20;
/** Between looks for webhooks whose day is over, and for what a process announced and died before it said so. */
const BACKSTOP_MS = 5_000;
const STANDBY_MS = 200;
const RETRY_MS = 1_000;
const HEALTH_WATCH_LOCK = 4_017_006;

type Turn = 'more' | 'done' | 'contended';

/**
 * Disables webhooks that have failed for a day, and publishes operational events. The rows of the outbox are removed by
 * the transaction that publishes them, so each is published once, whatever dies when. Every worker has a watch, woken by
 * `poke` after its own settles and every 5 s; a lock lets one work at a time, so that events come in the order of the
 * outbox.
 */
export class HealthWatch {
  readonly #options: HealthWatchOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | null = null;
  #isPoked = false;
  #isStopped = true;
  #isFailing = false;

  constructor(options: HealthWatchOptions) {
    this.#options = options;
  }

  start(): void {
    this.#isStopped = false;
    this.#turnIn(0);
  }

  /** Rows were committed to the operational outbox. Neither throws nor waits. */
  poke(): void {
    if (this.#isPoked) return;
    this.#isPoked = true;
    if (!this.#running) this.#turnIn(GATHER_MS);
  }

  /** Resolves when the turn under way has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  /** Does all that is to be done at `now`, ms since the epoch, unless another process is at it. */
  async runOnce(now = Date.now()): Promise<'done' | 'contended'> {
    for (;;) {
      const turn = await this.#turn(now);
      if (turn !== 'more') return turn;
    }
  }

  #turnIn(ms: number): void {
    if (this.#isStopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#running = this.#run().then((pauseMs) => {
        this.#running = null;
        this.#turnIn(pauseMs);
      });
    }, ms);
  }

  /** Answers when to look again, in ms. */
  async #run(): Promise<number> {
    this.#isPoked = false;
    try {
      const turn = await this.#turn(Date.now());
      this.#isFailing = false;
      switch (turn) {
        case 'more':
          return 0;
        case 'done':
          return this.#isPoked ? GATHER_MS : BACKSTOP_MS;
        case 'contended':
          // The holder may have looked before what is here was committed.
          return STANDBY_MS;
        default:
          return turn satisfies never;
      }
    } catch (error) {
      if (!this.#isFailing) this.#options.log.warn({ err: error }, 'the health watch failed; trying again');
      this.#isFailing = true;
      return RETRY_MS;
    }
  }

  async #turn(now: number): Promise<Turn> {
    try {
      return await this.#commit(now);
    } catch (error) {
      if (!(await this.#options.mend(error))) throw error;
      return this.#commit(now);
    }
  }

  async #commit(now: number): Promise<Turn> {
    const { database, publisher, bell, healthFeed } = this.#options;
    const done = await database.transaction(async (sql) => {
      const [lock] = await sql.query<{ mine: boolean }>(
        `/*health_watch_lock*/ select pg_try_advisory_xact_lock($1) as mine`,
        [HEALTH_WATCH_LOCK],
      );
      if (!lock?.mine) return null;
      const overdue = await disableOverdue(sql, now, AT_ONCE);
      return { overdue, events: await publishOperational(sql, publisher, AT_ONCE) };
    });
    if (done === null) return 'contended';
    const { overdue, events } = done;
    for (const { webhookId } of overdue.disabled) bell.configurationChanged(webhookId);
    if (overdue.disabled.length > 0) bell.ring(overdue.disabled.map((one) => ({ ...one, dueAt: 0 })));
    healthFeed.tell(overdue.disabled);
    events.ring();
    return overdue.hasMore || events.taken === AT_ONCE ? 'more' : 'done';
  }
}

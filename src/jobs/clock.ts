import {
  dispatchesDueSince,
  dispatchesWithWork,
  openDispatchSlice,
} from '../domain/inbound/dispatch/openDispatches.ts';
import type { Ring } from '../domain/deliveries/bell.ts';
import {
  lanesDue,
  lanesRecentlyDue,
  laneSlice,
  lanesWithWork,
  removeLanes,
} from '../domain/deliveries/openDeliveries.ts';
import type { Database, Sql } from '../platform/database.ts';
import { LOWEST_ID } from '../platform/ids.ts';
import type { Logger } from '../platform/logs.ts';
import type { Bell } from './lanes/ring.ts';

const TICK_MS = 1_000;
/** Writers have 30 s timeouts, so a row becomes visible at most 60 s after its due time. */
const LATE_MS = 60_000;
const MOST_LANES_A_TICK = 5_000;
const EVERYTHING_EVERY_MS = 60_000;
const CLOCK_LOCK = 4_017_003;

/**
 * Queues lanes whose time has come: those given up until a moment (`lane.next_due_at`), those with something recently
 * due (for a process that died between its commit and its ring), and once a minute every lane with work, slice by
 * slice. A lane that somebody holds isn't disturbed, and one whose webhook is long gone is forgotten. Every worker has a clock, because any may die; a lock keeps them from
 * looking at the same moment, and a lane that two have queued is queued once.
 */
export class Clock {
  readonly #database: Database;
  readonly #bell: Bell;
  readonly #dispatchBell: Bell;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #tick: Promise<void> = Promise.resolve();
  #lastTickAt = 0;
  #everythingAt = 0;
  #isStopped = false;

  constructor(database: Database, bell: Bell, dispatchBell: Bell, log: Logger) {
    this.#database = database;
    this.#bell = bell;
    this.#dispatchBell = dispatchBell;
    this.#log = log;
  }

  start(): void {
    const next = (): void => {
      this.#tick = this.#onTick().finally(() => {
        if (!this.#isStopped) this.#timer = setTimeout(next, TICK_MS);
      });
    };
    next();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#tick;
  }

  async #onTick(): Promise<void> {
    const now = Date.now();
    try {
      const rings = await this.#database.transaction(async (sql) => {
        const [lock] = await sql.query<{ mine: boolean }>(
          `/*clock_lock*/ select pg_try_advisory_xact_lock($1) as mine`,
          [CLOCK_LOCK],
        );
        return lock?.mine
          ? { deliver: await this.#due(sql, now), dispatch: await this.#dispatchesDue(sql, now) }
          : { deliver: [], dispatch: [] };
      });
      if (rings.deliver.length > 0) await this.#bell.queue(rings.deliver);
      if (rings.dispatch.length > 0) await this.#dispatchBell.queue(rings.dispatch);
      if (now - this.#everythingAt >= EVERYTHING_EVERY_MS) {
        this.#everythingAt = now;
        await this.#ringEverything();
      }
      this.#lastTickAt = now;
    } catch (error) {
      this.#log.warn({ err: error }, 'the clock missed a tick');
    }
  }

  async #due(sql: Sql, now: number): Promise<Ring[]> {
    const due = await lanesDue(sql, MOST_LANES_A_TICK);
    const recent = await lanesRecentlyDue(sql, (this.#lastTickAt || now) - LATE_MS);
    const byId = new Map([...due, ...recent].map((lane) => [lane.webhookId, { ...lane, dueAt: 0 }]));
    if (byId.size === 0) return [];
    const withWork = new Set((await lanesWithWork(sql, [...byId.keys()])).map((lane) => lane.webhookId));
    const idle = due.map((lane) => lane.webhookId).filter((id) => !withWork.has(id));
    if (idle.length > 0) await removeLanes(sql, idle);
    return [...byId.values()].filter((lane) => withWork.has(lane.webhookId));
  }

  async #dispatchesDue(sql: Sql, now: number): Promise<Ring[]> {
    return (await dispatchesDueSince(sql, (this.#lastTickAt || now) - LATE_MS)).map(ringOf);
  }

  async #ringEverything(): Promise<void> {
    for (let after = LOWEST_ID; !this.#isStopped;) {
      const slice = await laneSlice(this.#database.sql, after);
      if (slice.length === 0) break;
      after = slice.at(-1)!;
      const lanes = await lanesWithWork(this.#database.sql, slice);
      if (lanes.length > 0) await this.#bell.queue(lanes.map(ringOf));
    }
    for (let after = LOWEST_ID; !this.#isStopped;) {
      const slice = await openDispatchSlice(this.#database.sql, after);
      if (slice.length === 0) return;
      after = slice.at(-1)!;
      const lanes = await dispatchesWithWork(this.#database.sql, slice);
      if (lanes.length > 0) await this.#dispatchBell.queue(lanes.map(ringOf));
    }
  }
}

const ringOf = (lane: { webhookId: string; tenantId: string }): Ring => ({ ...lane, dueAt: 0 });

import type { LaneBell } from '../domain/deliveries/bell.ts';
import { fanOutSlice } from '../domain/events/fanOut.ts';
import type { Database } from '../platform/database.ts';
import type { Logger } from '../platform/logs.ts';
import type { Notifications } from '../platform/notifications.ts';

export interface FanOutOptions {
  readonly database: Database;
  readonly notifications: Notifications;
  readonly bell: LaneBell;
  readonly log: Logger;
}

/** Looks without a call, for what a lost notification or a dead worker left. */
const BACKSTOP_MS = 5_000;
const RETRY_MS = 1_000;

/**
 * Writes the deliveries of events that match more webhooks than are written with them, slice by slice, and rings after each.
 * Every worker has one: the row of an event is locked for the time of a slice, so several events go on at once, and one
 * whose worker died goes on with the next.
 */
export class FanOut {
  readonly #options: FanOutOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | null = null;
  #isCalled = false;
  #isStopped = true;
  #isFailing = false;

  constructor(options: FanOutOptions) {
    this.#options = options;
  }

  start(): void {
    this.#isStopped = false;
    const call = (): void => this.#call();
    this.#options.notifications.on('hookgraph_fan_out', call, call);
    this.#turnIn(0);
  }

  /** Resolves when the slice under way has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  #call(): void {
    this.#isCalled = true;
    if (!this.#running) this.#turnIn(0);
  }

  #turnIn(ms: number): void {
    if (this.#isStopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#running = this.#turn().then((pauseMs) => {
        this.#running = null;
        this.#turnIn(pauseMs);
      });
    }, ms);
  }

  /** Takes a slice; answers when to take the next, in ms. */
  async #turn(): Promise<number> {
    const { database, bell, log } = this.#options;
    this.#isCalled = false;
    try {
      const rings = await fanOutSlice(database.sql);
      this.#isFailing = false;
      if (rings === null) return this.#isCalled ? 0 : BACKSTOP_MS;
      bell.ring(rings);
      return 0;
    } catch (error) {
      if (!this.#isFailing) log.warn({ err: error }, 'events could not be fanned out; trying again');
      this.#isFailing = true;
      return RETRY_MS;
    }
  }
}

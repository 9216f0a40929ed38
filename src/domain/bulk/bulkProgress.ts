import type { Database } from '../../platform/database.ts';
import { endable } from '../../platform/endable.ts';
import type { Notifications } from '../../platform/notifications.ts';
import { findOperations } from './bulkOperation.ts';
import type { BulkOperation } from './bulkOperation.ts';

/** A commit's notification can't be lost on a connection that stands; this is for one that fell before anybody noticed. */
const LOOK_AGAIN_MS = 15_000;

/**
 * Tells subscribers, in whatever process they are, how far an operation is. Every slice notifies with its commit; a
 * follower reads the row when it is pulled, so slices faster than that cost one read and no memory.
 */
export class BulkProgress {
  readonly #database: Database;
  readonly #followers = new Map<string, Set<() => void>>();

  constructor(database: Database, notifications: Notifications) {
    this.#database = database;
    notifications.on(
      'hookgraph_bulk',
      (id) => this.#wake(this.#followers.get(id)),
      () => {
        for (const followers of this.#followers.values()) this.#wake(followers);
      },
    );
  }

  /**
   * The operation as it is at once, and then after each change, after several at once as it is after the last; ends after
   * the state in which it ended, when the signal is aborted, or on `return()`; at once for one that the tenant lacks.
   */
  follow(tenantId: string, id: string, signal: AbortSignal): AsyncGenerator<BulkOperation, void, void> {
    return endable(signal, (ended) => this.#follow(tenantId, id, ended));
  }

  async *#follow(tenantId: string, id: string, signal: AbortSignal): AsyncGenerator<BulkOperation, void, void> {
    let news = false;
    let wake = (): void => undefined;
    const hear = (): void => {
      news = true;
      wake();
    };
    const followers = this.#followers.get(id) ?? new Set();
    this.#followers.set(id, followers.add(hear));
    try {
      for (let last = ''; !signal.aborted;) {
        news = false;
        const [operation] = await findOperations(this.#database.sql, tenantId, [id]);
        if (!operation) return;
        const now = JSON.stringify(operation);
        if (now !== last) yield operation;
        last = now;
        if (operation.status !== 'RUNNING') return;
        if (!news) {
          await new Promise<void>((resolve) => {
            const timer = setTimeout(() => wake(), LOOK_AGAIN_MS);
            wake = () => {
              clearTimeout(timer);
              signal.removeEventListener('abort', wake);
              wake = () => undefined;
              resolve();
            };
            if (signal.aborted) wake();
            else signal.addEventListener('abort', wake, { once: true });
          });
        }
      }
    } finally {
      followers.delete(hear);
      if (followers.size === 0 && this.#followers.get(id) === followers) this.#followers.delete(id);
    }
  }

  #wake(followers: ReadonlySet<() => void> | undefined): void {
    for (const hear of followers ?? []) hear();
  }
}

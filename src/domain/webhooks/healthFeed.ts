import type { Database, Sql } from '../../platform/database.ts';
import { endable } from '../../platform/endable.ts';
import { LOWEST_ID } from '../../platform/ids.ts';
import type { Logger } from '../../platform/logs.ts';
import type { Notifications } from '../../platform/notifications.ts';
import type { Webhook } from './webhook.ts';

/** A webhook whose health is another than before. */
export interface WebhookHealthChange {
  readonly tenantId: string;
  readonly webhookId: string;
}

export interface HealthFeedOptions {
  readonly database: Database;
  readonly notifications: Notifications;
  readonly log: Logger;
  /** Reads a webhook; undefined where the tenant has none such. */
  readonly find: (tenantId: string, webhookId: string) => Promise<Webhook | undefined>;
}

/** Changes within this time are told by one statement, so that at most 20 commits a second of a process notify. */
const GATHER_MS = 50;
const RETRY_MS = 1_000;
/** A notification holds 8,000 bytes, and a change is a line of 73. */
const CHANGES_PER_NOTIFICATION = 100;
/** More than this, not yet told or not yet read, is "look for yourself". */
const MOST_WAITING = 10_000;
/** How much older than the last notification a change can be that was not heard of: gathering, clocks, slow commits. */
const LATE_MS = 60_000;
const PAGE = 100;

/**
 * Tells subscribers, in whatever process they are, that the health of a webhook changed. Whoever changes it calls `tell`
 * after the commit; payloads of `hookgraph_health` are lines of tenant and webhook, or nothing where somebody has lost
 * count. Each subscriber has a set of webhooks it has yet to look at, so changes faster than it reads cost it none of
 * the last states and no memory. A process that dies between a commit and its notification leaves a change untold: the
 * webhook itself is the truth.
 */
export class HealthFeed {
  readonly #options: HealthFeedOptions;
  readonly #followers = new Map<string, Set<Follower>>();
  /** By line. */
  #untold = new Set<string>();
  #lostCount = false;
  #timer: NodeJS.Timeout | undefined;
  #telling: Promise<void> = Promise.resolve();
  #closed = false;
  #heardAt = Date.now();

  constructor(options: HealthFeedOptions) {
    this.#options = options;
    options.notifications.on(
      'hookgraph_health',
      (payload) => this.#heard(payload),
      () => this.#missed(),
    );
  }

  /** Neither throws nor waits. */
  tell(changes: readonly WebhookHealthChange[]): void {
    if (changes.length === 0) return;
    for (const { tenantId, webhookId } of changes) this.#untold.add(`${tenantId} ${webhookId}`);
    if (this.#untold.size > MOST_WAITING) {
      this.#untold.clear();
      this.#lostCount = true;
    }
    this.#tellIn(GATHER_MS);
  }

  /**
   * One webhook, or (null) every one of the tenant, as it is after each change from the first pull on; after several at
   * once, as it is after the last. Pulls nothing ahead. Ends when the signal is aborted or on `return()`; throws what the
   * database throws.
   */
  subscribe(tenantId: string, webhookId: string | null, signal: AbortSignal): AsyncGenerator<Webhook, void, void> {
    return endable(signal, (ended) => this.#follow(tenantId, webhookId, ended));
  }

  /** Resolves when what was told before is sent, or could not be. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#telling;
    await this.#send();
  }

  #tellIn(ms: number): void {
    if (this.#closed || this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#telling = this.#send().finally(() => {
        this.#timer = undefined;
        if (this.#untold.size > 0 || this.#lostCount) this.#tellIn(RETRY_MS);
      });
    }, ms);
  }

  async #send(): Promise<void> {
    if (this.#untold.size === 0 && !this.#lostCount) return;
    const lines = this.#untold;
    const payloads = this.#lostCount ? [''] : [];
    const all = [...lines];
    for (let start = 0; start < all.length; start += CHANGES_PER_NOTIFICATION) {
      payloads.push(all.slice(start, start + CHANGES_PER_NOTIFICATION).join('\n'));
    }
    this.#untold = new Set();
    this.#lostCount = false;
    try {
      await this.#options.database.sql.query(
        `/*tell_health*/ select pg_notify('hookgraph_health', payload) from unnest($1::text[]) as payload`,
        [payloads],
      );
    } catch (error) {
      this.#options.log.debug({ err: error }, 'changes of health could not be told');
      this.#lostCount = true;
    }
  }

  #heard(payload: string): void {
    if (payload === '') {
      this.#missed();
      return;
    }
    this.#heardAt = Date.now();
    for (const line of payload.split('\n')) {
      const [tenantId, webhookId] = line.split(' ') as [string, string];
      for (const follower of this.#followers.get(tenantId) ?? []) follower.hear(webhookId);
    }
  }

  /** Whoever follows looks for what changed since the last notification. */
  #missed(): void {
    const since = this.#heardAt - LATE_MS;
    this.#heardAt = Date.now();
    for (const followers of this.#followers.values()) for (const follower of followers) follower.miss(since);
  }

  async *#follow(tenantId: string, webhookId: string | null, signal: AbortSignal): AsyncGenerator<Webhook, void, void> {
    const follower = new Follower(webhookId);
    const beside = this.#followers.get(tenantId);
    if (beside) beside.add(follower);
    else this.#followers.set(tenantId, new Set([follower]));
    try {
      while (!signal.aborted) {
        const since = follower.takeMissedSince();
        if (since !== null) yield* this.#changedSince(tenantId, since);
        const next = follower.takeOne();
        if (next === null) {
          await follower.news(signal);
          continue;
        }
        const webhook = await this.#options.find(tenantId, next);
        if (webhook) yield webhook;
      }
    } finally {
      const left = this.#followers.get(tenantId);
      left?.delete(follower);
      if (left?.size === 0) this.#followers.delete(tenantId);
    }
  }

  async *#changedSince(tenantId: string, since: number): AsyncGenerator<Webhook, void, void> {
    for (let after = LOWEST_ID; ;) {
      const ids = await changedSince(this.#options.database.sql, tenantId, since, after);
      for (const id of ids) {
        const webhook = await this.#options.find(tenantId, id);
        if (webhook) yield webhook;
      }
      if (ids.length < PAGE) return;
      after = ids.at(-1)!;
    }
  }
}

const changedSince = async (sql: Sql, tenantId: string, since: number, after: string): Promise<string[]> => {
  const rows = await sql.query<{ id: string }>(
    `/*health_changed_since*/ select w.id from webhook w join webhook_health h on h.webhook_id = w.id
      where w.tenant_id = $1 and w.id > $2 and h.changed_at > from_epoch_ms($3) order by w.id limit ${PAGE}`,
    [tenantId, after, since],
  );
  return rows.map(({ id }) => id);
};

/** What one subscriber has yet to look at. */
class Follower {
  readonly #webhookId: string | null;
  readonly #waiting = new Set<string>();
  #missedSince: number | null = null;
  #wake: () => void = () => undefined;

  constructor(webhookId: string | null) {
    this.#webhookId = webhookId;
  }

  hear(webhookId: string): void {
    if (this.#webhookId !== null && webhookId !== this.#webhookId) return;
    this.#waiting.add(webhookId);
    if (this.#waiting.size > MOST_WAITING) {
      this.#waiting.clear();
      this.miss(Date.now() - LATE_MS);
    } else this.#wake();
  }

  miss(since: number): void {
    if (this.#webhookId !== null) this.#waiting.add(this.#webhookId);
    else this.#missedSince = Math.min(this.#missedSince ?? since, since);
    this.#wake();
  }

  takeMissedSince(): number | null {
    const since = this.#missedSince;
    this.#missedSince = null;
    return since;
  }

  takeOne(): string | null {
    const [first] = this.#waiting;
    if (first === undefined) return null;
    this.#waiting.delete(first);
    return first;
  }

  /** Resolves when there may be something to take. */
  async news(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#waiting.size > 0 || this.#missedSince !== null) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        this.#wake = () => undefined;
        resolve();
      };
      this.#wake = done;
      signal.addEventListener('abort', done, { once: true });
    });
  }
}

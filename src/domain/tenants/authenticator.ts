import { LRUCache } from 'lru-cache';
import type { Database } from '../../platform/database.ts';
import type { Notifications } from '../../platform/notifications.ts';
import { hashApiKey } from '../../platform/secrets.ts';
import { ApiKey, isUsable } from './apiKey.ts';
import { Tenant } from './tenant.ts';

/** Who asks: a usable key and its tenant. */
export interface Caller {
  readonly tenant: Tenant;
  readonly apiKey: ApiKey;
}

/** What a caller may present: 1 to 200 printable characters. Longer text is no key and costs no look-up. */
const PRESENTABLE = /^[\x20-\x7e]{1,200}$/;
/** How long a look-up is believed where the notification of a revocation is lost. */
const BELIEVED_MS = 1_000;
const CACHED_KEYS = 10_000;
const LAST_USE_EVERY_MS = 60_000;
const LAST_USE_DELAY_MS = 500;

/**
 * Tells who asks. A look-up is cached for a second and forgotten at once when any key is revoked (`hookgraph_key`), so
 * a revoked key stops in every process within that second, and at once where the notification arrives.
 */
export class Authenticator {
  readonly #database: Database;
  readonly #onWriteFailure: (error: unknown) => void;
  /** Look-ups, running or done. One that a revocation may have overtaken is dropped with the rest, and nobody finds it. */
  readonly #cache = new LRUCache<string, Promise<Caller | null>>({ max: CACHED_KEYS, ttl: BELIEVED_MS });
  readonly #watchers = new Set<() => void>();
  readonly #lastUses = new LRUCache<string, number>({ max: CACHED_KEYS });
  #unwritten = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  /** `onWriteFailure` hears of a `lastUsedAt` that could not be written; nothing else is affected by it. */
  constructor(database: Database, notifications: Notifications, onWriteFailure: (error: unknown) => void) {
    this.#database = database;
    this.#onWriteFailure = onWriteFailure;
    const forget = (): void => {
      this.#cache.clear();
      for (const watcher of this.#watchers) watcher();
    };
    notifications.on('hookgraph_key', forget, forget);
  }

  /** The caller of this key; null for one that is unknown, revoked or expired. Rejects when the database is away. */
  async authenticate(key: string): Promise<Caller | null> {
    return PRESENTABLE.test(key) ? this.authenticateHash(hashApiKey(key)) : null;
  }

  /** The same by the key's hash: what a long-lived connection keeps to ask again, instead of the key. */
  async authenticateHash(hash: Buffer): Promise<Caller | null> {
    const caller = await this.#lookOnce(hash);
    if (caller === null || !isUsable(caller.apiKey, new Date())) return null;
    this.#noteUse(caller.apiKey);
    return caller;
  }

  /** Calls `changed` when some key was revoked, or may have been while nobody listened. Returns how to stop. */
  watch(changed: () => void): () => void {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  }

  /** Writes the last uses that are still in memory. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#writeLastUses();
    await this.#writing;
  }

  #lookOnce(hash: Buffer): Promise<Caller | null> {
    const id = hash.toString('base64');
    const known = this.#cache.get(id);
    if (known) return known;
    const found = this.#look(hash);
    this.#cache.set(id, found);
    found.catch(() => {
      if (this.#cache.peek(id) === found) this.#cache.delete(id);
    });
    return found;
  }

  async #look(hash: Buffer): Promise<Caller | null> {
    const em = this.#database.em();
    const apiKey = await em.findOne(ApiKey, { hash }, { disableIdentityMap: true });
    if (!apiKey) return null;
    const tenant = await em.findOneOrFail(Tenant, { id: apiKey.tenantId }, { disableIdentityMap: true });
    return Object.freeze({ tenant, apiKey });
  }

  #noteUse(apiKey: ApiKey): void {
    const last = Math.max(this.#lastUses.get(apiKey.id) ?? 0, apiKey.lastUsedAt?.getTime() ?? 0);
    if (Date.now() - last < LAST_USE_EVERY_MS) return;
    this.#lastUses.set(apiKey.id, Date.now());
    this.#unwritten.add(apiKey.id);
    this.#timer ??= setTimeout(() => this.#writeLastUses(), LAST_USE_DELAY_MS).unref();
  }

  #writeLastUses(): void {
    this.#timer = undefined;
    const ids = [...this.#unwritten].sort();
    this.#unwritten = new Set();
    if (ids.length === 0) return;
    this.#writing = this.#database.sql
      .query(
        `update api_key set last_used_at = now()
          where id = any($1::uuid[]) and (last_used_at is null or last_used_at < now() - interval '1 minute')`,
        [ids],
      )
      .then(() => undefined, this.#onWriteFailure);
  }
}

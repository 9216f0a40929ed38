import type { Database } from '../../platform/database.ts';
import type { Logger } from '../../platform/logs.ts';
import type { Notifications } from '../../platform/notifications.ts';
import { readFeedBounds } from './bounds.ts';
import type { FeedBounds } from './bounds.ts';
import { readFeedPages } from './pages.ts';
import { FeedRing } from './ring.ts';

export interface FeedTailOptions {
  readonly database: Database;
  readonly notifications: Notifications;
  readonly log: Logger;
}

const BACKSTOP_MS = 500;
const VERIFY_MS = 60_000;
// Bounds what one statement returns: 16 KiB as stored for each.
const TENANTS_PER_STATEMENT = 50;

/**
 * Reads the feed once for this process, for the tenants that have a subscriber, into a ring for each. Rung by the
 * sequencer, its own or another's; a lost ring costs at most half a second. A database that is away is asked again at
 * that pace, and said to be so once.
 */
export class FeedTail<Change> {
  readonly #database: Database;
  readonly #log: Logger;
  readonly #kind: number;
  readonly #rings = new Map<string, { readonly ring: FeedRing<Change>; members: number }>();
  #generation: string | null = null;
  #verifiedAt = 0;
  #reading = false;
  #rung = false;
  #failing = false;
  #backstop: NodeJS.Timeout | undefined;
  #nextBounds: Promise<FeedBounds> | null = null;
  #boundsInFlight: Promise<unknown> = Promise.resolve();

  /** `kind`: of the changes that it reads. */
  constructor({ database, notifications, log }: FeedTailOptions, kind: number) {
    this.#kind = kind;
    this.#database = database;
    this.#log = log;
    const reconnected = (): void => {
      this.#verifiedAt = 0;
      this.poke();
    };
    notifications.on('hookgraph_feed', () => this.poke(), reconnected);
  }

  /** Of the database as last seen; null before the first look. */
  get generation(): string | null {
    return this.#generation;
  }

  /** The bounds as of a moment after this call: calls that come while a read is under way share the one after it. */
  bounds(): Promise<FeedBounds> {
    this.#nextBounds ??= this.#boundsInFlight.then(async () => {
      const read = readFeedBounds(this.#database.sql);
      this.#boundsInFlight = read.catch(() => undefined);
      this.#nextBounds = null;
      const bounds = await read;
      this.#adopt(bounds);
      return bounds;
    });
    return this.#nextBounds;
  }

  /** The ring of a tenant, kept filled until as many have left as joined. */
  join(tenantId: string, bounds: FeedBounds): FeedRing<Change> {
    const present = this.#rings.get(tenantId);
    if (present) {
      present.members++;
      return present.ring;
    }
    const ring = new FeedRing<Change>(tenantId, bounds.head + 1);
    this.#rings.set(tenantId, { ring, members: 1 });
    this.#backstop ??= setInterval(() => this.poke(), BACKSTOP_MS);
    return ring;
  }

  leave(tenantId: string): void {
    const present = this.#rings.get(tenantId);
    if (!present || --present.members > 0) return;
    this.#rings.delete(tenantId);
    if (this.#rings.size === 0) this.close();
  }

  /** There may be new rows. Neither throws nor waits. */
  poke(): void {
    this.#rung = true;
    if (!this.#reading && this.#rings.size > 0) void this.#read();
  }

  /** Stops asking by itself; a read under way ends by itself. */
  close(): void {
    clearInterval(this.#backstop);
    this.#backstop = undefined;
  }

  async #read(): Promise<void> {
    this.#reading = true;
    try {
      while (this.#rung && this.#rings.size > 0) {
        this.#rung = false;
        if (Date.now() - this.#verifiedAt > VERIFY_MS) await this.bounds();
        await this.#readRings();
      }
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#log.warn({ err: error }, 'the feed cannot be read; trying again');
      this.#failing = true;
      this.#verifiedAt = 0;
    } finally {
      this.#reading = false;
    }
  }

  async #readRings(): Promise<void> {
    const rings = [...this.#rings.values()].map(({ ring }) => ring);
    for (let index = 0; index < rings.length; index += TENANTS_PER_STATEMENT) {
      const some = rings.slice(index, index + TENANTS_PER_STATEMENT);
      const asked = new Map(some.map((ring) => [ring, ring.next]));
      const pages = await readFeedPages<Change>(this.#database.sql, this.#kind, some);
      const now = Date.now();
      for (const ring of some) {
        const page = pages.get(ring.tenantId)!;
        // Reset meanwhile: this page is of the database as it was before.
        if (ring.next !== asked.get(ring)) continue;
        ring.append(page.rows, page.next, now);
        if (!page.exhausted) this.#rung = true;
      }
    }
  }

  #adopt(bounds: FeedBounds): void {
    this.#verifiedAt = Date.now();
    if (this.#generation === bounds.generation) return;
    this.#generation = bounds.generation;
    for (const { ring } of this.#rings.values()) ring.reset(bounds.head + 1);
  }
}

import { randomUUID } from 'node:crypto';
import type { PgBoss } from 'pg-boss';
import type { LaneBell, Ring } from '../../domain/deliveries/bell.ts';
import type { Database } from '../../platform/database.ts';
import type { Logger } from '../../platform/logs.ts';

/** A lane's holder in this process, if there is one: rung without a detour through the database. */
export interface LocalLanes {
  /** False where this process doesn't hold the lane (any more): then the ring goes to everybody. */
  heed(ring: Ring): boolean;
  /** Lanes were queued: somebody should fetch. */
  fetchSoon(): void;
  reconfigure(webhookId: string): void;
}

/** Payloads of a bell's channel: nothing (lanes were queued), or webhook ids with the due time to read again from. */
export type RingPayload = readonly (readonly [webhookId: string, dueAt: number])[];

/** Keeps a payload below PostgreSQL's 8,000 bytes: 36 characters of id and 13 of time each. */
const RINGS_PER_NOTIFY = 130;
const RINGS_PER_INSERT = 5_000;
const RETRY_MS = 200;

export interface BellOptions {
  readonly boss: PgBoss;
  readonly database: Database;
  readonly log: Logger;
  /** One of pg-boss's, of the lanes of one kind. */
  readonly queue: string;
  /** On which holders listen. */
  readonly channel: 'hookgraph_ring' | 'hookgraph_dispatch';
}

/**
 * Rings lanes: what came while one ring was being sent goes out with the next, so a busy process rings in few statements
 * (one per publish cost 12×). A ring queues the lane's job, which conflicts where one is queued or active; then
 * whoever holds the lane is told to read again.
 *
 * After the commit, never in it: inside the transaction it would conflict with a job that a worker completes after
 * reading, before the commit. If the database is away the rings are kept and sent later; if this process dies,
 * the clock finds the rows.
 */
export class Bell implements LaneBell {
  readonly #boss: PgBoss;
  readonly #database: Database;
  readonly #log: Logger;
  readonly #queue: string;
  readonly #channel: BellOptions['channel'];
  #local: LocalLanes | null = null;
  #pending = new Map<string, Ring>();
  #sending: Promise<void> | null = null;

  constructor({ boss, database, log, queue, channel }: BellOptions) {
    this.#boss = boss;
    this.#database = database;
    this.#log = log;
    this.#queue = queue;
    this.#channel = channel;
  }

  /** Where this process also works lanes. */
  attach(local: LocalLanes): void {
    this.#local = local;
  }

  ring(rings: readonly Ring[]): void {
    for (const ring of rings) {
      if (this.#local?.heed(ring)) continue;
      const { tenantId, webhookId, dueAt } = ring;
      const present = this.#pending.get(webhookId);
      if (!present || present.dueAt > dueAt) this.#pending.set(webhookId, { tenantId, webhookId, dueAt });
    }
    if (this.#pending.size > 0) this.#sending ??= this.#send();
  }

  configurationChanged(webhookId: string): void {
    this.#local?.reconfigure(webhookId);
    this.#database.sql
      .query(`select pg_notify('hookgraph_webhook', $1)`, [webhookId])
      .catch((error: unknown) => this.#log.warn({ err: error, webhookId }, 'could not announce a changed webhook'));
  }

  /** Queues lanes that nobody works on; says nothing to holders. For the clock, which asks again anyway. */
  async queue(rings: readonly Ring[]): Promise<void> {
    await this.#insert(rings);
  }

  /** Resolves when what was rung so far is sent. */
  async flush(): Promise<void> {
    await this.#sending;
  }

  async #send(): Promise<void> {
    while (this.#pending.size > 0) {
      const rings = [...this.#pending.values()].slice(0, RINGS_PER_INSERT);
      for (const ring of rings) this.#pending.delete(ring.webhookId);
      try {
        const held = await this.#insert(rings);
        for (let start = 0; start < held.length; start += RINGS_PER_NOTIFY) {
          const payload: RingPayload = held
            .slice(start, start + RINGS_PER_NOTIFY)
            .map((ring) => [ring.webhookId, Math.floor(ring.dueAt)]);
          await this.#notify(JSON.stringify(payload));
        }
      } catch (error) {
        this.#log.warn({ err: error, lanes: rings.length }, 'could not ring; trying again');
        for (const ring of rings) if (!this.#pending.has(ring.webhookId)) this.#pending.set(ring.webhookId, ring);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    this.#sending = null;
  }

  /** @returns the rings whose lane is queued or active already */
  async #insert(rings: readonly Ring[]): Promise<Ring[]> {
    const byJob = new Map(rings.map((ring) => [randomUUID() as string, ring]));
    const inserted = await this.#boss.insert(
      this.#queue,
      [...byJob].map(([id, { webhookId, tenantId }]) => ({
        id,
        singletonKey: webhookId,
        data: { webhookId, tenantId },
      })),
      { returnId: true },
    );
    const queued = new Set(inserted);
    if (queued.size > 0) {
      this.#local?.fetchSoon();
      await this.#notify('');
    }
    return [...byJob].filter(([id]) => !queued.has(id)).map(([, ring]) => ring);
  }

  async #notify(payload: string): Promise<void> {
    await this.#database.sql.query(`/*ring_notify*/ select pg_notify($1, $2)`, [this.#channel, payload]);
  }
}

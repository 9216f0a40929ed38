import { schema } from '../mikro-orm.config.ts';
import type { FeedChange } from '../src/domain/feed/change.ts';
import type { FeedBatch, FeedEvent } from '../src/domain/feed/feedReader.ts';
import { openDatabase } from '../src/platform/database.ts';
import type { Database, Sql } from '../src/platform/database.ts';
import { newId } from '../src/platform/ids.ts';
import type { Logger } from '../src/platform/logs.ts';
import { createTestDatabase } from './harness/database.ts';

export interface FreshDatabase {
  readonly url: string;
  readonly database: Database;
  /** A further pool on the same database, known to PostgreSQL by this name. */
  open(applicationName: string): Promise<Database>;
  drop(): Promise<void>;
}

/** A migrated database of one's own, with partitions. */
export const freshDatabase = async (): Promise<FreshDatabase> => {
  const own = await createTestDatabase();
  const opened: Database[] = [];
  const open = async (applicationName: string, poolSize = 10): Promise<Database> => {
    const database = await openDatabase({ url: own.url, poolSize, schema, applicationName });
    opened.push(database);
    return database;
  };
  const database = await open('test', 36);
  return {
    url: own.url,
    database,
    open,
    async drop() {
      await Promise.all(opened.map((one) => one.close()));
      await own.drop();
    },
  };
};

/** Remembers what was said, and says nothing. */
export const quietLog = (): { log: Logger; warnings: string[] } => {
  const warnings: string[] = [];
  const log = {
    info: () => undefined,
    warn: (_details: unknown, message: string) => warnings.push(message),
  } as unknown as Logger;
  return { log, warnings };
};

export const WEBHOOKS = [newId(), newId()] as const;

/** A change that is known again by its attempt number. */
export const change = (number: number, more: Partial<FeedChange> = {}): FeedChange => ({
  at: 1_790_000_000_000 + number,
  d: newId(),
  w: WEBHOOKS[0],
  e: newId(),
  n: 'orders',
  t: 'ticket.created',
  s: 'DELIVERED',
  a: number,
  r: 200,
  m: 12,
  ...more,
});

export const writeOutbox = async (sql: Sql, tenantId: string, changes: readonly FeedChange[]): Promise<void> => {
  await sql.query(`insert into feed_outbox (tenant_id, changes) values ($1, $2)`, [tenantId, JSON.stringify(changes)]);
};

/** Puts rows into the feed as a sequencer would have. */
export const writeFeed = async (
  sql: Sql,
  tenantId: string,
  rows: readonly (readonly FeedChange[])[],
): Promise<void> => {
  await sql.query(
    `insert into feed (seq, tenant_id, at, changes)
     select nextval('feed_seq'), $1, clock_timestamp(), changes from unnest($2::text[]) as changes`,
    [tenantId, rows.map((changes) => JSON.stringify(changes))],
  );
};

/** Pulls batches until so many events have come; fails with what came instead of waiting for ever. */
export const take = async (
  batches: AsyncGenerator<FeedBatch, void, void>,
  count: number,
  withinMs = 20_000,
): Promise<FeedEvent[]> => {
  const events: FeedEvent[] = [];
  const timer = setTimeout(() => void batches.return(), withinMs);
  try {
    while (events.length < count) {
      const { done, value } = await batches.next();
      if (done) throw new Error(`${events.length} of ${count} events came in ${withinMs} ms`);
      events.push(...value.events);
    }
  } finally {
    clearTimeout(timer);
  }
  return events;
};

export const numbers = (events: readonly FeedEvent[]): number[] => events.map((event) => event.a);

/** Resolves once the condition holds; asks again at every turn of the clock. */
export const until = async (condition: () => boolean | Promise<boolean>, withinMs = 15_000): Promise<void> => {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('the condition did not come about');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

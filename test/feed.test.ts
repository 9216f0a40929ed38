import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { FeedChange } from '../src/domain/feed/change.ts';
import { CursorExpiredError, decodeCursor, encodeCursor, MalformedCursorError } from '../src/domain/feed/cursor.ts';
import { FeedReader } from '../src/domain/feed/feedReader.ts';
import type { FeedBatch, FeedEvent } from '../src/domain/feed/feedReader.ts';
import { DELIVERY_STREAM } from '../src/domain/feed/filter.ts';
import type { FeedFilter } from '../src/domain/feed/filter.ts';
import { ensurePartitions, FEED_PARTITION_ROWS } from '../src/domain/retention/partitions.ts';
import { createSequencer } from '../src/jobs/sequencer.ts';
import type { Database } from '../src/platform/database.ts';
import { newId } from '../src/platform/ids.ts';
import { openNotifications } from '../src/platform/notifications.ts';
import type { Notifications } from '../src/platform/notifications.ts';
import {
  change,
  freshDatabase,
  numbers,
  quietLog,
  take,
  until,
  WEBHOOKS,
  writeFeed,
  writeOutbox,
} from './feedSupport.ts';
import type { FreshDatabase } from './feedSupport.ts';

let fresh: FreshDatabase;
let database: Database;
let notifications: Notifications;
let reader: FeedReader<FeedChange, FeedFilter>;
let ended: AbortController;
let tenantId: string;
const { log } = quietLog();

beforeAll(async () => {
  fresh = await freshDatabase();
  ({ database } = fresh);
  notifications = await openNotifications(fresh.url, log);
});

beforeEach(() => {
  reader = new FeedReader({ stream: DELIVERY_STREAM, database, notifications, log });
  ended = new AbortController();
  tenantId = newId();
});

afterEach(() => {
  ended.abort();
  reader.close();
});

afterAll(async () => {
  await notifications.close();
  await fresh.drop();
});

const subscribe = (after: string | null, filter: FeedFilter = {}): AsyncGenerator<FeedBatch, void, void> =>
  reader.subscribe(tenantId, after, filter, ended.signal);

const pull = async (batches: AsyncGenerator<FeedBatch, void, void>): Promise<FeedBatch> => {
  const { done, value } = await batches.next();
  if (done) throw new Error('the subscription ended');
  return value;
};

const readAll = async (after: string | null, first: number, filter: FeedFilter = {}): Promise<FeedEvent[]> => {
  const events: FeedEvent[] = [];
  for (let cursor = after; ;) {
    const batch = await reader.read(tenantId, cursor, first, filter);
    expect(batch.events.length).toBeLessThanOrEqual(first);
    events.push(...batch.events);
    if (!batch.hasMore) return events;
    ({ cursor } = batch);
  }
};

describe('a subscription', () => {
  test('begins with a batch at once, and tells what comes after it', async () => {
    await writeFeed(database.sql, tenantId, [[change(1)]]);
    const batches = subscribe(null);
    expect(await pull(batches)).toMatchObject({ events: [], hasMore: false });
    await writeFeed(database.sql, tenantId, [[change(2), change(3)]]);
    reader.poke();
    expect(numbers(await take(batches, 2))).toEqual([2, 3]);
  });

  test('tells a tenant nothing of another', async () => {
    const other = newId();
    const batches = subscribe(null);
    const others = reader.subscribe(other, null, {}, ended.signal);
    await Promise.all([pull(batches), pull(others)]);
    await writeFeed(database.sql, other, [[change(1)], [change(2)]]);
    await writeFeed(database.sql, tenantId, [[change(3)]]);
    await writeFeed(database.sql, other, [[change(4)]]);
    reader.poke();
    expect(numbers(await take(batches, 1))).toEqual([3]);
    expect(numbers(await take(others, 3))).toEqual([1, 2, 4]);
    expect(numbers(await readAll(null, 100))).toEqual([3]);
  });

  test('goes on after its last cursor with nothing missed, though it was cut between any two events', async () => {
    const rows = Array.from({ length: 40 }, (_, row) =>
      Array.from({ length: 1 + (row % 5) }, (_, index) => change(row * 5 + index)),
    );
    const expected = rows.flat().map((one) => one.a);
    await writeFeed(database.sql, tenantId, rows);
    const [before] = await readAll(null, 1);
    expect(before!.a).toBe(expected[0]);

    for (let cursor = before!.cursor, told = 1; told < expected.length; told++) {
      const batches = subscribe(cursor);
      const rest = await take(batches, expected.length - told);
      expect(numbers(rest)).toEqual(expected.slice(told));
      await batches.return();
      cursor = rest[0]!.cursor;
    }
  });

  test('has its filters applied to each change', async () => {
    const changes = [
      change(0, { s: 'RETRYING' }),
      change(1, { w: WEBHOOKS[1] }),
      change(2, { t: 'ticket.comment.added', w: WEBHOOKS[1] }),
      change(3, { x: 1 }),
      change(4, { t: 'tickets.created', s: 'ABANDONED' }),
    ];
    await writeFeed(database.sql, tenantId, [changes.slice(0, 2), changes.slice(2)]);
    const told = async (filter: FeedFilter): Promise<number[]> => numbers(await readAll(null, 2, filter));
    expect(await told({ webhookId: WEBHOOKS[1] })).toEqual([1, 2]);
    expect(await told({ status: ['RETRYING', 'ABANDONED'] })).toEqual([0, 4]);
    expect(await told({ eventTypes: ['ticket.*'] })).toEqual([0, 1, 2, 3]);
    expect(await told({ eventTypes: ['ticket.comment.*', 'tickets.created'] })).toEqual([2, 4]);
    expect(await told({ eventTypes: ['*'], isTest: true })).toEqual([3]);
    expect(await told({ isTest: false, webhookId: WEBHOOKS[0] })).toEqual([0, 4]);
    expect(await told({ status: [] })).toEqual([]);
    const start = (await readAll(null, 1, { status: ['RETRYING'] }))[0]!.cursor;
    expect(numbers(await take(subscribe(start, { status: ['ABANDONED'] }), 1))).toEqual([4]);
  });

  test('that hears nothing gets empty batches whose cursor advances past what was left out', async () => {
    reader.close();
    reader = new FeedReader({ stream: DELIVERY_STREAM, database, notifications, log, heartbeatMs: 200 });
    const batches = subscribe(null, { status: ['ABANDONED'] });
    const first = await pull(batches);
    await writeFeed(database.sql, tenantId, [[change(1)], [change(2)]]);
    reader.poke();
    const at = performance.now();
    const second = await pull(batches);
    expect(performance.now() - at).toBeLessThan(1_500);
    expect(second.events).toEqual([]);
    await until(async () => decodeCursor((await pull(batches)).cursor).position.seq >= seqOf(first.cursor) + 2);
  });

  test('in batches of at most 100, however many changes a row has', async () => {
    const changes = Array.from({ length: 950 }, (_, index) => change(index));
    const start = await reader.read(tenantId, null, 1, {});
    await writeFeed(database.sql, tenantId, [changes.slice(0, 700), changes.slice(700)]);
    const sizes: number[] = [];
    const told: number[] = [];
    for await (const batch of subscribe(start.cursor)) {
      sizes.push(batch.events.length);
      told.push(...numbers(batch.events));
      if (told.length === 950) break;
    }
    expect(told).toEqual(changes.map((one) => one.a));
    expect(Math.max(...sizes)).toBe(100);
  });

  test('ends while it waits, by its signal and by return()', async () => {
    const one = subscribe(null);
    const two = subscribe(null);
    await Promise.all([pull(one), pull(two)]);
    const waitingOne = one.next();
    const waitingTwo = two.next();
    const at = performance.now();
    await two.return();
    expect(await waitingTwo).toEqual({ done: true, value: undefined });
    ended.abort();
    expect(await waitingOne).toEqual({ done: true, value: undefined });
    expect(performance.now() - at).toBeLessThan(1_000);
  });

  test('that is aborted before its first pull tells nothing', async () => {
    ended.abort();
    expect(await subscribe(null).next()).toEqual({ done: true, value: undefined });
  });
});

describe('without a doorbell', () => {
  test('a change arrives within 1.2 s', async () => {
    const deaf = await openNotifications(fresh.url, log);
    await deaf.close();
    const listener = new FeedReader({ stream: DELIVERY_STREAM, database, notifications: deaf, log });
    const sequencer = createSequencer({
      database,
      notifications: deaf,
      log,
      onMoved: () => undefined,
      ensurePartitions: () => ensurePartitions(database, Date.now()),
    });
    sequencer.start();
    try {
      const batches = listener.subscribe(tenantId, null, {}, ended.signal);
      await batches.next();
      for (let round = 0; round < 5; round++) {
        await writeOutbox(database.sql, tenantId, [change(round)]);
        const at = performance.now();
        expect(numbers(await take(batches, 1))).toEqual([round]);
        expect(performance.now() - at).toBeLessThan(1_200);
      }
    } finally {
      listener.close();
      await sequencer.stop();
    }
  });
});

describe('a paused reader', () => {
  test('costs nothing while megabytes pass, and then misses nothing', { timeout: 60_000 }, async () => {
    const batches = Array.from({ length: 50 }, () => subscribe(null));
    await Promise.all(batches.map(pull));
    const before = heap();
    const changes = 2_000;
    const rows = 120;
    for (let row = 0; row < rows; row++) {
      // about half a megabyte of text each, and three times that when parsed
      await writeFeed(database.sql, tenantId, [
        Array.from({ length: changes }, (_, index) => change(row * changes + index)),
      ]);
      reader.poke();
    }
    expect(heap() - before).toBeLessThan(32 * 1_048_576);
    let next = 0;
    for await (const { events } of batches[0]!) {
      for (const event of events) if (event.a !== next++) throw new Error(`${event.a} came in place of ${next - 1}`);
      if (next === rows * changes) break;
    }
  });
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const heap = (): number => {
  collectGarbage();
  return process.memoryUsage().heapUsed;
};

describe('a cursor', () => {
  test('is read back as it was written', () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[0-9a-f]{12}$/),
        fc.nat({ max: Number.MAX_SAFE_INTEGER - 1 }),
        fc.nat({ max: 0xffffffff }),
        (generation, seq, offset) => {
          expect(decodeCursor(encodeCursor(generation, { seq, offset }))).toEqual({
            generation,
            position: { seq, offset },
          });
        },
      ),
    );
  });

  test('of any other text is malformed', async () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String({ minLength: 20, maxLength: 30 })), (text) => {
        try {
          expect(encodeCursor(decodeCursor(text).generation, decodeCursor(text).position)).toBe(text);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedCursorError);
        }
      }),
    );
    await expect(reader.read(tenantId, 'nonsense', 10, {})).rejects.toThrow(MalformedCursorError);
    await expect(subscribe('nonsense').next()).rejects.toThrow(MalformedCursorError);
  });

  test('beyond the head, or of another database, is expired', async () => {
    const { cursor } = await reader.read(tenantId, null, 1, {});
    const { generation, position } = decodeCursor(cursor);
    const beyond = encodeCursor(generation, { seq: position.seq + 1_000_000, offset: 0 });
    const foreign = encodeCursor('0123456789ab', position);
    for (const bad of [beyond, foreign]) {
      const error = await reader.read(tenantId, bad, 10, {}).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(CursorExpiredError);
      await expect(subscribe(bad).next()).rejects.toThrow(CursorExpiredError);
      await reader.read(tenantId, (error as CursorExpiredError).resumeAfter, 10, {});
    }
  });
});

describe('when the feed is cut', () => {
  test('by retention, what came before is expired, and resumeAfter goes on with the oldest kept', async () => {
    const own = await freshDatabase();
    const bells = await openNotifications(own.url, log);
    const late = new FeedReader({ stream: DELIVERY_STREAM, database: own.database, notifications: bells, log });
    try {
      const many = Array.from({ length: 150 }, (_, index) => change(index));
      await writeFeed(own.database.sql, tenantId, [many, [change(150)], [change(151)]]);
      const { cursor } = await late.read(tenantId, null, 1, {});
      const slow = late.subscribe(tenantId, cursor, {}, ended.signal);
      expect(numbers(await take(slow, 151)).at(-1)).toBe(151);
      const behind = late.subscribe(tenantId, cursor, {}, ended.signal);
      expect((await pull(behind)).events).toHaveLength(100);

      await own.database.sql.query(`select setval('feed_seq', ${FEED_PARTITION_ROWS})`);
      await writeFeed(own.database.sql, tenantId, [[change(200)]]);
      await own.database.sql.query(`alter table feed detach partition feed_p0 concurrently`);

      // What it was in the midst of is still at hand; the rows after that are gone.
      expect((await pull(behind)).events).toHaveLength(49);
      const error = await behind.next().catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(CursorExpiredError);
      await expect(late.subscribe(tenantId, cursor, {}, ended.signal).next()).rejects.toThrow(CursorExpiredError);
      const { resumeAfter } = error as CursorExpiredError;
      expect(numbers((await late.read(tenantId, resumeAfter, 10, {})).events)).toEqual([200]);
      expect(numbers(await take(late.subscribe(tenantId, resumeAfter, {}, ended.signal), 1))).toEqual([200]);
      // It had everything that was dropped.
      late.poke();
      expect(numbers(await take(slow, 1))).toEqual([200]);
      expect(numbers((await late.read(tenantId, null, 10, {})).events)).toEqual([200]);
    } finally {
      late.close();
      await bells.close();
      await own.drop();
    }
  });

  test('by a restore, every cursor and subscription from before is expired', async () => {
    const own = await freshDatabase();
    const bells = await openNotifications(own.url, log);
    const late = new FeedReader({ stream: DELIVERY_STREAM, database: own.database, notifications: bells, log });
    try {
      await writeFeed(own.database.sql, tenantId, [[change(1)]]);
      const { cursor } = await late.read(tenantId, null, 10, {});
      const live = late.subscribe(tenantId, null, {}, ended.signal);
      await pull(live);
      const waiting = live.next();
      await own.database.sql.query(`update installation set generation = gen_random_uuid()`);
      const error = await late.read(tenantId, cursor, 10, {}).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(CursorExpiredError);
      await expect(waiting).rejects.toThrow(CursorExpiredError);
      expect(numbers((await late.read(tenantId, (error as CursorExpiredError).resumeAfter, 10, {})).events)).toEqual([
        1,
      ]);
    } finally {
      late.close();
      await bells.close();
      await own.drop();
    }
  });
});

const seqOf = (cursor: string): number => decodeCursor(cursor).position.seq;

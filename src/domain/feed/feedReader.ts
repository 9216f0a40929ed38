import { LRUCache } from 'lru-cache';
import { endable } from '../../platform/endable.ts';
import { assertKept, CursorExpiredError, decodeCursor, encodeCursor } from './cursor.ts';
import type { FeedPosition } from './cursor.ts';
import type { FeedChange } from './change.ts';
import { Gate } from './gate.ts';
import { readFeedPages } from './pages.ts';
import type { FeedRow } from './pages.ts';
import { costOf } from './ring.ts';
import type { FeedRing } from './ring.ts';
import type { FeedStream } from './stream.ts';
import { FeedTail } from './tail.ts';
import type { FeedTailOptions } from './tail.ts';

/** A change and the cursor that goes on after it. */
export type FeedEvent<Change = FeedChange> = Change & { readonly cursor: string };

/** A stretch of the feed. */
export interface FeedBatch<Change = FeedChange> {
  /** Goes on after everything that was looked at, changes that the filter left out too. */
  readonly cursor: string;
  readonly events: readonly FeedEvent<Change>[];
  /** There is more already, or nobody has looked whether there is. */
  readonly hasMore: boolean;
}

export interface FeedReaderOptions<Change, Filter> extends FeedTailOptions {
  readonly stream: FeedStream<Change, Filter>;
  /** How long a subscription stays silent at most; 15 s by default. */
  readonly heartbeatMs?: number;
}

const HEARTBEAT_MS = 15_000;
const BATCH_EVENTS = 100;
const TABLE_READS_AT_ONCE = 4;
const HALF_READ_COST = 8 * 1_048_576;
// How far one poll with a filter that hardly matches looks before it answers with what it has.
const PAGES_PER_POLL = 20;

interface News<Change> {
  readonly events: FeedEvent<Change>[];
  readonly position: FeedPosition;
  readonly hasMore: boolean;
}

interface Reading<Change> {
  readonly tenantId: string;
  readonly generation: string;
  readonly matches: (change: Change) => boolean;
}

/**
 * Reads a feed for subscribers and pollers, in order and at least once. A reader's whole state is its position, so
 * a slow one costs nothing: near the head it is served from the memory shared by its tenant, behind from the table, four
 * reads at a time for the whole process.
 */
export class FeedReader<Change extends object, Filter> {
  readonly #stream: FeedStream<Change, Filter>;
  readonly #tail: FeedTail<Change>;
  readonly #database: FeedTailOptions['database'];
  readonly #heartbeatMs: number;
  readonly #tableReads = new Gate(TABLE_READS_AT_ONCE);
  /** Rows in the midst of which somebody stands: one with thousands of changes is not read again for each batch. */
  readonly #halfRead = new LRUCache<string, FeedRow<Change>>({ maxSize: HALF_READ_COST, sizeCalculation: costOf });

  constructor(options: FeedReaderOptions<Change, Filter>) {
    this.#stream = options.stream;
    this.#tail = new FeedTail(options, options.stream.kind);
    this.#database = options.database;
    this.#heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS;
  }

  /** The feed has grown: a hint from this process's own sequencer. Neither throws nor waits. */
  poke(): void {
    this.#tail.poke();
  }

  /** Stops looking for news by itself. Subscriptions are ended by their signals. */
  close(): void {
    this.#tail.close();
  }

  /**
   * Follows a tenant's feed: after a cursor, or (null) from now. The first batch comes at once, perhaps empty: what is
   * committed after it will be told. From then on batches of at most 100 events as they come, and an empty one with
   * a newer cursor after each heartbeat interval of silence. Pulls nothing ahead. Ends when the signal is aborted
   * or `return()` is called, even while it waits; throws MalformedCursorError at the first pull, CursorExpiredError where what follows is
   * not kept any more, and what the database throws where a read fails: a caller goes on from its last cursor.
   */
  subscribe(
    tenantId: string,
    after: string | null,
    filter: Filter,
    signal: AbortSignal,
  ): AsyncGenerator<FeedBatch<Change>, void, void> {
    return endable(signal, (ended) => this.#follow(tenantId, after, filter, ended));
  }

  /**
   * Reads at most `first` events after a cursor, or (null) from the oldest that is kept. Cursors are those of
   * `subscribe`, and it throws the same. With a filter it may answer fewer, or none, and `hasMore`.
   */
  async read(tenantId: string, after: string | null, first: number, filter: Filter): Promise<FeedBatch<Change>> {
    const start = after === null ? await this.#oldest() : decodeCursor(after);
    const matches = this.#stream.matcher(filter);
    const reading: Reading<Change> = { tenantId, generation: start.generation, matches };
    const events: FeedEvent<Change>[] = [];
    let position = start.position;
    let hasMore = true;
    for (let page = 0; page < PAGES_PER_POLL && hasMore && events.length < first; page++) {
      const news = await this.#fromTable(reading, position, first - events.length, null);
      events.push(...news.events);
      ({ position, hasMore } = news);
    }
    return { cursor: encodeCursor(reading.generation, position), events, hasMore };
  }

  async *#follow(
    tenantId: string,
    after: string | null,
    filter: Filter,
    signal: AbortSignal,
  ): AsyncGenerator<FeedBatch<Change>, void, void> {
    const asked = after === null ? null : decodeCursor(after);
    const matches = this.#stream.matcher(filter);
    const bounds = await this.#tail.bounds();
    const { generation } = bounds;
    let position = asked?.position ?? { seq: bounds.head + 1, offset: 0 };
    if (asked) assertKept(asked.generation, position, bounds);

    const reading: Reading<Change> = { tenantId, generation, matches };
    const ring = this.#tail.join(tenantId, bounds);
    try {
      let toldAt = Number.NEGATIVE_INFINITY;
      while (!signal.aborted) {
        if (this.#tail.generation !== generation) throw new CursorExpiredError(await this.#tail.bounds());
        const news =
          position.seq >= ring.start
            ? collect(reading, ring.from(position.seq), ring.next, position, BATCH_EVENTS)
            : await this.#fromTable(reading, position, BATCH_EVENTS, signal);
        position = news.position;
        const silentMs = performance.now() - toldAt;
        if (news.events.length > 0 || silentMs >= this.#heartbeatMs) {
          yield { cursor: encodeCursor(generation, position), events: news.events, hasMore: news.hasMore };
          toldAt = performance.now();
        } else if (!news.hasMore && ring.next <= position.seq) {
          await rowOrTime(ring, this.#heartbeatMs - silentMs, signal);
        }
      }
    } catch (error) {
      // Ended on purpose while it waited for its turn at the table.
      if (!signal.aborted) throw error;
    } finally {
      this.#tail.leave(tenantId);
    }
  }

  async #fromTable(
    reading: Reading<Change>,
    position: FeedPosition,
    limit: number,
    signal: AbortSignal | null,
  ): Promise<News<Change>> {
    const { tenantId, generation } = reading;
    const key = (seq: number): string => `${generation} ${tenantId} ${seq}`;
    const half = position.offset > 0 ? this.#halfRead.get(key(position.seq)) : undefined;
    if (half) return { ...collect(reading, [half], half.seq + 1, position, limit), hasMore: true };

    const { page, bounds } = await this.#tableReads.run(signal, async () => {
      const pages = await readFeedPages<Change>(this.#database.sql, this.#stream.kind, [
        { tenantId, next: position.seq },
      ]);
      // Read after the page: retention may have taken rows while it was read.
      return { page: pages.get(tenantId)!, bounds: await this.#tail.bounds() };
    });
    assertKept(generation, position, bounds);
    const news = collect(reading, page.rows, page.next, position, limit);
    const stoppedIn = news.position.offset > 0 && page.rows.find((row) => row.seq === news.position.seq);
    if (stoppedIn) this.#halfRead.set(key(stoppedIn.seq), stoppedIn);
    return { ...news, hasMore: news.hasMore || !page.exhausted };
  }

  async #oldest(): Promise<{ generation: string; position: FeedPosition }> {
    const { generation, floor } = await this.#tail.bounds();
    return { generation, position: { seq: floor, offset: 0 } };
  }
}

/**
 * Takes up to `limit` matching changes from `position` on out of rows that are complete up to `end`. Looks on to the
 * next match, so that a position at the end really has nothing before it.
 */
const collect = <Change>(
  { generation, matches }: Reading<Change>,
  rows: Iterable<FeedRow<Change>>,
  end: number,
  position: FeedPosition,
  limit: number,
): News<Change> => {
  const events: FeedEvent<Change>[] = [];
  for (const { seq, changes } of rows) {
    for (let offset = seq === position.seq ? position.offset : 0; offset < changes.length; offset++) {
      const change = changes[offset]!;
      if (!matches(change)) continue;
      if (events.length === limit) return { events, position: { seq, offset }, hasMore: true };
      events.push({ ...change, cursor: encodeCursor(generation, { seq, offset: offset + 1 }) });
    }
  }
  // Another process may have read further than this one: a position beyond the end stays as it is.
  return { events, position: end > position.seq ? { seq: end, offset: 0 } : position, hasMore: false };
};

const rowOrTime = (ring: FeedRing<unknown>, ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      forget();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    const forget = ring.onRow(done);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });

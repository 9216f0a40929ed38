import { isMissingPartition } from '../domain/retention/partitions.ts';
import type { Database, Sql } from '../platform/database.ts';
import type { Logger } from '../platform/logs.ts';
import type { Notifications } from '../platform/notifications.ts';
import { LowWaterMark } from './lowWaterMark.ts';
import type { Scan } from './lowWaterMark.ts';

export interface SequencerOptions {
  readonly database: Database;
  readonly notifications: Notifications;
  readonly log: Logger;
  /** Called after each move that was committed, with the highest number; must not throw. */
  readonly onMoved: (lastSeq: number) => void;
  /** Makes the feed's partitions for the numbers to come. */
  readonly ensurePartitions: () => Promise<void>;
}

export interface Sequencer {
  /** Rows were committed to the outbox by this process. Neither throws nor waits. */
  poke(): void;
  start(): void;
  /** Resolves when the move under way has ended. */
  stop(): Promise<void>;
}

const ROWS_PER_MOVE = 2_000;
const BACKSTOP_MS = 500;
const STANDBY_MS = 1_000;
// Settles that end within this time are moved together: it bounds commits and notifications at about 200/s.
const GATHER_MS = 5;
const BELL_MS = 10;
const RETRY_MS = [100, 500, 1_000, 2_000, 5_000];

/** Whoever holds it, for a transaction, numbers the feed. */
const SEQUENCER_LOCK = 4_017_002;

/*
 * The numbers are drawn in the order of the outbox within a move, and moves follow each other under the lock, so a row
 * that somebody can read never has a lower number than one that appears later. It notifies in the same transaction:
 * nobody who writes to an outbox notifies in its own, so the lock that NOTIFY holds through the commit stops no
 * writer. A move ends where 8 MiB as stored are reached, so that one never takes seconds. Walks the primary key of the
 * outbox from the mark on.
 */
const MOVE = `/*feed_move*/
with picked as materialized (
  select id, candidates from (
    select id, (count(*) over ())::integer as candidates,
           sum(pg_column_size(changes)) over (order by id) - pg_column_size(changes) as before
    from (select id, changes from feed_outbox where id > $1 order by id limit ${ROWS_PER_MOVE}) as ahead
  ) as sized
  where before < 8388608
), taken as (
  delete from feed_outbox where id = any (array(select id from picked)) returning id, tenant_id, kind, at, changes
), moved as (
  insert into feed (seq, tenant_id, kind, at, changes)
  select nextval('feed_seq'), tenant_id, kind, at, changes from (select * from taken order by id) as ordered
  returning seq
), told as (
  select count(*)::integer as rows, max(seq) as seq from moved
)
select rows, seq::double precision as seq, picked.candidates, picked.last_id,
  (select last_value from feed_outbox_id_seq)::double precision as drawn,
  case when rows > 0 then pg_notify('hookgraph_feed', seq::text) end
from told, (select max(candidates) as candidates, max(id)::double precision as last_id from picked) as picked`;

interface MoveRow {
  readonly rows: number;
  readonly seq: number | null;
  readonly candidates: number | null;
  readonly last_id: number | null;
  readonly drawn: number;
}

type Outcome = 'more' | 'done' | 'contended' | 'failed';

/**
 * Moves committed rows from the outbox into the feed, numbered in the order in which it sees them committed. Any number
 * of processes may run one: each move takes a lock for its transaction, so a process that was cut off can't move
 * beside its successor. Who does not get the lock stands by for a second, and passes on what it is told meanwhile.
 * Woken by `poke`, by the bell of other processes, and every half second. A database that is away is tried again with
 * backoff, and said to be so once.
 */
export const createSequencer = (options: SequencerOptions): Sequencer => {
  const { database, log, onMoved, ensurePartitions } = options;
  const mark = new LowWaterMark();
  const bell = createOutboxBell({ database });
  let running: Promise<void> | null = null;
  const stopping = new AbortController();
  let standingBy = false;
  let poked = false;
  let woken = false;
  let failures = 0;
  let idle = false;
  let interrupt: () => void = () => undefined;

  const wake = (): void => {
    woken = true;
    if (idle) interrupt();
  };

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      if (stopping.signal.aborted || ms <= 0) return resolve();
      const timer = setTimeout(resolve, ms);
      interrupt = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  const pauseUntilWoken = async (ms: number): Promise<void> => {
    idle = true;
    await pause(woken ? 0 : ms);
    idle = false;
  };

  const move = async (): Promise<Outcome> => {
    const moved = await database.transaction((sql) => moveOnce(sql, mark));
    if (moved === null) return 'contended';
    // Believed only now that it is committed.
    mark.scanned(moved.scan);
    if (moved.lastSeq !== null) onMoved(moved.lastSeq);
    return moved.scan.takenTo === null ? 'done' : 'more';
  };

  const attempt = async (): Promise<Outcome> => {
    try {
      const outcome = await move().catch(async (error: unknown) => {
        if (!isMissingPartition(error)) throw error;
        await ensurePartitions();
        return move();
      });
      if (failures > 0) log.info('the feed moves on');
      failures = 0;
      return outcome;
    } catch (error) {
      if (failures++ === 0) log.warn({ err: error }, 'the feed stands still; trying again');
      mark.reset();
      return 'failed';
    }
  };

  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const begunAt = performance.now();
      const wasPoked = poked;
      poked = false;
      woken = false;
      const outcome = await attempt();
      switch (outcome) {
        case 'more':
          break;
        case 'done':
          await pauseUntilWoken(BACKSTOP_MS);
          await pause(begunAt + GATHER_MS - performance.now());
          break;
        case 'contended':
          standingBy = true;
          // The holder may have looked before these rows were committed.
          if (wasPoked || poked) bell.poke();
          await pause(STANDBY_MS);
          standingBy = false;
          break;
        case 'failed':
          await pause(RETRY_MS[Math.min(failures, RETRY_MS.length) - 1]!);
          break;
      }
    }
  };

  options.notifications.on('hookgraph_outbox', wake, wake);
  return {
    poke() {
      poked = true;
      if (standingBy) bell.poke();
      wake();
    },
    start() {
      running ??= run();
    },
    async stop() {
      stopping.abort();
      interrupt();
      await running;
    },
  };
};

/** Moves once; null where another holds the lock. */
const moveOnce = async (sql: Sql, mark: LowWaterMark): Promise<{ scan: Scan; lastSeq: number | null } | null> => {
  const [lock] = await sql.query<{ held: boolean }>(`/*feed_lock*/ select pg_try_advisory_xact_lock($1) as held`, [
    SEQUENCER_LOCK,
  ]);
  if (!lock?.held) return null;
  const startedAt = performance.now();
  const [row] = await sql.query<MoveRow>(MOVE, [mark.at(startedAt)]);
  const { rows, seq, candidates, last_id, drawn } = row!;
  const isAll = (candidates ?? 0) < ROWS_PER_MOVE && rows === (candidates ?? 0);
  return { scan: { startedAt, endedAt: performance.now(), drawn, takenTo: isAll ? null : last_id }, lastSeq: seq };
};

/** How a process that writes outbox rows, and sequences none, tells those who do. */
export interface OutboxBell {
  /** Rows were committed to the outbox. Sends at most one notification in 10 ms; neither throws nor waits. */
  poke(): void;
}

export const createOutboxBell = ({ database }: { readonly database: Database }): OutboxBell => {
  let sending = false;
  let again = false;
  const send = async (): Promise<void> => {
    sending = true;
    again = false;
    try {
      await database.sql.query(`select pg_notify('hookgraph_outbox', '')`);
    } catch {
      // A hint: whoever sequences looks by itself twice a second, and a database that is away is reported by others.
    }
    setTimeout(() => {
      sending = false;
      if (again) void send();
    }, BELL_MS);
  };
  return {
    poke() {
      again = true;
      if (!sending) void send();
    },
  };
};

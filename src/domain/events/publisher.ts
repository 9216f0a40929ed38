import { createHash } from 'node:crypto';
import { newId } from '../../platform/ids.ts';
import type { Database, Sql } from '../../platform/database.ts';
import type { LaneBell } from '../deliveries/bell.ts';
import { envelope } from '../deliveries/envelope.ts';
import { ConflictError } from '../errors.ts';
import type { EventRecord, NewEvent, PublishedEvent, Publisher, WrittenEvents } from './event.ts';
import { writeEvents } from './publication.ts';
import type { Match, Matches } from './publication.ts';

/** An idempotency key is remembered this long. */
const KEY_LIFE_MS = 24 * 3_600_000;
/** Events in one commit; callers who come while a commit runs share the next one. */
const LARGEST_COMMIT = 1_000;

/** Takes keys that are free or over; what it does not return is somebody's. Sorted, so that two calls never deadlock. */
const CLAIM_KEYS = `/*claim_event_keys*/
insert into event_key as present (tenant_id, key, fingerprint, event_id, expires_at)
select $1, key, decode(fingerprint, 'hex'), event_id, now() + $3 * interval '1 ms'
from json_to_recordset($2::json) as input(key text, fingerprint text, event_id uuid)
order by key
on conflict (tenant_id, key) do update
  set fingerprint = excluded.fingerprint, event_id = excluded.event_id, expires_at = excluded.expires_at
  where present.expires_at <= now()
returning key`;

const READ_KEYS = `/*read_event_keys*/
select k.key, encode(k.fingerprint, 'hex') as fingerprint, k.matched_count, e.id, e.type, e.entity_id, e.source, e.hops,
  epoch_ms(e.occurred_at) as occurred_at, epoch_ms(e.published_at) as published_at, e.body
from event_key k join event e on e.id = k.event_id and e.tenant_id = k.tenant_id
where k.tenant_id = $1 and k.key = any($2)`;

const COUNT_MATCHES = `/*count_event_key_matches*/
update event_key k set matched_count = m.matched
from json_to_recordset($2::json) as m(event_id uuid, key text, matched int)
where k.tenant_id = $1 and k.key = m.key`;

interface KeyRow {
  readonly key: string;
  readonly fingerprint: string;
  readonly matched_count: number;
  readonly id: string;
  readonly type: string;
  readonly entity_id: string | null;
  readonly source: string;
  readonly hops: number;
  readonly occurred_at: number;
  readonly published_at: number;
  readonly body: string;
}

interface Waiting {
  readonly records: readonly EventRecord[];
  readonly resolve: (matches: Matches) => void;
  readonly reject: (error: unknown) => void;
}

export interface PublisherOptions {
  readonly database: Database;
  readonly bell: LaneBell;
  readonly now: () => number;
  /** Makes partitions when a commit finds none; true where trying again makes sense. */
  readonly mend: (error: unknown) => Promise<boolean>;
  /** After the commit, for each event that will be sent now, before its lanes are rung. */
  readonly onPublished?: (event: EventRecord) => void;
}

/** A record for an event that is about to be stored. `published_at` is this process's clock. */
export const newEventRecord = (
  tenantId: string,
  source: string,
  event: NewEvent,
  now: number,
  isTest: boolean,
  hops = 0,
): EventRecord => {
  const id = newId();
  const occurredAt = event.occurredAt ?? new Date(now);
  return {
    id,
    tenantId,
    type: event.type,
    entityId: event.entityId ?? null,
    source,
    isTest,
    hops,
    occurredAt,
    publishedAt: new Date(now),
    body: envelope({ eventId: id, tenantId, type: event.type, occurredAt, data: event.data, isTest }),
  };
};

/**
 * Publishes what callers bring. Calls that come while a commit runs share the next one (a commit each: 3× slower by 32
 * callers); if a shared commit fails, each call is tried alone, so that nobody fails for another. Calls with idempotency
 * keys take a transaction of their own, because a key may have to wait for another's commit.
 */
export const createPublisher = ({ database, bell, now, mend, onPublished }: PublisherOptions): Publisher => {
  const waiting: Waiting[] = [];
  let committing = false;

  const writeMending = async (records: readonly EventRecord[]): Promise<Matches> => {
    try {
      return await writeEvents(database.sql, records);
    } catch (error) {
      if (!(await mend(error))) throw error;
      return writeEvents(database.sql, records);
    }
  };

  const commitWaiting = async (): Promise<void> => {
    committing = true;
    while (waiting.length > 0) {
      const group: Waiting[] = [];
      let size = 0;
      while (waiting[0] && (group.length === 0 || size + waiting[0].records.length <= LARGEST_COMMIT)) {
        size += waiting[0].records.length;
        group.push(waiting.shift()!);
      }
      await commitGroup(group);
    }
    committing = false;
  };

  const commitGroup = async (group: readonly Waiting[]): Promise<void> => {
    const records = group.flatMap((call) => call.records);
    let matches: Matches;
    try {
      matches = await writeMending(records);
    } catch (error) {
      if (group.length === 1) group[0]!.reject(error);
      else for (const call of group) await commitGroup([call]);
      return;
    }
    ring(records, matches);
    for (const call of group) call.resolve(matches);
  };

  const publishPlain = async (records: readonly EventRecord[]): Promise<PublishedEvent[]> => {
    const matches = await new Promise<Matches>((resolve, reject) => {
      waiting.push({ records, resolve, reject });
      if (!committing) void commitWaiting();
    });
    return records.map((event) => ({ event, matchedCount: matches.get(event.id)?.matched ?? 0, duplicate: false }));
  };

  const publishIn: Publisher['publishIn'] = async (sql, tenantId, source, events, { hops } = {}) => {
    const firstByKey = new Map<string, number>();
    const prints = events.map((event) => (event.idempotencyKey === undefined ? '' : fingerprint(event)));
    for (const [index, event] of events.entries()) {
      if (event.idempotencyKey === undefined) continue;
      const first = firstByKey.get(event.idempotencyKey);
      if (first === undefined) firstByKey.set(event.idempotencyKey, index);
      else if (prints[first] !== prints[index]) throw keyConflict(index);
    }
    const records = events.map((event) => newEventRecord(tenantId, source, event, now(), false, hops));
    const claims = [...firstByKey].map(([key, index]) => ({
      key,
      fingerprint: prints[index]!,
      event_id: records[index]!.id,
    }));
    const known = await claimKeys(sql, tenantId, claims, (key) => keyConflict(firstByKey.get(key)!));
    const fresh = records.filter((_, index) => {
      const key = events[index]!.idempotencyKey;
      return key === undefined || (!known.has(key) && firstByKey.get(key) === index);
    });
    const matches: Matches = fresh.length === 0 ? new Map() : await writeEvents(sql, fresh);
    const matchedBy = (id: string): number => matches.get(id)?.matched ?? 0;
    const counts = claims
      .filter((claim) => !known.has(claim.key))
      .map((claim) => ({ ...claim, matched: matchedBy(claim.event_id) }));
    if (counts.length > 0) await sql.query(COUNT_MATCHES, [tenantId, JSON.stringify(counts)]);

    const published = events.map((event, index) => {
      const key = event.idempotencyKey;
      const first = key === undefined ? index : firstByKey.get(key)!;
      const row = key === undefined ? undefined : known.get(key);
      if (row) return { event: recordOf(tenantId, row), matchedCount: row.matched_count, duplicate: true };
      const record = records[first]!;
      return { event: record, matchedCount: matchedBy(record.id), duplicate: first !== index };
    });
    return { published, ring: () => ring(fresh, matches) };
  };

  const publishKeyed = async (
    tenantId: string,
    source: string,
    events: readonly NewEvent[],
  ): Promise<PublishedEvent[]> => {
    const written: WrittenEvents = await database.transaction((sql) => publishIn(sql, tenantId, source, events));
    written.ring();
    return written.published;
  };

  const ring = (records: readonly EventRecord[], matches: Matches): void => {
    const rung = new Set<Match>();
    for (const event of records) {
      const match = matches.get(event.id);
      if (!match || match.rings.length === 0) continue;
      onPublished?.(event);
      rung.add(match);
    }
    bell.ring([...rung].flatMap((match) => match.rings));
  };

  return {
    publishIn,
    publish: async (tenantId, source, events) => {
      if (events.some((event) => event.idempotencyKey !== undefined)) {
        try {
          return await publishKeyed(tenantId, source, events);
        } catch (error) {
          if (!(await mend(error))) throw error;
          return publishKeyed(tenantId, source, events);
        }
      }
      return publishPlain(events.map((event) => newEventRecord(tenantId, source, event, now(), false)));
    },
  };
};

interface KeyClaim {
  readonly key: string;
  readonly fingerprint: string;
  readonly event_id: string;
}

/** Takes the keys that are free; answers the others with what they stand for. Throws where that is something else. */
const claimKeys = async (
  sql: Sql,
  tenantId: string,
  claims: readonly KeyClaim[],
  conflict: (key: string) => ConflictError,
): Promise<ReadonlyMap<string, KeyRow>> => {
  if (claims.length === 0) return new Map();
  const rows = await sql.query<{ key: string }>(CLAIM_KEYS, [tenantId, JSON.stringify(claims), KEY_LIFE_MS]);
  const claimed = new Set(rows.map((row) => row.key));
  const taken = claims.filter((claim) => !claimed.has(claim.key));
  if (taken.length === 0) return new Map();
  const present = await sql.query<KeyRow>(READ_KEYS, [tenantId, taken.map((claim) => claim.key)]);
  const known = new Map(present.map((row) => [row.key, row]));
  const other = taken.find((claim) => known.get(claim.key)?.fingerprint !== claim.fingerprint);
  if (other) throw conflict(other.key);
  return known;
};

const recordOf = (tenantId: string, row: KeyRow): EventRecord => ({
  id: row.id,
  tenantId,
  type: row.type,
  entityId: row.entity_id,
  source: row.source,
  isTest: false,
  hops: row.hops,
  occurredAt: new Date(row.occurred_at),
  publishedAt: new Date(row.published_at),
  body: row.body,
});

/** What a key stands for: type, data, entity and time, whatever the order of the keys in `data`. */
const fingerprint = (event: NewEvent): string =>
  createHash('sha256')
    .update(
      JSON.stringify([event.type, sorted(event.data), event.entityId ?? null, event.occurredAt?.toISOString() ?? null]),
    )
    .digest('hex');

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return ['array', ...value.map(sorted)];
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return ['object', ...entries.map(([key, inner]) => [key, sorted(inner)])];
};

const keyConflict = (index: number): ConflictError =>
  new ConflictError(
    'This idempotency key was used within 24 hours for an event with another type, data, entity or time: use a new key, or send the same event.',
    [String(index), 'idempotencyKey'],
  );

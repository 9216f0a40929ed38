import { LRUCache } from 'lru-cache';
import type { Database } from '../../platform/database.ts';
import { newId } from '../../platform/ids.ts';
import type { Logger } from '../../platform/logs.ts';
import type { DispatchStatus } from './inboundDelivery.ts';
import type { InboundChange } from './inboundFeed.ts';
import { isRefusedData } from './receipts.ts';
import type { AuthStatus } from './verification/verification.ts';

/** Why a request to a webhook that exists was refused; each is a column of `inbound_counter`. */
export const REFUSAL_CAUSES = [
  'unauthorized',
  'inactive',
  'rate_limited',
  'invalid_body',
  'too_large',
  'unsupported',
  'method',
] as const;
export type RefusalCause = (typeof REFUSAL_CAUSES)[number];

/** A request of which no body is kept: one that was refused, for whose body nobody vouches, or a handshake. */
export interface BodylessRequest {
  readonly tenantId: string;
  readonly webhookId: string;
  readonly webhookName: string;
  readonly receivedAt: number;
  readonly authStatus: AuthStatus;
  readonly dispatchStatus: Extract<DispatchStatus, 'REJECTED' | 'RATE_LIMITED' | 'HANDSHAKE'>;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly contentType: string | null;
  readonly sourceIp: string;
  readonly responseStatus: number;
  readonly durationMs: number;
  /** JSON, for the webhook's owner; null for nothing. */
  readonly outcome: Readonly<Record<string, unknown>> | null;
}

type Counts = { [Cause in RefusalCause]?: number } & { deliveries?: number; last_delivery_at?: number };

/** Of one webhook and cause, by one process. */
const RECORDED_A_MINUTE = 20;
const MINUTE_MS = 60_000;
const FLUSH_MS = 1_000;
/** Of whoever wants to read what is written. */
const LONGEST_WAIT_MS = 500;
/** Webhooks whose requests are watched at once; more than this in one minute, and the longest idle begins anew. */
const WATCHED = 50_000;
/** The statement compares each of its webhooks with each. */
const COUNTED_AT_ONCE = 500;
/** Records that wait to be written; a database that is away must not fill the memory. */
const MOST_WAITING = 5_000;

export const RECORD_BODYLESS = `/*inbound_refuse*/
with input as materialized (
  select * from json_to_recordset($1::json) as input(
    ord int, id uuid, tenant_id uuid, webhook_id uuid, received_at float8, auth_status text, dispatch_status text,
    method text, path text, headers text, content_type text, source_ip text, response_status int, duration_ms int,
    outcome text, change text)
), kept as (
  insert into inbound_delivery
    (id, tenant_id, webhook_id, received_at, auth_status, dispatch_status, method, path, headers, content_type, source_ip,
     response_status, duration_ms, handler_outcome)
  select id, tenant_id, webhook_id, from_epoch_ms(received_at), auth_status, dispatch_status, method, path, headers,
    content_type, source_ip, response_status, duration_ms, outcome
  from input
  on conflict (id) do nothing
)
insert into feed_outbox (tenant_id, kind, changes)
select tenant_id, 1, '[' || string_agg(change, ',' order by ord) || ']' from input group by tenant_id`;

/** Locks in order first, so that two processes that flush at once never deadlock. */
export const COUNT_REQUESTS = `/*inbound_count*/
with input as materialized (
  select * from json_to_recordset($1::json) as input(
    webhook_id uuid, deliveries bigint, last_delivery_at float8, unauthorized bigint, inactive bigint, rate_limited bigint,
    invalid_body bigint, too_large bigint, unsupported bigint, method bigint)
), locked as materialized (
  select c.webhook_id from inbound_counter c
   where c.webhook_id = any (array(select webhook_id from input)) order by c.webhook_id for update
)
update inbound_counter c set
  deliveries = c.deliveries + coalesce(i.deliveries, 0),
  last_delivery_at = greatest(c.last_delivery_at, from_epoch_ms(i.last_delivery_at)),
  unauthorized = c.unauthorized + coalesce(i.unauthorized, 0),
  inactive = c.inactive + coalesce(i.inactive, 0),
  rate_limited = c.rate_limited + coalesce(i.rate_limited, 0),
  invalid_body = c.invalid_body + coalesce(i.invalid_body, 0),
  too_large = c.too_large + coalesce(i.too_large, 0),
  unsupported = c.unsupported + coalesce(i.unsupported, 0),
  method = c.method + coalesce(i.method, 0)
from locked l join input i on i.webhook_id = l.webhook_id
where c.webhook_id = l.webhook_id`;

type Recorded = BodylessRequest & { readonly id: string };

export interface TallyOptions {
  readonly database: Pick<Database, 'sql'>;
  readonly log: Logger;
  /** Makes partitions when a statement finds none; true where trying again makes sense. */
  readonly mend: (error: unknown) => Promise<boolean>;
  /** Called after refusals were recorded; must not throw. */
  readonly onKept: () => void;
}

/**
 * Counts what a process receives and refuses, in memory, and writes it once a second, or when somebody of this process wants
 * to read it: a flood costs an addition each.
 * Of each webhook and cause the first 20 refusals a minute are recorded too, and the first 20 handshakes. A process that
 * is killed loses the counts, and the refusals, of its last second; what was accepted is never among that.
 */
export class Tally {
  readonly #options: TallyOptions;
  #counts = new Map<string, Counts>();
  #records: Recorded[] = [];
  readonly #recorded = new LRUCache<string, { minute: number; count: number }>({ max: WATCHED });
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;
  /** The writing that begins once the present one is over. */
  #next: Promise<void> | undefined;
  #isFailing = false;
  #isClosed = false;

  constructor(options: TallyOptions) {
    this.#options = options;
  }

  accepted(webhookId: string, receivedAt: number): void {
    const counts = this.#countsOf(webhookId);
    counts.deliveries = (counts.deliveries ?? 0) + 1;
    counts.last_delivery_at = Math.max(counts.last_delivery_at ?? 0, receivedAt);
  }

  /**
   * Whether the next refusal of this webhook and cause is to be told in full; counts it in any case. Of those who prove nothing each
   * way to fail is a cause of its own: who knows no secret at all must not hide the sender whose clock is wrong.
   */
  refused(webhookId: string, cause: RefusalCause, authStatus: AuthStatus, now: number): boolean {
    const counts = this.#countsOf(webhookId);
    counts[cause] = (counts[cause] ?? 0) + 1;
    return this.#isAmongFirst(`${webhookId} ${cause} ${authStatus}`, now);
  }

  /** Whether the next handshake of this webhook is to be told. */
  handshaken(webhookId: string, now: number): boolean {
    return this.#isAmongFirst(`${webhookId} handshake`, now);
  }

  record(request: BodylessRequest): void {
    if (this.#records.length < MOST_WAITING) this.#records.push({ ...request, id: newId() });
    this.#schedule();
  }

  #isAmongFirst(key: string, now: number): boolean {
    const minute = Math.floor(now / MINUTE_MS);
    const recorded = this.#recorded.get(key);
    if (recorded?.minute !== minute) {
      this.#recorded.set(key, { minute, count: 1 });
      return true;
    }
    return ++recorded.count <= RECORDED_A_MINUTE;
  }

  /**
   * Writes now what waits to be written, so that whoever reads next finds all that this process answered before. Never rejects,
   * and takes half a second at most: where the database is away, reading fails by itself.
   */
  async written(): Promise<void> {
    if (!this.#isWriting && this.#isEmpty()) return;
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, LONGEST_WAIT_MS)));
    await Promise.race([this.#write(), patience]);
    clearTimeout(timer);
  }

  /** Writes what is still in memory. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#write();
  }

  #isEmpty(): boolean {
    return this.#counts.size === 0 && this.#records.length === 0;
  }

  /** One writing at a time; callers that come while one is under way share the next. */
  #write(): Promise<void> {
    if (this.#isEmpty()) return this.#writing;
    this.#next ??= this.#writing.then(() => {
      this.#next = undefined;
      this.#isWriting = true;
      this.#writing = this.#flush().finally(() => (this.#isWriting = false));
      return this.#writing;
    });
    return this.#next;
  }

  #countsOf(webhookId: string): Counts {
    this.#schedule();
    const present = this.#counts.get(webhookId);
    if (present) return present;
    const counts: Counts = {};
    this.#counts.set(webhookId, counts);
    return counts;
  }

  #schedule(): void {
    if (this.#isClosed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#write();
    }, FLUSH_MS);
  }

  /** What could not be written is kept for the next time; by its id a record is never written twice. */
  async #flush(): Promise<void> {
    const counts = this.#counts;
    const records = this.#records;
    this.#counts = new Map();
    this.#records = [];
    try {
      if (records.length > 0) {
        await this.#record(records);
        records.length = 0;
        this.#options.onKept();
      }
      if (counts.size > 0) await this.#count(counts);
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) this.#options.log.warn({ err: error }, 'could not write what was refused; trying again');
      this.#isFailing = true;
      this.#records.unshift(...records.slice(0, MOST_WAITING - this.#records.length));
      for (const [webhookId, before] of counts) merge(this.#countsOf(webhookId), before);
      this.#schedule();
    }
  }

  async #record(records: readonly Recorded[]): Promise<void> {
    const { database, log, mend } = this.#options;
    const values = [JSON.stringify(records.map(inputRow))];
    await database.sql.query(RECORD_BODYLESS, values).catch(async (error: unknown) => {
      if (await mend(error)) await database.sql.query(RECORD_BODYLESS, values);
      else if (!isRefusedData(error)) throw error;
      // Trying for ever would keep the counts from being written.
      else log.error({ err: error, records: records.length }, 'records of refused requests are left out');
    });
  }

  /** Takes out what is written. */
  async #count(counts: Map<string, Counts>): Promise<void> {
    const all = [...counts];
    for (let from = 0; from < all.length; from += COUNTED_AT_ONCE) {
      const some = all.slice(from, from + COUNTED_AT_ONCE);
      const rows = some.map(([webhookId, its]) => ({ webhook_id: webhookId, ...its }));
      await this.#options.database.sql.query(COUNT_REQUESTS, [JSON.stringify(rows)]);
      for (const [webhookId] of some) counts.delete(webhookId);
    }
  }
}

const merge = (into: Counts, from: Counts): void => {
  for (const key of ['deliveries', ...REFUSAL_CAUSES] as const) {
    if (from[key] !== undefined) into[key] = (into[key] ?? 0) + from[key];
  }
  if (from.last_delivery_at !== undefined) {
    into.last_delivery_at = Math.max(into.last_delivery_at ?? 0, from.last_delivery_at);
  }
};

const inputRow = (record: Recorded, ord: number): Record<string, unknown> => {
  const { id } = record;
  const change: InboundChange = {
    at: record.receivedAt,
    d: id,
    w: record.webhookId,
    n: record.webhookName,
    u: record.authStatus,
    s: record.dispatchStatus,
    r: record.responseStatus,
    m: record.durationMs,
  };
  return {
    ord,
    id,
    tenant_id: record.tenantId,
    webhook_id: record.webhookId,
    received_at: record.receivedAt,
    auth_status: record.authStatus,
    dispatch_status: record.dispatchStatus,
    method: record.method,
    path: record.path,
    headers: JSON.stringify(record.headers),
    content_type: record.contentType,
    source_ip: record.sourceIp,
    response_status: record.responseStatus,
    duration_ms: record.durationMs,
    outcome: record.outcome === null ? null : JSON.stringify(record.outcome),
    change: JSON.stringify(change),
  };
};

import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { schema } from '../mikro-orm.config.ts';
import type { DeliveryStatus } from '../src/domain/deliveries/delivery.ts';
import { countDeliveries, listDeliveries } from '../src/domain/deliveries/deliveryList.ts';
import type { DeliveryListFilter } from '../src/domain/deliveries/history.ts';
import { countEvents, listEvents } from '../src/domain/events/eventLog.ts';
import type { EventListFilter } from '../src/domain/events/eventLog.ts';
import { openDatabase } from '../src/platform/database.ts';
import type { Database, Sql } from '../src/platform/database.ts';
import { idTime, newId } from '../src/platform/ids.ts';
import { createTestDatabase } from './harness/database.ts';
import type { TestDatabase } from './harness/database.ts';

let own: TestDatabase;
let database: Database;
const [tenant, stranger] = [newId(), newId()];
const webhooks = [newId(), newId(), newId()];
const now = Date.now();
const SPACING_MS = 20_000;
const ENDED = 3_000;
const TYPES = ['a.common', 'a.other', 'b.common', 'b.c.rare', 'z'];

/** Everything as a list would have it, one row after the other: what is rare is a few in thousands. */
const ALL = `select d.id, d.tenant_id, d.webhook_id, d.event_id, d.event_type, d.is_test, d.response_status, d.status from delivery d
  union all
  select d.id, d.tenant_id, d.webhook_id, d.event_id, d.event_type, d.is_test, d.response_status,
    case when w.status = 'PAUSED' then 'HELD' when d.attempts = 0 then 'PENDING' else 'RETRYING' end
  from delivery_open d left join webhook w on w.id = d.webhook_id`;

interface Row {
  readonly id: string;
  readonly tenant_id: string;
  readonly webhook_id: string;
  readonly event_id: string;
  readonly event_type: string;
  readonly is_test: boolean;
  readonly response_status: number | null;
  readonly status: DeliveryStatus;
}
interface EventRow {
  readonly id: string;
  readonly type: string;
  readonly entity_id: string | null;
}
let rows: Row[];
let eventRows: EventRow[];

beforeAll(async () => {
  own = await createTestDatabase();
  database = await openDatabase({ url: own.url, poolSize: 2, schema });
  const { sql } = database;
  await sql.query(`insert into tenant (id, slug, name) values ($1, 'a', ''), ($2, 'b', '')`, [tenant, stranger]);
  await sql.query(
    `insert into webhook (id, tenant_id, name, url, event_types, status, timeout_seconds, retry_schedule, max_concurrency, secret)
     select id, $1, '', '', '{}', case n when 2 then 'PAUSED' else 'ACTIVE' end, 10, '{}', 10, ''
     from unnest($2::uuid[]) with ordinality as t (id, n)`,
    [tenant, webhooks],
  );
  const ids = `select n, (lpad(to_hex($1::bigint - n * ${SPACING_MS}), 12, '0') || '7' || substr(md5($2 || n), 1, 3) || '8' || substr(md5($2 || n), 4, 15))::uuid as id
    from generate_series(1, $3::integer) as n`;
  const type = `(array['${TYPES.join("','")}'])[case when n % 700 = 5 then 4 when n % 90 = 7 then 3 when n % 11 = 0 then 2 else 1 end]`;
  for (const [owner, salt] of [
    [tenant, 'mine'],
    [stranger, 'other'],
  ] as const) {
    const hooks = owner === tenant ? webhooks : [newId(), newId(), newId()];
    await sql.query(
      `insert into delivery (id, tenant_id, webhook_id, event_id, event_type, status, is_test, attempts, created_at, completed_at, response_status)
       select id, $4::uuid, ($5::uuid[])[1 + n % 3], id, ${type},
         case when n % 800 = 3 then 'FILTERED' when n % 300 = 5 then 'CANCELLED' when n % 40 = 5 then 'ABANDONED' else 'DELIVERED' end,
         n % 500 = 9, 1, now(), now(), case when n % 600 = 5 then 418 when n % 40 = 5 then 500 when n % 50 = 1 then null else 200 end
       from (${ids}) as ids`,
      [now, salt, ENDED, owner, hooks],
    );
    await sql.query(
      `insert into delivery_open (id, tenant_id, webhook_id, event_id, event_type, is_test, attempts, next_at, created_at, expires_at, response_status)
       select id, $4::uuid, ($5::uuid[])[1 + n % 3], id, ${type}, false, case when n % 100 = 5 then 1 else 0 end, now(), now(), now(),
         case when n % 100 = 5 then 503 end
       from (${ids}) as ids`,
      [now - 7, `${salt} open`, 400, owner, hooks],
    );
    await sql.query(
      `insert into event (id, tenant_id, type, entity_id, source, is_test, occurred_at, published_at, body)
       select id, $4::uuid, ${type}, case when n % 400 = 3 then 'rare' when n % 3 = 0 then 'common' end, 'api', n % 30 = 2, now(), now(), '{}'
       from (${ids}) as ids`,
      [now, salt, ENDED, owner],
    );
  }
  rows = await sql.query<Row>(`select * from (${ALL}) as d where tenant_id = $1 order by id desc`, [tenant]);
  eventRows = await sql.query<EventRow>(
    `select id, type, entity_id from event where tenant_id = $1 and not is_test order by id desc`,
    [tenant],
  );
});
afterAll(async () => {
  await database.close();
  await own.drop();
});

const fits = (patterns: readonly string[], type: string): boolean =>
  patterns.some((pattern) =>
    pattern === '*' || pattern.endsWith('.*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern,
  );
const inRange = (id: string, { from, to }: { from?: Date | undefined; to?: Date | undefined }): boolean =>
  (!from || idTime(id) >= from.getTime()) && (!to || idTime(id) < to.getTime());

const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });
const moment = fc.integer({ min: 0, max: ENDED * SPACING_MS }).map((ago) => new Date(now - ago));
const patterns = fc.uniqueArray(fc.constantFrom(...TYPES, 'a.*', 'b.*', 'b.c.*', '*', 'none'), { maxLength: 3 });

const deliveryFilter = fc.record({
  webhookId: optional(fc.constantFrom(...webhooks, newId())),
  status: optional(
    fc.uniqueArray(
      fc.constantFrom<DeliveryStatus[]>(
        'PENDING',
        'RETRYING',
        'HELD',
        'DELIVERED',
        'ABANDONED',
        'CANCELLED',
        'FILTERED',
      ),
      { maxLength: 3 },
    ),
  ),
  eventTypes: optional(patterns),
  isTest: optional(fc.boolean()),
  responseStatus: optional(fc.constantFrom(200, 418, 500, 503, 599)),
  from: optional(moment),
  to: optional(moment),
});

/** Counts the statements that go through it. */
const counting = (): Sql & { statements: number } => ({
  statements: 0,
  query(text, values) {
    this.statements++;
    return database.sql.query(text, values);
  },
});

const walked = async (
  read: (sql: Sql, page: { first: number; after: string | null }) => Promise<{ ids: string[]; hasMore: boolean }>,
  first: number,
): Promise<string[]> => {
  const all: string[] = [];
  for (;;) {
    const sql = counting();
    const { ids, hasMore } = await read(sql, { first, after: all.at(-1) ?? null });
    expect(sql.statements).toBeLessThanOrEqual(2);
    expect(ids.length).toBeLessThanOrEqual(first);
    all.push(...ids);
    if (!hasMore) return all;
    expect(ids).toHaveLength(first);
  }
};

describe('a list of deliveries', () => {
  it('has what looking at each would find, in order, page by page, for any filters together', async () => {
    await fc.assert(
      fc.asyncProperty(deliveryFilter, fc.constantFrom(20, 100), async (filter: DeliveryListFilter, first) => {
        const { webhookId, status, eventTypes, isTest, responseStatus } = filter;
        const expected = rows.filter(
          (row) =>
            (webhookId === undefined || row.webhook_id === webhookId) &&
            (!status || status.includes(row.status)) &&
            (!eventTypes || fits(eventTypes, row.event_type)) &&
            (isTest === undefined || row.is_test === isTest) &&
            (responseStatus === undefined || row.response_status === responseStatus) &&
            inRange(row.id, filter),
        );
        const found = await walked(async (sql, page) => {
          const { deliveries, hasMore } = await listDeliveries(sql, tenant, filter, page);
          return { ids: deliveries.map(({ id }) => id), hasMore };
        }, first);
        expect(found).toEqual(expected.map(({ id }) => id));
        expect(await countDeliveries(database.sql, tenant, filter)).toBe(expected.length);
      }),
      { numRuns: 150 },
    );
  });

  it('of an event has its deliveries, and of a stranger nothing', async () => {
    for (const { event_id: eventId } of [rows[0]!, rows[500]!, rows.at(-1)!]) {
      const { deliveries } = await listDeliveries(database.sql, tenant, { eventId }, { first: 10, after: null });
      expect(deliveries.map(({ id }) => id)).toEqual(
        rows.filter((row) => row.event_id === eventId).map(({ id }) => id),
      );
      expect(await countDeliveries(database.sql, tenant, { eventId })).toBe(deliveries.length);
      expect(
        (await listDeliveries(database.sql, stranger, { eventId }, { first: 10, after: null })).deliveries,
      ).toEqual([]);
    }
    for (const filter of [{ webhookId: webhooks[0] }, { webhookId: webhooks[0], status: ['CANCELLED' as const] }]) {
      const page = await listDeliveries(database.sql, stranger, filter, { first: 10, after: null });
      expect(page).toEqual({ deliveries: [], hasMore: false });
      expect(await countDeliveries(database.sql, stranger, filter)).toBe(0);
    }
  });
});

describe('a list of events', () => {
  it('has what looking at each would find, in order, page by page, for any filters together', async () => {
    const eventFilter = fc.record({
      types: optional(patterns),
      entityId: optional(fc.constantFrom('rare', 'common', 'none')),
      from: optional(moment),
      to: optional(moment),
    });
    await fc.assert(
      fc.asyncProperty(eventFilter, fc.constantFrom(20, 100), async (filter: EventListFilter, first) => {
        const expected = eventRows.filter(
          (row) =>
            (!filter.types || fits(filter.types, row.type)) &&
            (filter.entityId === undefined || row.entity_id === filter.entityId) &&
            inRange(row.id, filter),
        );
        const found = await walked(async (sql, page) => {
          const { events, hasMore } = await listEvents(sql, tenant, filter, page);
          return { ids: events.map(({ id }) => id), hasMore };
        }, first);
        expect(found).toEqual(expected.map(({ id }) => id));
        expect(await countEvents(database.sql, tenant, filter)).toBe(expected.length);
      }),
      { numRuns: 80 },
    );
  });
});

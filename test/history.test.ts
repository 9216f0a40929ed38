import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findAttempt, findAttempts } from '../src/domain/deliveries/attemptLog.ts';
import type { DeliveryStatus } from '../src/domain/deliveries/delivery.ts';
import { countDeliveries, listDeliveries } from '../src/domain/deliveries/deliveryList.ts';
import { findDeliveries, findDelivery } from '../src/domain/deliveries/history.ts';
import type { DeliveryListFilter } from '../src/domain/deliveries/history.ts';
import { countEvents, findEvent, findEvents, listEvents } from '../src/domain/events/eventLog.ts';
import type { Sql } from '../src/platform/database.ts';
import { lowestIdAt, newId } from '../src/platform/ids.ts';
import { freshDatabase } from './feedSupport.ts';
import type { FreshDatabase } from './feedSupport.ts';

const HOUR_MS = 3_600_000;
const now = Date.now();

let fresh: FreshDatabase;
let sql: Sql;
const tenantId = newId();
const stranger = newId();
const active = newId();
const paused = newId();
const deleted = newId();

interface Known {
  readonly id: string;
  readonly ms: number;
  readonly tenant_id: string;
  readonly webhook_id: string;
  readonly event_id: string;
  readonly event_type: string;
  readonly is_test: boolean;
  readonly attempts: number;
  readonly response_status: number | null;
  readonly error_code: string | null;
  /** Null where it is open. */
  readonly ended: DeliveryStatus | null;
}

const statusOf = (known: Known): DeliveryStatus => {
  if (known.ended !== null) return known.ended;
  if (known.webhook_id === paused) return 'HELD';
  return known.attempts === 0 ? 'PENDING' : 'RETRYING';
};

const idAt = (ms: number): string => lowestIdAt(ms).slice(0, 14) + newId().slice(14);

const TYPES = ['ticket.created', 'ticket.comment.added', 'tickets.created', 'client.updated'];
const ENDED: DeliveryStatus[] = ['DELIVERED', 'ABANDONED', 'CANCELLED', 'FILTERED'];
const known: Known[] = [];

const insert = async (rows: readonly Known[]): Promise<void> => {
  const open = rows.filter((row) => row.ended === null);
  const ended = rows.filter((row) => row.ended !== null);
  await sql.query(
    `insert into delivery_open (id, tenant_id, webhook_id, event_id, event_type, is_test, attempts, next_at, created_at,
       expires_at, response_status, error_code, error_message)
     select id, tenant_id, webhook_id, event_id, event_type, is_test, attempts, from_epoch_ms(ms + 1000), from_epoch_ms(ms),
       from_epoch_ms(ms + 9000), response_status, error_code, error_code || ' happened'
     from json_to_recordset($1) as r (id uuid, ms double precision, tenant_id uuid, webhook_id uuid, event_id uuid,
       event_type text, is_test boolean, attempts integer, response_status integer, error_code text)`,
    [JSON.stringify(open)],
  );
  await sql.query(
    `insert into delivery (id, tenant_id, webhook_id, event_id, event_type, status, is_test, attempts, created_at,
       completed_at, response_status, error_code, error_message)
     select id, tenant_id, webhook_id, event_id, event_type, ended, is_test, attempts, from_epoch_ms(ms),
       from_epoch_ms(ms + 5), response_status, error_code, error_code || ' happened'
     from json_to_recordset($1) as r (id uuid, ms double precision, tenant_id uuid, webhook_id uuid, event_id uuid,
       event_type text, ended text, is_test boolean, attempts integer, response_status integer, error_code text)`,
    [JSON.stringify(ended)],
  );
};

beforeAll(async () => {
  fresh = await freshDatabase();
  ({ sql } = fresh.database);
  await sql.query(`insert into tenant (id, slug, name) values ($1, 'a', 'A'), ($2, 'b', 'B')`, [tenantId, stranger]);
  await sql.query(
    `insert into webhook (id, tenant_id, name, url, event_types, status, timeout_seconds, retry_schedule, max_concurrency, secret)
     select id, $3, 'w', 'https://example.com', '{*}', status, 10, '{60}', 1, 's'
     from unnest($1::uuid[], $2::text[]) as w (id, status)`,
    [[active, paused], ['ACTIVE', 'PAUSED'], tenantId],
  );
  let event = '';
  for (let index = 0; index < 400; index++) {
    // several deliveries of one event share its millisecond
    const ms = now - Math.floor(index / 3) * 600_000;
    if (index % 3 === 0) event = idAt(ms);
    known.push({
      id: idAt(ms),
      ms,
      tenant_id: index % 11 === 0 ? stranger : tenantId,
      webhook_id: [active, paused, deleted][index % 3]!,
      event_id: event,
      event_type: TYPES[Math.floor(index / 3) % 4]!,
      is_test: index % 7 === 0,
      attempts: index % 5,
      response_status: index % 5 === 0 ? null : [200, 500][index % 2]!,
      error_code: index % 2 === 0 ? null : 'HTTP_STATUS',
      ended: index % 4 === 0 ? null : ENDED[Math.floor(index / 4) % 4]!,
    });
  }
  // what lies outside of the partitions, which begin yesterday, was dropped long ago
  const oldest = Math.floor(now / 86_400_000) * 86_400_000 - 86_400_000;
  known.splice(0, known.length, ...known.filter((one) => one.ms >= oldest));
  await insert(known);
});

afterAll(async () => {
  await fresh.drop();
});

const listAll = async (filter: DeliveryListFilter, first: number): Promise<string[]> => {
  const ids: string[] = [];
  for (let after: string | null = null; ;) {
    const { deliveries, hasMore } = await listDeliveries(sql, tenantId, filter, { first, after });
    ids.push(...deliveries.map((delivery) => delivery.id));
    if (!hasMore) return ids;
    expect(deliveries).toHaveLength(first);
    after = ids.at(-1)!;
  }
};

const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq: 2 });
const moment = maybe(fc.integer({ min: 0, max: 24 * HOUR_MS }).map((ago) => new Date(now - ago)));

const filters: fc.Arbitrary<DeliveryListFilter> = fc.record({
  webhookId: maybe(fc.constantFrom(active, paused, deleted)),
  status: maybe(fc.subarray<DeliveryStatus>(['PENDING', 'RETRYING', 'HELD', ...ENDED])),
  eventTypes: maybe(fc.subarray(['ticket.*', '*', 'client.updated', 'ticket.comment.*', 'nothing'])),
  isTest: maybe(fc.boolean()),
  responseStatus: maybe(fc.constantFrom(200, 500, 404)),
  from: moment,
  to: moment,
});

const matches = (filter: DeliveryListFilter, one: Known): boolean =>
  one.tenant_id === tenantId &&
  (filter.webhookId === undefined || one.webhook_id === filter.webhookId) &&
  (filter.eventId === undefined || one.event_id === filter.eventId) &&
  (filter.status === undefined || filter.status.includes(statusOf(one))) &&
  (filter.eventTypes === undefined ||
    filter.eventTypes.some((type) =>
      type.endsWith('*') ? one.event_type.startsWith(type.slice(0, -1)) : one.event_type === type,
    )) &&
  (filter.isTest === undefined || one.is_test === filter.isTest) &&
  (filter.responseStatus === undefined || one.response_status === filter.responseStatus) &&
  (filter.from === undefined || one.ms >= filter.from.getTime()) &&
  (filter.to === undefined || one.ms < filter.to.getTime());

const expected = (filter: DeliveryListFilter): string[] =>
  known
    .filter((one) => matches(filter, one))
    .map((one) => one.id)
    .sort()
    .reverse();

describe('the delivery history', () => {
  test('lists what matches, newest first, page by page, and counts it', async () => {
    await fc.assert(
      fc.asyncProperty(filters, fc.integer({ min: 1, max: 100 }), async (filter, first) => {
        expect(await listAll(filter, first)).toEqual(expected(filter));
        expect(await countDeliveries(sql, tenantId, filter)).toBe(expected(filter).length);
      }),
      { numRuns: 150 },
    );
  });

  test('lists the deliveries of one event', async () => {
    for (const eventId of new Set(known.slice(0, 60).map((one) => one.event_id))) {
      expect(await listAll({ eventId }, 100)).toEqual(expected({ eventId }));
    }
  });

  test('finds each by its id, with everything that is known of it', async () => {
    const ours = known.filter((one) => one.tenant_id === tenantId);
    const found = await findDeliveries(
      sql,
      tenantId,
      known.map((one) => one.id),
    );
    expect(found.size).toBe(ours.length);
    for (const one of ours) {
      const status = statusOf(one);
      expect(found.get(one.id)).toEqual({
        id: one.id,
        tenantId,
        webhookId: one.webhook_id,
        eventId: one.event_id,
        eventType: one.event_type,
        status,
        isForward: false,
        isTest: one.is_test,
        attemptCount: one.attempts,
        nextAttemptAt: ['PENDING', 'RETRYING'].includes(status) ? new Date(one.ms + 1000) : null,
        payloadFields: null,
        responseStatus: one.response_status,
        durationMs: null,
        error: one.error_code === null ? null : { code: one.error_code, message: `${one.error_code} happened` },
        createdAt: new Date(one.ms),
        completedAt: one.ended === null ? null : new Date(one.ms + 5),
      });
    }
  });

  test('tells a tenant nothing of another', async () => {
    const foreign = known.find((one) => one.tenant_id === stranger)!;
    expect(await findDelivery(sql, tenantId, foreign.id)).toBeNull();
    expect(await findDelivery(sql, stranger, foreign.id)).not.toBeNull();
    expect(await findDelivery(sql, tenantId, newId())).toBeNull();
  });

  test('has a delivery that is being moved in one table or the other, never in none or both', async () => {
    const one = { ...known[0]!, id: newId(), tenant_id: tenantId, ms: Date.now(), ended: null };
    await insert([one]);
    const moving = new AbortController();
    const move = async (): Promise<void> => {
      for (let round = 0; round < 150; round++) {
        await sql.query(
          `with gone as (delete from delivery_open where id = $1 returning *)
           insert into delivery (id, tenant_id, webhook_id, event_id, event_type, status, is_test, attempts, created_at, completed_at)
           select id, tenant_id, webhook_id, event_id, event_type, 'DELIVERED', is_test, attempts, created_at, now() from gone`,
          [one.id],
        );
        await sql.query(
          `with gone as (delete from delivery where id = $1 returning *)
           insert into delivery_open (id, tenant_id, webhook_id, event_id, event_type, is_test, attempts, created_at, next_at, expires_at)
           select id, tenant_id, webhook_id, event_id, event_type, is_test, attempts, created_at, now(), now() from gone`,
          [one.id],
        );
      }
    };
    const mover = move().finally(() => moving.abort());
    let looks = 0;
    while (!moving.signal.aborted) {
      expect(await findDelivery(sql, tenantId, one.id)).not.toBeNull();
      const { deliveries } = await listDeliveries(sql, tenantId, {}, { first: 100, after: null });
      expect(deliveries.filter(({ id }) => id === one.id)).toHaveLength(1);
      looks++;
    }
    await mover;
    expect(looks).toBeGreaterThan(10);
    await sql.query(`delete from delivery_open where id = $1`, [one.id]);
  });
});

describe('attempts', () => {
  const delivery = newId();
  const other = newId();

  beforeAll(async () => {
    const add = `insert into attempt (id, tenant_id, delivery_id, number, trigger, started_at, duration_ms, request_headers,
        response_status, response_headers, response_body, response_truncated, error_code, error_message)
      values (derive_id($1, $3::integer::text), $2, $1, $3, $4, from_epoch_ms(1790000000123), 7, '{"a":"1"}', $5, $6, $7, $8, $9, $10)`;
    await sql.query(add, [delivery, tenantId, 1, 'INITIAL', null, null, null, false, 'TIMEOUT', 'too slow']);
    await sql.query(add, [
      delivery,
      tenantId,
      2,
      'RETRY',
      200,
      '{"set-cookie":["a","b"],"__proto__":"x"}',
      Buffer.from([0x6f, 0x6b, 0x00, 0xff, 0xf0, 0x9f]),
      true,
      null,
      null,
    ]);
    await sql.query(add, [other, tenantId, 1, 'TEST', 204, '{}', Buffer.alloc(0), false, null, null]);
  });

  test('of many deliveries come in one statement, in their order', async () => {
    let statements = 0;
    const counting: Sql = {
      query: (text, values) => {
        statements++;
        return sql.query(text, values);
      },
    };
    const none = newId();
    const found = await findAttempts(counting, tenantId, [
      { id: delivery, attemptCount: 2 },
      { id: other, attemptCount: 1 },
      { id: none, attemptCount: 3 },
    ]);
    expect(statements).toBe(1);
    expect([...found].map(([id, attempts]) => [id, attempts.map(({ number }) => number)])).toEqual([
      [delivery, [1, 2]],
      [other, [1]],
      [none, []],
    ]);
    const [first, second] = found.get(delivery)!;
    expect(first).toMatchObject({
      trigger: 'INITIAL',
      startedAt: new Date(1_790_000_000_123),
      requestHeaders: { a: '1' },
      responseHeaders: null,
      responseBody: null,
      error: { code: 'TIMEOUT', message: 'too slow' },
    });
    expect(second!.responseHeaders!['set-cookie']).toEqual(['a', 'b']);
    expect(second).toMatchObject({ responseBody: 'ok\0\uFFFD\uFFFD', responseTruncated: true, error: null });
    expect(await findAttempt(sql, tenantId, second!.id)).toEqual(second);
    expect(await findAttempt(sql, stranger, second!.id)).toBeNull();
    expect((await findAttempts(sql, stranger, [{ id: delivery, attemptCount: 2 }])).get(delivery)).toEqual([]);
  });
});

describe('the event log', () => {
  const ids: string[] = [];

  beforeAll(async () => {
    for (let index = 0; index < 12; index++) {
      const id = idAt(now - index * 60_000);
      ids.push(id);
      await sql.query(
        `insert into event (id, tenant_id, type, entity_id, source, is_test, occurred_at, published_at, body)
         values ($1, $2, $3, $4, 'api', $5, from_epoch_ms($6), from_epoch_ms($7), $8)`,
        [
          id,
          index === 11 ? stranger : tenantId,
          TYPES[index % 4],
          index % 2 ? 'e1' : null,
          index === 5,
          now - index * 60_000 - 17,
          now - index * 60_000,
          `{"n":${index}}`,
        ],
      );
    }
  });

  const shown = async (filter: Parameters<typeof listEvents>[2]): Promise<number[]> => {
    const all: number[] = [];
    for (let after: string | null = null; ;) {
      const { events, hasMore } = await listEvents(sql, tenantId, filter, { first: 2, after });
      all.push(...events.map((event) => ids.indexOf(event.id)));
      if (!hasMore) break;
      after = events.at(-1)!.id;
    }
    expect(await countEvents(sql, tenantId, filter)).toBe(all.length);
    return all;
  };

  test('lists real events of the tenant, newest first, as filtered', async () => {
    expect(await shown({})).toEqual([0, 1, 2, 3, 4, 6, 7, 8, 9, 10]);
    expect(await shown({ types: ['ticket.*'] })).toEqual([0, 1, 4, 8, 9]);
    expect(await shown({ types: ['client.updated', 'ticket.comment.*'] })).toEqual([1, 3, 7, 9]);
    expect(await shown({ types: [] })).toEqual([]);
    expect(await shown({ entityId: 'e1' })).toEqual([1, 3, 7, 9]);
    expect(await shown({ from: new Date(now - 3 * 60_000), to: new Date(now - 60_000) })).toEqual([2, 3]);
  });

  test('finds events by their ids, tests too, and none of another tenant', async () => {
    expect([...(await findEvents(sql, tenantId, [...ids, newId()])).keys()].sort()).toEqual(ids.slice(0, 11).sort());
    expect(await findEvent(sql, tenantId, ids[5]!)).toEqual({
      id: ids[5],
      tenantId,
      type: TYPES[1],
      entityId: 'e1',
      source: 'api',
      isTest: true,
      hops: 0,
      occurredAt: new Date(now - 5 * 60_000 - 17),
      publishedAt: new Date(now - 5 * 60_000),
      body: '{"n":5}',
    });
    expect(await findEvent(sql, tenantId, ids[11]!)).toBeNull();
  });
});

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly PlanNode[];
}

describe('with 50,000 ended and 5,000 open deliveries', () => {
  const big = newId();
  const hook = newId();
  const touched: PlanNode[] = [];

  /** Runs each statement a second time to see its plan. */
  const explaining: Sql = {
    async query<Row>(text: string, values: readonly unknown[] = []) {
      const [plan] = await sql.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
        `explain (analyze, format json) ${text}`,
        values,
      );
      touched.push(...nodesOf(plan!['QUERY PLAN'][0].Plan));
      return sql.query<Row>(text, values);
    },
  };
  const nodesOf = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];

  const fill = (table: string, columns: string, values: string, count: number): Promise<unknown> =>
    sql.query(
      `insert into ${table} (id, tenant_id, webhook_id, event_id, event_type, is_test, attempts, created_at, ${columns})
       select (lpad(to_hex($1::bigint - n * 400), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
         $2::uuid, case when n % 10 = 0 then $3::uuid else $4::uuid end, (lpad(to_hex($1::bigint - n * 400), 12, '0') || '70008' || substr(md5(n::text), 1, 15))::uuid,
         'ticket.created', false, 1, now(), ${values}
       from generate_series(1, $5::integer) as n`,
      [now, big, hook, newId(), count],
    );

  beforeAll(async () => {
    await fill('delivery', 'status, completed_at', `(array['DELIVERED', 'ABANDONED'])[1 + n / 10 % 2], now()`, 50_000);
    await fill('delivery_open', 'next_at, expires_at', 'now(), now()', 5_000);
  });

  const eventId = async (): Promise<string> =>
    (
      await sql.query<{ event_id: string }>(`select event_id from delivery where tenant_id = $1 limit 1 offset 700`, [
        big,
      ])
    )[0]!.event_id;

  test.each(['before', 'after'])(
    'lists walk an index and read little more than a page, %s statistics exist',
    async (when) => {
      if (when === 'after') await sql.query('analyze');
      const filters: DeliveryListFilter[] = [
        {},
        { webhookId: hook },
        { status: ['DELIVERED'] },
        { status: ['RETRYING'] },
        { webhookId: hook, status: ['ABANDONED', 'RETRYING'] },
        { eventId: await eventId() },
        { from: new Date(now - HOUR_MS), to: new Date(now - HOUR_MS / 2) },
      ];
      for (const filter of filters) {
        touched.length = 0;
        const page = await listDeliveries(explaining, big, filter, { first: 25, after: null });
        expect(page.deliveries.length).toBeGreaterThan(0);
        await findDeliveries(
          explaining,
          big,
          page.deliveries.map(({ id }) => id),
        );
        await findAttempts(explaining, big, page.deliveries);
        await listEvents(explaining, big, {}, { first: 25, after: null });
        const kinds = new Set(touched.map((node) => node['Node Type']));
        expect([...kinds].filter((kind) => /Seq Scan|Bitmap/.test(kind))).toEqual([]);
        for (const node of touched) {
          const rows = (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'];
          expect({ filter, node: node['Node Type'], index: node['Index Name'], rows }).toSatisfy(() => rows <= 300);
        }
      }
    },
  );
});

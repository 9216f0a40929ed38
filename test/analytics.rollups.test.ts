import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { schema } from '../mikro-orm.config.ts';
import { totalOf } from '../src/domain/analytics/counts.ts';
import { foldOnce, MOST_TYPES, OTHER_TYPES, removeExpiredRollups } from '../src/domain/analytics/fold.ts';
import {
  DAY,
  floorTo,
  FORTNIGHT,
  HOUR,
  KEPT,
  MINUTE,
  minuteOf,
  TYPE_GRAINS,
  WHOLE_TENANT,
} from '../src/domain/analytics/grain.ts';
import {
  addPacked,
  bucketBounds,
  Latencies,
  latencyBucket,
  packed,
  packedEnd,
  percentile,
} from '../src/domain/analytics/histogram.ts';
import { readRates, readTimelines, readTotals, readTypes } from '../src/domain/analytics/rollups.ts';
import type { Rollup } from '../src/domain/analytics/rollups.ts';
import { segmentsOf } from '../src/domain/analytics/window.ts';
import type { AnalyticsWindow } from '../src/domain/analytics/window.ts';
import { openDatabase } from '../src/platform/database.ts';
import type { Database } from '../src/platform/database.ts';
import { newId } from '../src/platform/ids.ts';
import { createEmptyDatabase, createTestDatabase } from './harness/database.ts';
import type { TestDatabase } from './harness/database.ts';
import { startGraphql } from './harness/graphql.ts';

describe('the histogram', () => {
  it('has buckets that follow each other without a gap, each at most an eighth wide', () => {
    let next = 0;
    for (let bucket = 0; bucket < 112; bucket++) {
      const { leastMs, mostMs } = bucketBounds(bucket);
      expect(leastMs).toBe(next);
      expect(mostMs - leastMs).toBeLessThanOrEqual(leastMs / 8);
      for (const ms of [leastMs, mostMs]) expect(latencyBucket(ms)).toBe(bucket);
      next = mostMs + 1;
    }
    expect(latencyBucket(10_000_000)).toBe(111);
    expect(latencyBucket(-1)).toBe(0);
  });

  it('gives percentiles that lie in the bucket of the exact one', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 31_000 })), { minLength: 1 }),
        fc.constantFrom(0.5, 0.95, 0.99, 1),
        (latencies, share) => {
          const histogram: number[] = [];
          for (const ms of latencies) {
            const bucket = latencyBucket(ms);
            while (histogram.length <= bucket) histogram.push(0);
            histogram[bucket]!++;
          }
          const exact = latencies.toSorted((a, b) => a - b)[Math.ceil(latencies.length * share) - 1]!;
          const { leastMs, mostMs } = bucketBounds(latencyBucket(exact));
          const told = percentile(packed(histogram), 0, share)!;
          expect(told).toBeGreaterThanOrEqual(leastMs);
          expect(told).toBeLessThanOrEqual(mostMs);
          expect(Math.abs(told - exact)).toBeLessThanOrEqual(exact * 0.125);
        },
      ),
    );
    expect(percentile(packed([]), 0, 0.5)).toBeNull();
    expect(percentile(packed([0, 0]), 0, 0.5)).toBeNull();
  });
});

describe('a stored histogram', () => {
  const histograms = fc.array(fc.array(fc.oneof(fc.nat(3), fc.nat(20_000), fc.nat(2 ** 40)), { maxLength: 112 }), {
    minLength: 1,
    maxLength: 3,
  });

  it('is what it was, several after each other and added to what there is', () => {
    fc.assert(
      fc.property(histograms, (all) => {
        const stored = Buffer.concat(all.map(packed));
        let at = 0;
        for (const histogram of all) {
          const read: number[] = [];
          addPacked(read, stored, at);
          expect(read).toEqual(histogram);
          at = packedEnd(stored, at);
        }
        expect(at).toBe(stored.length);
        const twice = all[0]!.slice(0, 2);
        addPacked(twice, packed(all[0]!));
        expect(twice).toEqual(all[0]!.map((count, bucket) => (bucket < 2 ? 2 * count : count)));
      }),
    );
  });

  it('is summed with others and with single attempts to what they are together, whatever is asked between', () => {
    const attempts = fc.array(fc.nat(111), { maxLength: 3 });
    fc.assert(
      fc.property(histograms, attempts, attempts, fc.boolean(), (all, before, after, isAsked) => {
        const sum = new Latencies();
        const expected: number[] = [];
        const count = (bucket: number): void => {
          sum.countIn(bucket);
          while (expected.length <= bucket) expected.push(0);
          expected[bucket]!++;
        };
        for (const bucket of before) count(bucket);
        const stored = Buffer.concat(all.map(packed));
        let at = 0;
        for (const histogram of all) {
          sum.addPacked(stored, at);
          if (isAsked) void sum.histogram;
          at = packedEnd(stored, at);
          for (const [bucket, more] of histogram.entries()) expected[bucket] = (expected[bucket] ?? 0) + more;
        }
        for (const bucket of after) count(bucket);
        expect(sum.histogram).toEqual(expected);
        expect(sum.percentile(0.95)).toBe(percentile(packed(expected), 0, 0.95));
        expect(stored).toEqual(Buffer.concat(all.map(packed)));
      }),
    );
  });

  it('is what it was before the database was upgraded', async () => {
    const own = await createEmptyDatabase();
    const database = await openDatabase({ url: own.url, poolSize: 2, schema });
    try {
      await database.orm.migrator.up({ to: 'Migration0011TenantFacets' });
      const counts = [
        [],
        [0, 1, 127, 128, 16_383, 16_384, 4_000_000_000],
        Array.from({ length: 112 }, (_, n) => n ** 4),
      ];
      const tenantId = newId();
      const day = Math.floor(minuteOf(Date.now()) / DAY) * DAY;
      for (const [index, latency] of counts.entries()) {
        await database.sql.query(
          `insert into rollup (tenant_id, webhook_id, grain, minute, delivered, abandoned, cancelled, retrying, failed, latency)
           values ($1, $2, $3, $4, 1, 0, 0, 0, 0, $5::bigint[])`,
          [tenantId, WHOLE_TENANT, DAY, day - index * DAY, latency],
        );
      }
      await database.orm.migrator.up();
      const window = { from: day - 5 * DAY, to: day + DAY, isOpen: false, bucket: DAY } as const;
      const timeline = (await readTimelines(database.sql, tenantId, [WHOLE_TENANT], window)).get(WHOLE_TENANT)!;
      expect(counts.map((_, index) => timeline.get(day - index * DAY)?.latency.histogram)).toEqual(counts);
    } finally {
      await database.close();
      await own.drop();
    }
  });
});

describe('what was counted before fortnights were', () => {
  it('is in them after the upgrade, and what is folded then comes to it', async () => {
    const own = await createEmptyDatabase();
    const database = await openDatabase({ url: own.url, poolSize: 2, schema });
    try {
      await database.orm.migrator.up({ to: 'Migration0015NarrowedSubscriptions' });
      const tenantId = newId();
      const now = Date.now();
      const day = floorTo(minuteOf(now), DAY);
      for (let n = 0; n < 60; n++) {
        for (const [type, delivered] of [
          ['a', 1],
          ['b', n],
        ]) {
          await database.sql.query(
            `insert into rollup_type (tenant_id, webhook_id, grain, minute, event_type, delivered, abandoned, cancelled, retrying, failed)
             values ($1, $2, $3, $4, $5, $6, 2, 3, 4, 5)`,
            [tenantId, WHOLE_TENANT, DAY, day - n * DAY, type, delivered],
          );
        }
      }
      await database.orm.migrator.up();
      const window = { from: day - 59 * DAY, to: day + DAY, isOpen: true, bucket: DAY } as const;
      const types = async (): Promise<unknown> =>
        (await readTypes(database.sql, tenantId, [WHOLE_TENANT], window))
          .get(WHOLE_TENANT)!
          .sort((a, b) => (a.eventType < b.eventType ? -1 : 1));
      const rest = { abandoned: 120, cancelled: 180, retrying: 240, failed: 300 };
      expect(await types()).toEqual([
        { eventType: 'a', delivered: 60, ...rest },
        { eventType: 'b', delivered: 1_770, ...rest },
      ]);
      const fortnights = await database.sql.query(`select from rollup_type where grain = $1`, [FORTNIGHT]);
      expect(fortnights.length).toBeGreaterThanOrEqual(2 * 5);

      await database.sql.query(
        `insert into rollup_outbox (tenant_id, webhook_id, event_type, minute, delivered, abandoned, cancelled, retrying, failed)
         values ($1, $2, 'a', $3, 1, 0, 0, -1, -1)`,
        [tenantId, newId(), day - 40 * DAY],
      );
      await foldOnce(database, now);
      expect(await types()).toMatchObject([{ delivered: 61, retrying: 239, failed: 299 }, { delivered: 1_770 }]);
    } finally {
      await database.close();
      await own.drop();
    }
  });
});

describe('a window', () => {
  const minutes = fc.integer({ min: 0, max: 10 * DAY });
  const lengths = fc.integer({ min: 1, max: 60 * DAY });

  it('is cut into stretches that are the window, each aligned to its grain, and as few as can be', () => {
    fc.assert(
      fc.property(minutes, lengths, fc.constantFrom(...TYPE_GRAINS), fc.boolean(), (from, length, longest, isOpen) => {
        const segments = segmentsOf({ from, to: from + length, isOpen, bucket: HOUR }, longest);
        let at = from;
        for (const segment of segments) {
          expect(segment.from).toBe(at);
          expect(segment.from % segment.grain).toBe(0);
          expect(segment.to % segment.grain).toBe(0);
          expect(segment.grain).toBeLessThanOrEqual(longest);
          if (segment.grain < longest) expect((segment.to - segment.from) / segment.grain).toBeLessThan(120);
          at = segment.to;
        }
        expect(at).toBe(isOpen ? Math.ceil((from + length) / longest) * longest : from + length);
        expect(segments.length).toBeLessThanOrEqual(isOpen ? 4 : 7);
      }),
    );
  });
});

describe('folding', () => {
  let own: TestDatabase;
  let database: Database;
  beforeAll(async () => {
    own = await createTestDatabase();
    database = await openDatabase({ url: own.url, poolSize: 3, schema });
  });
  afterAll(async () => {
    await database.close();
    await own.drop();
  });

  const now = Date.now();
  const today = minuteOf(now);

  interface Fresh {
    readonly webhook: number;
    readonly type: string;
    readonly ago: number;
    readonly counts: readonly [number, number, number, number, number];
    readonly latencies: readonly number[];
  }

  const add = async (tenantId: string, webhooks: readonly string[], rows: readonly Fresh[]): Promise<void> => {
    for (const { webhook, type, ago, counts, latencies } of rows) {
      await database.sql.query(
        `insert into rollup_outbox (tenant_id, webhook_id, event_type, minute, delivered, abandoned, cancelled, retrying, failed, latencies)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
        [tenantId, webhooks[webhook], type, today - ago, ...counts, latencies.map(latencyBucket)],
      );
    }
  };

  const foldAll = async (): Promise<void> => {
    while (((await foldOnce(database, now)) ?? 0) > 0);
  };

  it('changes no figure, in whatever portions it is done, for any range and bucket', async () => {
    const count = fc.integer({ min: -3, max: 9 });
    const row = fc.record({
      webhook: fc.integer({ min: 0, max: 1 }),
      type: fc.constantFrom('a.b', 'c.d', 'e'),
      ago: fc.oneof(
        fc.integer({ min: 0, max: 90 }),
        fc.integer({ min: 0, max: 2 * DAY - 1 }),
        fc.integer({ min: 0, max: 80 * DAY }),
      ),
      counts: fc.tuple(count, count, count, count, count),
      latencies: fc.array(fc.integer({ min: 0, max: 30_000 }), { maxLength: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { minLength: 1, maxLength: 12 }),
        fc.array(row, { maxLength: 6 }),
        fc.integer({ min: 0, max: DAY }),
        fc.integer({ min: 1, max: DAY }),
        fc.constantFrom(MINUTE, HOUR, DAY),
        fc.oneof(fc.constant(0), fc.integer({ min: 3, max: 80 })),
        async (before, after, end, length, asked, days) => {
          const tenantId = newId();
          const webhooks = [newId(), newId()];
          const window: AnalyticsWindow = {
            from: days > 0 ? floorTo(today - days * DAY, DAY) : today - end - length + 1,
            to: today - end + 1,
            isOpen: end === 0,
            bucket: days > 0 ? DAY : asked,
          };
          const plain = (rollup: Rollup | undefined): unknown =>
            rollup && { ...rollup, latency: rollup.latency.histogram };
          const figures = async (): Promise<unknown> => {
            const all = [];
            for (const ids of [webhooks, [WHOLE_TENANT]]) {
              const totals = await readTotals(database.sql, tenantId, ids, window);
              const timelines = await readTimelines(database.sql, tenantId, ids, window);
              const types = await readTypes(database.sql, tenantId, ids, window);
              all.push(
                ids.map((id) => [
                  plain(totals.get(id)),
                  [...(timelines.get(id) ?? [])].sort(([a], [b]) => a - b).map(([at, rollup]) => [at, plain(rollup)]),
                  types.get(id)?.sort((a, b) => (a.eventType < b.eventType ? -1 : 1)),
                ]),
              );
            }
            return [all, await readRates(database.sql, tenantId, webhooks, window)];
          };
          await add(tenantId, webhooks, before);
          const fresh = await figures();
          await foldAll();
          expect(await figures()).toEqual(fresh);

          await add(tenantId, webhooks, after);
          const both = await figures();
          await foldAll();
          expect(await figures()).toEqual(both);

          const mine = [...before, ...after].filter(({ ago }) => today - ago >= window.from && today - ago < window.to);
          const total = (await readTotals(database.sql, tenantId, [WHOLE_TENANT], window)).get(WHOLE_TENANT);
          expect(total?.failed ?? 0).toBe(mine.reduce((sum, { counts }) => sum + counts[4], 0));
          const attempts = mine.reduce((sum, { latencies }) => sum + latencies.length, 0);
          expect((total?.latency.histogram ?? []).reduce((sum, of) => sum + of, 0)).toBe(attempts);
          const types = (await readTypes(database.sql, tenantId, [WHOLE_TENANT], window)).get(WHOLE_TENANT) ?? [];
          expect(types.reduce((sum, { failed }) => sum + failed, 0)).toBe(total?.failed ?? 0);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('counts each row once, though several processes fold at the same time', async () => {
    const tenantId = newId();
    const webhook = newId();
    await add(
      tenantId,
      [webhook],
      Array.from({ length: 300 }, (_, n) => ({
        webhook: 0,
        type: 'a',
        ago: n % 7,
        counts: [1, 0, 0, 0, 0],
        latencies: [n],
      })),
    );
    await Promise.all([1, 2, 3].map(() => foldAll()));
    const window = { from: today - 60, to: today + 1, isOpen: true, bucket: MINUTE } as const;
    expect((await readTotals(database.sql, tenantId, [webhook], window)).get(webhook)).toMatchObject({
      delivered: 300,
    });
    expect(await database.sql.query(`select from rollup_outbox where tenant_id = $1`, [tenantId])).toHaveLength(0);
  });

  it('has counts for a bounded number of types a day, and takes out of a count what was put there', async () => {
    const tenantId = newId();
    const webhook = newId();
    const many = Array.from({ length: MOST_TYPES + 50 }, (_, n) => `type.n${n}`);
    const rows = (counts: Fresh['counts']): Fresh[] =>
      many.map((type) => ({ webhook: 0, type, ago: 0, counts, latencies: [] }));
    await add(tenantId, [webhook], rows([0, 0, 0, 1, 1]));
    await foldAll();
    const window = { from: today - 60, to: today + 1, isOpen: true, bucket: MINUTE } as const;
    const types = (await readTypes(database.sql, tenantId, [webhook], window)).get(webhook)!;
    expect(types).toHaveLength(MOST_TYPES + 1);
    expect(types.find(({ eventType }) => eventType === OTHER_TYPES)).toMatchObject({ retrying: 50 });

    await add(tenantId, [webhook], rows([1, 0, 0, -1, -1]));
    await foldAll();
    const settled = (await readTypes(database.sql, tenantId, [webhook], window)).get(webhook)!;
    expect(settled.reduce((sum, counts) => sum + totalOf(counts), 0)).toBe(many.length);
    for (const counts of settled) {
      expect(counts).toMatchObject({ retrying: 0, failed: 0, delivered: counts.eventType === OTHER_TYPES ? 50 : 1 });
    }
  });

  it('keeps minutes for days, hours for months and days for more than a year', async () => {
    const tenantId = newId();
    const webhook = newId();
    const ages = [0, KEPT[MINUTE] + DAY, KEPT[HOUR] + 2 * DAY, 365 * DAY, KEPT[DAY] + FORTNIGHT + 3 * DAY];
    await add(
      tenantId,
      [webhook],
      ages.map((ago) => ({ webhook: 0, type: 'a', ago, counts: [1, 0, 0, 0, 0], latencies: [] })),
    );
    await foldAll();
    const rowsOf = async (grain: number): Promise<number> =>
      (
        await database.sql.query(`select from rollup where tenant_id = $1 and webhook_id = $2 and grain = $3`, [
          tenantId,
          webhook,
          grain,
        ])
      ).length;
    expect([await rowsOf(MINUTE), await rowsOf(HOUR), await rowsOf(DAY)]).toEqual([1, 2, 4]);
    // A week later the minutes are gone, half a year later the hours; the days of last year stay.
    await removeExpiredRollups(database.sql, now + 7 * DAY * 60_000);
    expect([await rowsOf(MINUTE), await rowsOf(HOUR), await rowsOf(DAY)]).toEqual([0, 2, 4]);
    await removeExpiredRollups(database.sql, now + 180 * DAY * 60_000);
    expect([await rowsOf(MINUTE), await rowsOf(HOUR), await rowsOf(DAY)]).toEqual([0, 0, 3]);
  });

  it('forgets a day together with its fortnight, so that types come to what days come to', async () => {
    const tenantId = newId();
    const webhook = newId();
    const oldest = KEPT[DAY] - 3 * DAY;
    const rows = Array.from({ length: 30 }, (_, n) => ({
      webhook: 0,
      type: 'a',
      ago: oldest + n * DAY,
      counts: [1, 0, 0, 0, 0] as const,
      latencies: [],
    }));
    await add(tenantId, [webhook], rows);
    const window = { from: today - 500 * DAY, to: today + 1, isOpen: true, bucket: DAY } as const;
    const sums = async (): Promise<readonly [number, number]> => {
      const total = (await readTotals(database.sql, tenantId, [webhook], window)).get(webhook);
      const types = (await readTypes(database.sql, tenantId, [webhook], window)).get(webhook) ?? [];
      return [total?.delivered ?? 0, types.reduce((sum, { delivered }) => sum + delivered, 0)];
    };
    await foldAll();
    const left: number[] = [];
    for (let day = 0; day < 40; day++) {
      await removeExpiredRollups(database.sql, now + day * DAY * 60_000);
      const [ofDays, ofTypes] = await sums();
      expect(ofTypes).toBe(ofDays);
      if (left.at(-1) !== ofDays) left.push(ofDays);
    }
    // At first all of the last 400 days, in the end none, whole fortnights at once.
    expect(left[0]).toBeGreaterThanOrEqual(4);
    expect(left.at(-1)).toBe(0);
    expect(left.slice(0, -1).every((sum, index) => sum - left[index + 1]! <= 14)).toBe(true);
  });
});

describe('reading', () => {
  it('costs as many statements for a page of webhooks as for one', async () => {
    const harness = await startGraphql();
    try {
      const page = (first: number): Promise<number> =>
        harness.statementsOf(() =>
          harness.post(
            `{ webhooks(first: ${first}) { nodes { health { successRate pendingCount } analytics { total byEventType { count } timeline { succeeded } } } } }`,
          ),
        );
      for (let n = 0; n < 12; n++) {
        await harness.post(
          `mutation { webhookCreate(input: { name: "W", url: "https://hooks.acme.example", eventTypes: ["ticket.*"] }) { __typename } }`,
        );
      }
      await page(1);
      const one = await page(1);
      expect(one).toBeGreaterThan(4);
      expect(await page(12)).toBeLessThanOrEqual(one + 2);
    } finally {
      await harness.close();
    }
  });
});

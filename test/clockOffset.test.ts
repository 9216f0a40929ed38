import * as fc from 'fast-check';
import { afterEach, expect, it } from 'vitest';
import { offsetOf, watchClock } from '../src/platform/clockOffset.ts';
import type { Database } from '../src/platform/database.ts';
import { correctIdClock, idTime, newId } from '../src/platform/ids.ts';
import { createLogger } from '../src/platform/logs.ts';

afterEach(() => correctIdClock(0));

/** A database whose clock is ahead of ours by so much, and which answers after a while. */
const databaseAhead = (aheadMs: number, answersAfterMs = 0): Database =>
  ({
    sql: {
      query: async () => {
        const now = Date.now() + aheadMs;
        const until = performance.now() + answersAfterMs;
        while (performance.now() < until); // busy: the answer is there, and nobody gets to read it
        return [{ now }];
      },
    },
  }) as unknown as Database;

const log = createLogger({ logLevel: 'silent' });

// First of all: ids ascend, so they stay ahead for a while where they were once.
it('takes no slow answer for a difference of the clocks', async () => {
  const before = Date.now();
  const clock = await watchClock(databaseAhead(0.4, 300), log);
  clock.stop();
  expect(idTime(newId())).toBeGreaterThanOrEqual(before);
  expect(idTime(newId())).toBeLessThanOrEqual(Date.now() + 1);
});

it('moves new ids to the database’s clock, whatever fraction of a millisecond they differ by', async () => {
  for (const aheadMs of [250.5, 1_000.25, 2_000.123, 4_999.999]) {
    const clock = await watchClock(databaseAhead(aheadMs), log);
    clock.stop();
    expect(clock.isTooFar).toBe(false);
    const made = idTime(newId());
    expect(Math.abs(made - Date.now() - aheadMs)).toBeLessThan(200);
  }
});

it('is too far beyond five seconds', async () => {
  for (const aheadMs of [6_000, -6_000]) {
    const clock = await watchClock(databaseAhead(aheadMs), log);
    clock.stop();
    expect(clock.isTooFar).toBe(true);
  }
});

it('knows only what is certain: never more than the difference, in whole milliseconds', () => {
  const ms = fc.double({ min: 0, max: 10_000, noNaN: true });
  fc.assert(
    fc.property(fc.integer({ min: -20_000, max: 20_000 }), fc.nat(10_000), ms, (ahead, tookMs, askedAfter) => {
      const before = 1_700_000_000_000;
      const offset = offsetOf(before + Math.min(askedAfter, tookMs) + ahead, before, before + tookMs);
      expect(Number.isInteger(offset)).toBe(true);
      expect(Math.abs(offset)).toBeLessThanOrEqual(Math.abs(ahead));
      expect(Math.abs(offset)).toBeGreaterThanOrEqual(Math.abs(ahead) - tookMs - 1);
    }),
  );
});

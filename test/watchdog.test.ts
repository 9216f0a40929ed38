import { describe, expect, it } from 'vitest';
import { OVERRAN, withinDeadline } from '../src/platform/watchdog.ts';

const DEADLINE_MS = 100;
const nothing = new Int32Array(new SharedArrayBuffer(4));
/** As on a machine that gives this thread no time: the clock goes on, and nothing is done. */
const starve = (): unknown => Atomics.wait(nothing, 0, 0, 10 * DEADLINE_MS);

const spin = (ms: number): void => {
  const before = process.threadCpuUsage();
  for (;;) {
    const { user, system } = process.threadCpuUsage(before);
    if (user + system >= ms * 1_000) return;
  }
};

describe('work with a deadline', () => {
  it('brings its result or its error', () => {
    expect(withinDeadline(DEADLINE_MS, () => 42)).toBe(42);
    expect(() =>
      withinDeadline(DEADLINE_MS, () => {
        throw new RangeError('no');
      }),
    ).toThrow(new RangeError('no'));
  });

  it('that takes too much is stopped, and not tried again', () => {
    let tries = 0;
    const since = performance.now();
    expect(
      withinDeadline(DEADLINE_MS, () => {
        tries++;
        for (;;);
      }),
    ).toBe(OVERRAN);
    // A machine that is really busy may give it less.
    expect(tries).toBeLessThanOrEqual(4);
    expect(performance.now() - since).toBeLessThan(tries * (DEADLINE_MS + 2_000));
  });

  it('that a busy machine kept waiting begins anew, and may take its time then', () => {
    let tries = 0;
    const work = (): string => {
      if (++tries < 3) starve();
      spin(10);
      return 'done';
    };
    expect(withinDeadline(DEADLINE_MS, work)).toBe('done');
    expect(tries).toBe(3);
  });

  it('that never gets any time ends all the same', () => {
    let tries = 0;
    expect(
      withinDeadline(DEADLINE_MS, () => {
        tries++;
        starve();
      }),
    ).toBe(OVERRAN);
    expect(tries).toBe(4);
  });
});

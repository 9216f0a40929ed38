/**
 * The generic cell rate algorithm (GCRA, ITU-T I.371): one number is all there is to keep, the moment at which the next
 * request would be due if all came evenly. A request may come early by the tolerance, so a limiter that is looked at late
 * makes up for it and the rate does not drift.
 */
export interface RateLimit {
  readonly intervalMs: number;
  readonly toleranceMs: number;
}

/** The least tolerance: more than a lane may be late when the clock rings it. */
const LEAST_TOLERANCE_MS = 2_000;

/** A limit per minute; in any window of so many minutes there are at most that many times the limit, and a second's worth or two more. */
export const rateLimit = (perMinute: number): RateLimit => {
  const intervalMs = 60_000 / perMinute;
  // Short of one interval: two at once are a burst that nobody asked for.
  return {
    intervalMs,
    toleranceMs: intervalMs <= 1_000 ? 1_000 - intervalMs : Math.min(LEAST_TOLERANCE_MS, intervalMs / 2),
  };
};

/** The earliest moment for the next request; `due` is what {@link afterRequest} gave last, 0 at first. */
export const nextRequestAt = ({ toleranceMs }: RateLimit, due: number): number => due - toleranceMs;

/** What is to be kept after a request at `now`. */
export const afterRequest = ({ intervalMs }: RateLimit, due: number, now: number): number =>
  Math.max(due, now) + intervalMs;

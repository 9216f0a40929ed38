import { LRUCache } from 'lru-cache';

/** Lets so many through: `burst` at once, and from then on as many as come back in time. */
export interface Rate {
  readonly burst: number;
  readonly perMinute: number;
}

const MINUTE_MS = 60_000;

/**
 * The generic cell rate algorithm (ITU-T I.371) by key: each key has a theoretical arrival time, which every request that
 * passes moves on by its interval; one passes while that is at most a burst ahead. Memory is bounded: beyond `keys`
 * the longest idle key is forgotten, which only ever lets more through.
 */
export class Limiter {
  readonly #arrivals: LRUCache<string, { at: number }>;

  constructor(keys: number) {
    this.#arrivals = new LRUCache({ max: keys });
  }

  /** Takes one of the key's places; answers 0 where there was one, else the milliseconds until there is. */
  take(key: string, rate: Rate, now: number): number {
    const arrival = this.#arrivals.get(key);
    const at = Math.max(arrival?.at ?? now, now);
    const waitMs = waitOf(rate, at, now);
    if (waitMs > 0) return waitMs;
    const next = at + MINUTE_MS / rate.perMinute;
    if (arrival) arrival.at = next;
    else this.#arrivals.set(key, { at: next });
    return 0;
  }

  /** Milliseconds until the key has a place, 0 where it has one; takes none. */
  wait(key: string, rate: Rate, now: number): number {
    return waitOf(rate, Math.max(this.#arrivals.get(key)?.at ?? now, now), now);
  }
}

/** @param at when the key's next request is expected: now or later */
const waitOf = ({ burst, perMinute }: Rate, at: number, now: number): number => {
  const interval = MINUTE_MS / perMinute;
  const waitMs = at + interval - burst * interval - now;
  // A thousandth of a place: sums of intervals are not exact.
  return waitMs > interval / 1_000 ? waitMs : 0;
};

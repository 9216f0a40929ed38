import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';

const WINDOW_MS = 60_000;
const BLOCKED_MS = 300_000;
const MAX_REMEMBERED = 10_000;

/** Remembers which expressions of which holders cost a child: two within a minute block one for five. */
export class Strikes {
  readonly #now: () => number;
  readonly #known = new LRUCache<string, { readonly at: number; readonly blockedUntil: number }>({
    max: MAX_REMEMBERED,
  });

  constructor(now: () => number) {
    this.#now = now;
  }

  isBlocked(holder: string, expression: string): boolean {
    if (this.#known.size === 0) return false;
    const known = this.#known.get(keyOf(holder, expression));
    return known !== undefined && this.#now() < known.blockedUntil;
  }

  add(holder: string, expression: string): void {
    const key = keyOf(holder, expression);
    const now = this.#now();
    const last = this.#known.get(key)?.at ?? -Infinity;
    this.#known.set(key, { at: now, blockedUntil: now - last <= WINDOW_MS ? now + BLOCKED_MS : 0 });
  }
}

const keyOf = (holder: string, expression: string): string =>
  createHash('sha256').update(`${holder}\n${expression}`).digest('base64');

import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';

const WINDOW_MS = 60_000;
const BLOCKED_MS = 300_000;
const MAX_REMEMBERED = 10_000;

/** Remembers which expressions of which tenants cost a child: two within a minute block one for five. */
export class Strikes {
  readonly #now: () => number;
  readonly #known = new LRUCache<string, { readonly at: number; readonly blockedUntil: number }>({
    max: MAX_REMEMBERED,
  });

  constructor(now: () => number) {
    this.#now = now;
  }

  isBlocked(tenantId: string, expression: string): boolean {
    const known = this.#known.get(keyOf(tenantId, expression));
    return known !== undefined && this.#now() < known.blockedUntil;
  }

  add(tenantId: string, expression: string): void {
    const key = keyOf(tenantId, expression);
    const now = this.#now();
    const last = this.#known.get(key)?.at ?? -Infinity;
    this.#known.set(key, { at: now, blockedUntil: now - last <= WINDOW_MS ? now + BLOCKED_MS : 0 });
  }
}

const keyOf = (tenantId: string, expression: string): string =>
  createHash('sha256').update(`${tenantId}\n${expression}`).digest('base64');

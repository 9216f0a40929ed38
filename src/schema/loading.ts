import DataLoader from 'dataloader';
import type { Context } from './builder.ts';
import type { Loaders } from './loaders.ts';
import { topLevelError } from './topLevelErrors.ts';

type Load<Value> = (ids: readonly string[]) => Promise<ReadonlyMap<string, Value>>;

/**
 * Looks up what many objects of one page point at, in one statement; null for what isn't found. Batches and does not
 * cache: an operation may be a subscription that lives for days, and what it saw an hour ago is not what is true.
 */
export const loaderBy = <Value>(load: Load<Value>): DataLoader<string, Value | null> =>
  new DataLoader<string, Value | null>(
    async (ids) => {
      const found = await load([...new Set(ids)]);
      return ids.map((id) => found.get(id) ?? null);
    },
    { cache: false, maxBatchSize: 1_000 },
  );

/** Bytes, or characters, of what is large in one answer: pages nest, and documents repeat them. */
const MAX_SIZE = 67_108_864;

/**
 * What one operation reads of what is large, whatever it is: one statement after the other, and QUERY_TOO_COMPLEX once they
 * have brought too much for one answer.
 */
export class LargeReads {
  #size = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** Another answer begins: a subscription, which is one operation, has many, and no end to what all of them hold. */
  beginAnswer(): void {
    this.#size = 0;
  }

  /** @param atOnce so many are read by one statement, that one can't be far too much */
  loaderBy<Value>(
    load: Load<Value>,
    sizeOf: (value: Value) => number,
    atOnce: number,
  ): DataLoader<string, Value | null> {
    return loaderBy<Value>((ids) => {
      const reading = this.#last.then(async () => {
        const found = new Map<string, Value>();
        for (let from = 0; from < ids.length; from += atOnce) {
          if (this.#size > MAX_SIZE) {
            throw topLevelError(
              'QUERY_TOO_COMPLEX',
              'This is too large for one answer: ask for fewer, or for less of each.',
            );
          }
          for (const [id, value] of await load(ids.slice(from, from + atOnce))) {
            found.set(id, value);
            this.#size += sizeOf(value);
          }
        }
        return found;
      });
      this.#last = reading.catch(() => undefined); // whoever asked for those hears of it
      return reading;
    });
  }
}

/** Loaders beside those that every operation has: made by the first field of an operation that asks for one. */
export const loadersBeside = <Beside>(make: (context: Context) => Beside): ((context: Context) => Beside) => {
  const made = new WeakMap<Loaders, Beside>();
  return (context) => {
    const known = made.get(context.loaders);
    if (known) return known;
    const fresh = make(context);
    made.set(context.loaders, fresh);
    return fresh;
  };
};

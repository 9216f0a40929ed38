import DataLoader from 'dataloader';
import { topLevelError } from './topLevelErrors.ts';

/** Of what is large, in one operation: pages nest, and documents repeat them. */
const MAX_CHARACTERS = 33_554_432;
/** A query is over by then; a subscription, which is one operation too, may live for days. */
const WINDOW_MS = 60_000;
/** So much is read at once, that one batch can't be far too much. */
const AT_ONCE = 25;

/**
 * Makes loaders of what is large, for one operation: they read one batch after the other, and refuse to go on with
 * QUERY_TOO_COMPLEX once they have read too much between them within a minute. They batch and do not cache; what isn't found is null.
 */
export const largeLoaders = () => {
  let characters = 0;
  let since = performance.now();
  let lastRead: Promise<unknown> = Promise.resolve();
  return <Value>(
    load: (ids: readonly string[]) => Promise<ReadonlyMap<string, Value>>,
    sizeOf: (value: Value) => number,
  ): DataLoader<string, Value | null> => {
    const read = async (ids: readonly string[]): Promise<(Value | null)[]> => {
      if (performance.now() - since > WINDOW_MS) [since, characters] = [performance.now(), 0];
      if (characters > MAX_CHARACTERS) {
        throw topLevelError('QUERY_TOO_COMPLEX', 'These steps are too large for one answer: ask for fewer.');
      }
      const found = await load([...new Set(ids)]);
      for (const value of found.values()) characters += sizeOf(value);
      return ids.map((id) => found.get(id) ?? null);
    };
    return new DataLoader<string, Value | null>(
      (ids) => {
        const reading = lastRead.then(() => read(ids));
        lastRead = reading.catch(() => undefined); // whoever asked for those hears of it
        return reading;
      },
      { cache: false, maxBatchSize: AT_ONCE },
    );
  };
};

/**
 * An async generator that ends at once when the signal is aborted or `return()` is called, even while it waits: by itself
 * a generator that waits does not hear its `return()`. `follow` gets a signal of its own, and ends when that is aborted.
 */
export const endable = <T>(
  signal: AbortSignal,
  follow: (signal: AbortSignal) => AsyncGenerator<T, void, void>,
): AsyncGenerator<T, void, void> => {
  const ended = new AbortController();
  const end = (): void => ended.abort();
  const items = follow(ended.signal);
  if (signal.aborted) end();
  signal.addEventListener('abort', end, { once: true });
  const stop = (): void => {
    signal.removeEventListener('abort', end);
    end();
  };
  return {
    async next() {
      try {
        const step = await items.next();
        if (step.done) stop();
        return step;
      } catch (error) {
        stop();
        throw error;
      }
    },
    return(value) {
      stop();
      return items.return(value);
    },
    throw(error) {
      stop();
      return items.throw(error);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
    async [Symbol.asyncDispose]() {
      stop();
      await items.return();
    },
  };
};

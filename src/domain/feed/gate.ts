/** Lets a fixed number of tasks run at once; the others wait in order. */
export class Gate {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(places: number) {
    this.#free = places;
  }

  /** Runs `work` when there is a place; rejects with the signal's reason where it is aborted while waiting. */
  async run<T>(signal: AbortSignal | null, work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await this.#turn(signal);
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  #turn(signal: AbortSignal | null): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        signal?.removeEventListener('abort', give);
        resolve();
      };
      const give = (): void => {
        this.#waiting.delete(enter);
        reject(signal?.reason as Error);
      };
      if (signal?.aborted) give();
      else {
        signal?.addEventListener('abort', give, { once: true });
        this.#waiting.add(enter);
      }
    });
  }

  /** Hands the place over, so that nobody who comes later gets it first. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}

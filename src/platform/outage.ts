import { Client } from 'pg';

// Class 08 is a broken connection; 57P01 to 57P05 a server that stops, crashed or starts; 53300 one without room.
const OUTAGE_CODES =
  /^(?:08...|57P0[1-5]|53300|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ENOENT)$/;
const OUTAGE_MESSAGES =
  /connection terminated|timeout exceeded when trying to connect|client has encountered a connection error|server closed the connection/i;
const DEEPEST_CAUSE = 5;

/** Whether a database call failed because there is no database to be had, rather than because of what was asked. */
export const isDatabaseOutage = (error: unknown): boolean => {
  let current = error as { code?: unknown; syscall?: unknown; message?: unknown; cause?: unknown } | null | undefined;
  for (let depth = 0; depth < DEEPEST_CAUSE && typeof current === 'object' && current !== null; depth++) {
    if (typeof current.code === 'string' && OUTAGE_CODES.test(current.code)) return true;
    if (typeof current.message === 'string' && OUTAGE_MESSAGES.test(current.message)) return true;
    current = current.cause as typeof current;
  }
  return false;
};

const PROBE_MS = 800;

/**
 * Asks whether the database answers, on a connection of its own, so that a busy pool is not taken for an outage. Callers
 * who ask at the same time share an answer; it comes within two seconds.
 */
export const databaseProbe = (url: string): (() => Promise<boolean>) => {
  let running: Promise<boolean> | null = null;
  return () => (running ??= probe(url).finally(() => (running = null)));
};

const probe = async (url: string): Promise<boolean> => {
  const client = new Client({
    connectionString: url,
    application_name: 'hookgraph probe',
    connectionTimeoutMillis: PROBE_MS,
    query_timeout: PROBE_MS,
  });
  client.on('error', () => undefined); // the query or the connect below fails with it
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return false; // for whatever reason: that is the answer
  } finally {
    // Not awaited: a goodbye to a server that is gone may hang.
    client.end().catch(() => undefined);
  }
};

/** What still runs then asks whether the database does, and again as often. With the probe's 2 s that is within 5 s. */
const SUSPECT_AFTER_MS = 2_800;

interface Waiting {
  /** When it asks next; `performance.now`. */
  askAt: number;
  readonly reject: (error: Error) => void;
}

/** How long work that needs the database is waited for. One timer watches over all of it: one each costs more than it seems. */
export class Patience {
  readonly #isReachable: () => Promise<boolean>;
  /** Ordered by when they ask. */
  readonly #waiting = new Set<Waiting>();
  #isWatching = false;

  /** @param isReachable see {@link databaseProbe} */
  constructor(isReachable: () => Promise<boolean>) {
    this.#isReachable = isReachable;
  }

  /** Settles as `work` does; or, when that takes long because the database is away, rejects with what `isDatabaseOutage` knows. */
  unlessAway<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const one: Waiting = { askAt: performance.now() + SUSPECT_AFTER_MS, reject };
      this.#waiting.add(one);
      if (!this.#isWatching) this.#lookIn(SUSPECT_AFTER_MS);
      work.then(
        (value) => {
          this.#waiting.delete(one);
          resolve(value);
        },
        (error: unknown) => {
          this.#waiting.delete(one);
          reject(error);
        },
      );
    });
  }

  /** Those whose time came while it was asked share the answer. */
  async #look(): Promise<void> {
    const isSomebodyDue = this.#firstDueIn() <= 0;
    const isAway = isSomebodyDue && !(await this.#isReachable());
    const now = performance.now();
    for (const one of this.#waiting) {
      if (!isSomebodyDue || one.askAt > now) break;
      this.#waiting.delete(one);
      if (isAway) one.reject(Object.assign(new Error('the database does not answer'), { code: CONNECTION_FAILURE }));
      else this.#waiting.add(Object.assign(one, { askAt: now + SUSPECT_AFTER_MS }));
    }
    this.#isWatching = false;
    if (this.#waiting.size > 0) this.#lookIn(this.#firstDueIn());
  }

  /** Milliseconds. */
  #firstDueIn(): number {
    const [first] = this.#waiting;
    return first === undefined ? Infinity : first.askAt - performance.now();
  }

  #lookIn(ms: number): void {
    this.#isWatching = true;
    // Whoever waits keeps the process alive by other means.
    setTimeout(() => void this.#look(), Math.max(0, ms)).unref();
  }
}

/** `connection_failure`, as PostgreSQL calls it. */
const CONNECTION_FAILURE = '08006';

import type { PgBoss } from 'pg-boss';
import type { Database } from '../platform/database.ts';
import type { Logger } from '../platform/logs.ts';
import { BULK_QUEUE } from './boss.ts';

/**
 * Hands operations on many deliveries to workers: a job each, at most one queued or active. After the commit, never in it. A
 * call that gets lost, because this process died or the database is away, is made up for by the workers, who look for
 * operations that nobody works on.
 */
export class BulkQueue {
  readonly #boss: PgBoss;
  readonly #database: Database;
  readonly #log: Logger;
  #calling: Promise<void> = Promise.resolve();

  constructor(boss: PgBoss, database: Database, log: Logger) {
    this.#boss = boss;
    this.#database = database;
    this.#log = log;
  }

  /** Somebody is to work on this. Neither throws nor waits. */
  call(id: string): void {
    this.#calling = this.#calling
      .then(() => this.queue([id]))
      .catch((error: unknown) => this.#log.warn({ err: error, operation: id }, 'could not hand out an operation'));
  }

  /** Changes nothing for those that are queued or worked on. */
  async queue(ids: readonly string[]): Promise<void> {
    const queued = await this.#boss.insert(
      BULK_QUEUE,
      ids.map((id) => ({ singletonKey: id, data: { id } })),
      { returnId: true },
    );
    if (queued?.length) await this.#database.sql.query(`/*bulk_call*/ select pg_notify('hookgraph_bulk', '')`);
  }

  /** Resolves when what was called so far is queued. */
  async flush(): Promise<void> {
    await this.#calling;
  }
}

import type { EntityClass, EntityManager, EntitySchema } from '@mikro-orm/core';
import { Migrator } from '@mikro-orm/migrations';
import type { Migration } from '@mikro-orm/migrations';
import { MikroORM } from '@mikro-orm/postgresql';
import type { SqlEntityManager } from '@mikro-orm/postgresql';
import { CompiledQuery } from 'kysely';
import type { Kysely } from 'kysely';
import { Client } from 'pg';

/** What this installation's tables are: handed in by `mikro-orm.config.ts`, so that the platform knows no noun. */
export interface DatabaseSchema {
  readonly entities: (EntitySchema | EntityClass<object>)[];
  readonly migrations: (new (...args: ConstructorParameters<typeof Migration>) => Migration)[];
}

export interface DatabaseOptions {
  readonly url: string;
  /** Connections of this process's pool; LISTEN has one of its own beside it. */
  readonly poolSize: number;
  readonly schema: DatabaseSchema;
  readonly applicationName?: string;
}

/**
 * Runs SQL on the pool or inside a transaction; both look the same to a statement. A text that begins with a comment
 * of one word (`/*settle*\/ with …`) is prepared under that name, once per connection: a settle plans for
 * longer than it runs. `$1` placeholders; rows come as `pg` parses them (bigint and timestamptz as text: select
 * `epoch_ms(at)` where a number is wanted).
 */
export interface Sql {
  query<Row>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

export interface Database {
  readonly orm: MikroORM;
  /** On the pool, each statement its own transaction. */
  readonly sql: Sql;
  /** A unit of work of its own, for the control plane. */
  em(): SqlEntityManager;
  /**
   * Commits when `work` resolves and rolls back when it throws. Never hold one over a network call. `em` works on
   * entities in the same transaction; what it is to write has to be flushed by then.
   */
  transaction<T>(work: (sql: Sql, em: SqlEntityManager) => Promise<T>): Promise<T>;
  /**
   * Ends when statements and transactions that are under way have ended. Kysely forgets its pool at once: who was given a new
   * connection after that failed and never gave it back, and the pool waited for it for ever.
   */
  close(): Promise<void>;
}

/** The statements of one entity manager: inside `em.transactional` they join its transaction. */
export const sqlOf = (em: EntityManager): Sql => sqlOn((em as SqlEntityManager).getKysely());

const sqlOn = (kysely: Pick<Kysely<unknown>, 'executeQuery'>): Sql => ({
  query: async <Row>(text: string, values: readonly unknown[] = []) =>
    (await kysely.executeQuery<Row>(CompiledQuery.raw(text, [...values]))).rows,
});

const NAMED = /^\/\*([a-z_0-9]+)\*\//;

/** Prepares what carries a name; everything else goes through as it is. */
class NamingClient extends Client {
  // oxlint-disable-next-line typescript/no-explicit-any -- pg's own overloads, passed on untouched
  override query(...args: any[]): any {
    const [text, values, ...rest] = args;
    const name = typeof text === 'string' ? NAMED.exec(text)?.[1] : undefined;
    // oxlint-disable-next-line typescript/no-explicit-any, typescript/unbound-method -- applied to this below
    const query = super.query as (...all: any[]) => any;
    // A connection that was lost has rolled back; were it told as a failure, Kysely would never give the client back.
    if (text === 'rollback')
      return query.apply(this, args).catch(() => ({ command: 'ROLLBACK', rowCount: null, rows: [] }));
    return name === undefined ? query.apply(this, args) : query.call(this, { name, text, values }, ...rest);
  }
}

/**
 * Every connection plans for indexes: a statement that was planned while its table was empty would otherwise keep a
 * sequential scan while the table grows (2.5 → 90 ms a batch), and one planned while a webhook had little would sort what
 * it later has much of. The timeouts bound how late a row can become
 * visible after its time stamp, which the lanes' read cursors rely on.
 */
const SESSION = `
  set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = off; set enable_mergejoin = off;
  set enable_sort = off; set enable_incremental_sort = off;
  set jit = off; set plan_cache_mode = force_generic_plan; set timezone = 'UTC';
  set statement_timeout = '30s'; set idle_in_transaction_session_timeout = '30s'`;

/** Opens the pool; nothing is sent before the first statement. */
export const openDatabase = async ({ url, poolSize, schema, applicationName }: DatabaseOptions): Promise<Database> => {
  const orm = await MikroORM.init({
    clientUrl: url,
    entities: schema.entities,
    extensions: [Migrator],
    pool: { min: 0, max: poolSize },
    driverOptions: {
      Client: NamingClient,
      // The pool's own hook: where Kysely's or MikroORM's fails, the pool loses the client for ever.
      onConnect: (client: Client) => client.query(SESSION),
      application_name: applicationName ?? 'hookgraph',
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
    },
    // Would ask on a connection of its own at the first use of an entity: inside a transaction, with the pool taken by
    // others that do the same, that never ends.
    ensureDatabase: false,
    schemaGenerator: { ignoreSchema: ['pgboss'] },
    migrations: {
      migrationsList: schema.migrations.map((migration) => ({ name: migration.name, class: migration })),
      snapshot: false,
    },
    logger: () => undefined, // what matters is thrown
  });
  let underWay = 0;
  let whenIdle = (): void => undefined;
  const counted = async <T>(work: Promise<T>): Promise<T> => {
    underWay++;
    try {
      return await work;
    } finally {
      if (--underWay === 0) whenIdle();
    }
  };
  const sql = sqlOf(orm.em.fork());
  return {
    orm,
    sql: { query: (text, values) => counted(sql.query(text, values)) },
    em: () => orm.em.fork(),
    // Kysely's own, not the entity manager's, which loses a pooled client where BEGIN fails.
    transaction: (work) => {
      const em = orm.em.fork();
      return counted(
        em
          .getKysely()
          .transaction()
          .execute((trx) => {
            em.setTransactionContext(trx);
            return work(sqlOn(trx), em);
          }),
      );
    },
    close: async () => {
      if (underWay > 0) await new Promise<void>((resolve) => (whenIdle = resolve));
      await orm.close();
    },
  };
};

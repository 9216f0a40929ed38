import type { EntityClass, EntityManager, EntitySchema } from '@mikro-orm/core';
import { Migrator } from '@mikro-orm/migrations';
import type { Migration } from '@mikro-orm/migrations';
import { MikroORM } from '@mikro-orm/postgresql';
import type { SqlEntityManager } from '@mikro-orm/postgresql';
import { CompiledQuery } from 'kysely';
import type { Kysely } from 'kysely';
import { CONNECTIONS } from './statements.ts';
import type { Sql } from './statements.ts';

export type { Sql } from './statements.ts';

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

/** Opens the pool; nothing is sent before the first statement. */
export const openDatabase = async ({ url, poolSize, schema, applicationName }: DatabaseOptions): Promise<Database> => {
  const orm = await MikroORM.init({
    clientUrl: url,
    entities: schema.entities,
    extensions: [Migrator],
    pool: { min: 0, max: poolSize },
    driverOptions: {
      ...CONNECTIONS,
      application_name: applicationName ?? 'hookgraph',
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

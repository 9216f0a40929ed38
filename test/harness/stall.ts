import { Client } from 'pg';
import { runSql, selectSql } from './database.ts';
import { until } from './program.ts';

/** A statement that has seen what it goes by, and waits before it writes the first delivery. */
export interface Stalled<T> {
  readonly done: Promise<T>;
  /** Lets it go on, and waits for `done`. Once. */
  readonly release: () => Promise<void>;
}

/** Does what opens deliveries of this type, and stalls it at the first of them. One at a time in a database. */
export const stall = async <T>(databaseUrl: string, type: string, work: () => Promise<T>): Promise<Stalled<T>> => {
  await runSql(
    databaseUrl,
    `create or replace function stall() returns trigger language plpgsql as $$
       begin perform pg_advisory_xact_lock_shared(1); return new; end $$`,
  );
  await runSql(
    databaseUrl,
    `create trigger stall before insert on delivery_open for each row
       when (new.event_type = '${type}') execute function stall()`,
  );
  const holder = new Client({ connectionString: databaseUrl });
  await holder.connect();
  await holder.query(`select pg_advisory_lock(1)`);
  const done = work();
  const stalled = (): Promise<unknown[]> =>
    selectSql(
      databaseUrl,
      `select from pg_locks where locktype = 'advisory' and not granted
         and database = (select oid from pg_database where datname = current_database())`,
    );
  await until('it stalls', async () => (await stalled()).length > 0);
  return {
    done,
    release: async () => {
      await holder.end();
      await done;
      await runSql(databaseUrl, `drop trigger stall on delivery_open`);
    },
  };
};

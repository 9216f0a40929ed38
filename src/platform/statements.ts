import { Client, Pool } from 'pg';
import type { ClientBase } from 'pg';

/**
 * Runs SQL on the pool or inside a transaction; both look the same to a statement. A text that begins with a comment
 * of one word (`/*settle*\/ with …`) is prepared under that name, once per connection: a settle plans for
 * longer than it runs. `$1` placeholders; rows come as `pg` parses them (bigint and timestamptz as text: select
 * `epoch_ms(at)` where a number is wanted).
 */
export interface Sql {
  query<Row>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

export interface StatementsOptions {
  readonly url: string;
  readonly poolSize: number;
}

/** A pool for statements alone: no entities, no transactions. */
export interface Statements {
  readonly sql: Sql;
  /** Ends when statements that are under way have ended. */
  close(): Promise<void>;
}

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

/** How every pool makes its connections, whoever keeps it. */
export const CONNECTIONS = {
  Client: NamingClient,
  // The pool's own hook: where Kysely's or MikroORM's fails, the pool loses the client for ever.
  onConnect: (client: ClientBase) => client.query(SESSION),
  connectionTimeoutMillis: 5_000,
  keepAlive: true,
};

/** Opens a pool beside the database's own, for a thread that needs nothing else; nothing is sent before the first statement. */
export const openStatements = ({ url, poolSize }: StatementsOptions): Statements => {
  const pool = new Pool({ ...CONNECTIONS, connectionString: url, max: poolSize, application_name: 'hookgraph' });
  pool.on('error', () => undefined); // of a connection that nobody uses: the pool has dropped it
  return {
    sql: {
      query: async <Row>(text: string, values: readonly unknown[] = []) =>
        (await pool.query(text, [...values])).rows as Row[],
    },
    close: () => pool.end(),
  };
};

import { Client } from 'pg';
import { StartupError } from '../startupError.ts';
import { roleName, type ClusterPaths } from './cluster.ts';
import { parsePostmasterFile, type PostmasterFile } from './postmaster.ts';

/** Advisory locks belong to a database; keepers meet in this one, so that `hookgraph` can be copied and dropped. */
const meetingDatabase = 'postgres';
const keeperLock = 0x686f6f6b;

/** How an attempt to join a running server ended. */
export type Joined =
  | { kind: 'joined'; keeper: Client }
  /** It does not take connections now. */
  | { kind: 'not-yet' }
  /** The last hookgraph process shuts it down at this moment. */
  | { kind: 'stopping' }
  /** It serves other data than these. */
  | { kind: 'foreign' };

/** Connects to the server that wrote the file, proves that it serves these data, and says that it is in use. */
export async function join(file: PostmasterFile, password: string, paths: ClusterPaths): Promise<Joined> {
  if (file.port === 0) return { kind: 'not-yet' };
  const keeper = await connect(file.port, password, paths);
  if (keeper === null) return { kind: 'not-yet' };
  let kept = false;
  try {
    const { rows } = await keeper.query<{ file: string; locked: boolean }>(
      `select pg_read_file('postmaster.pid') as file, pg_try_advisory_lock_shared(${keeperLock}) as locked`,
    );
    if (parsePostmasterFile(rows[0]!.file)?.identity !== file.identity) return { kind: 'foreign' };
    if (!rows[0]!.locked) return { kind: 'stopping' };
    await createDatabase(keeper);
    kept = true;
    return { kind: 'joined', keeper };
  } catch (error) {
    if (isPassing(error)) return { kind: 'not-yet' };
    throw error;
  } finally {
    if (!kept) await disconnect(keeper);
  }
}

/**
 * Says that this process needs the server no more. True for the last one: as long as its keeper stays connected nobody
 * else joins, and it may shut the server down.
 */
export async function leave(keeper: Client): Promise<boolean> {
  const { rows } = await keeper.query<{ last: boolean | null }>(
    `select case when pg_advisory_unlock_shared(${keeperLock}) then pg_try_advisory_lock(${keeperLock}) end as last`,
  );
  return rows[0]?.last === true;
}

/** Closes a keeper. That the server cut the connection first is no failure. */
export async function disconnect(keeper: Client): Promise<void> {
  await keeper.end().catch(() => undefined);
}

/** What to tell where the data directory names a server that is not ours. */
export function foreign(file: PostmasterFile, paths: ClusterPaths): StartupError {
  return new StartupError(
    `Process ${file.pid}, named in ${paths.data}/postmaster.pid, is a PostgreSQL that does not answer as hookgraph's own: ` +
      'stop it, or remove that file if it serves other data.',
  );
}

/** Null where the server doesn't take connections yet, or any more. */
async function connect(port: number, password: string, paths: ClusterPaths): Promise<Client | null> {
  const client = new Client({
    host: '127.0.0.1',
    port,
    user: roleName,
    password,
    database: meetingDatabase,
    ssl: false,
    application_name: 'hookgraph keeper',
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
  });
  // What breaks the connection later is told by its end; unheard, it would end the process.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return client;
  } catch (error) {
    await disconnect(client);
    if (isPassing(error)) return null;
    if ((error as { code?: string }).code === '28P01') {
      throw new StartupError(
        `The embedded PostgreSQL does not accept the password in ${paths.password}: put back the one it was made with.`,
        { cause: error },
      );
    }
    throw error;
  }
}

/** Errors of a server that starts or stops: connecting again later may succeed. */
function isPassing(error: unknown): boolean {
  const { code, message } = error as { code?: string; message: string };
  if (code === undefined) return /terminated|timeout|ended/i.test(message);
  // 57P01 to 57P03: shutting down, crashed, starting up. 53300: connections are used up.
  return ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', '57P01', '57P02', '57P03', '53300'].includes(code);
}

async function createDatabase(client: Client): Promise<void> {
  const found = await client.query('select from pg_database where datname = $1', [roleName]);
  if (found.rowCount !== 0) return;
  try {
    await client.query(`create database ${roleName}`);
  } catch (error) {
    // Another process that started at the same time made it: 42P04, or 23505 where they met inside.
    if (!['42P04', '23505'].includes((error as { code?: string }).code ?? '')) throw error;
  }
}

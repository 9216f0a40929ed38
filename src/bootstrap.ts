import { Client } from 'pg';
import { schema } from '../mikro-orm.config.ts';
import type { Config } from './config.ts';
import { ensurePartitions } from './domain/retention/partitions.ts';
import { bootstrapTenant } from './domain/tenants/bootstrap.ts';
import type { Database } from './platform/database.ts';
import { loadOrCreateKeyFile, SecretBox, verifyCanary } from './platform/secrets.ts';
import { StartupError } from './platform/startupError.ts';

/** Held while migrations run and the first things are made, so that processes that start at once do it once. */
const BOOTSTRAP_LOCK = 4_017_000;
const OLDEST_SERVER = 15;
const CONNECT_MS = 5_000;

export interface Bootstrapped {
  readonly box: SecretBox;
  /** The first key, where it was generated just now. */
  readonly generatedKey: string | null;
}

/**
 * Brings the database to what this program needs: migrations, partitions, the canary of the secret key, the first
 * tenant and its key. Repeating changes nothing. Throws StartupError, a line each, for what the operator can mend.
 *
 * @param directUrl reaches PostgreSQL itself: the lock is a session's
 * @param keyFile where the secret key is kept if none is given
 */
export const bootstrap = async (
  database: Database,
  config: Config,
  directUrl: string,
  keyFile: string,
): Promise<Bootstrapped> => {
  const client = new Client({ connectionString: directUrl, connectionTimeoutMillis: CONNECT_MS });
  client.on('error', () => undefined); // whatever runs on it fails with it
  try {
    await client.connect();
  } catch (error) {
    throw new StartupError(
      `The database can't be reached: ${(error as Error).message || (error as { code?: string }).code}. Check DATABASE_URL, and that PostgreSQL runs.`,
      { cause: error },
    );
  }
  try {
    await checkServer(client, neededConnections(config));
    await client.query(`select pg_advisory_lock($1)`, [BOOTSTRAP_LOCK]);
    await migrate(database, client);
    await ensurePartitions(database, Date.now());
    const box = await openSecrets(database, config, keyFile);
    const { generatedKey } = await bootstrapTenant(database, config.tenantSlug, config.apiKey);
    return { box, generatedKey };
  } finally {
    await client.end();
  }
};

/** Connections of a role's pool; beside it each process has 3 for its lanes, 1 that listens and 1 for probes, which come and go. */
const POOL = { api: 10, worker: 8, receiver: 2 } as const;
const BESIDE_POOL = 5;
/** Of the thread that the role of a receiver adds. */
export const RECEPTION_POOL = 4;

export const poolSize = (config: Config): number => [...config.roles].reduce((sum, role) => sum + POOL[role], 0);

const neededConnections = (config: Config): number =>
  poolSize(config) + (config.roles.has('receiver') ? RECEPTION_POOL : 0) + BESIDE_POOL;

const checkServer = async (client: Client, needed: number): Promise<void> => {
  const { rows } = await client.query<{ version: string; number: number; most: number; reserved: number }>(
    `select current_setting('server_version') as version, current_setting('server_version_num')::int as number,
       current_setting('max_connections')::int as most,
       current_setting('superuser_reserved_connections')::int as reserved`,
  );
  const { version, number, most, reserved } = rows[0]!;
  if (number < OLDEST_SERVER * 10_000) {
    throw new StartupError(`The database is PostgreSQL ${version}: hookgraph needs ${OLDEST_SERVER} or newer.`);
  }
  if (most - reserved < needed) {
    throw new StartupError(
      `The database allows ${most - reserved} connections and this process needs ${needed}: raise max_connections, or give HOOKGRAPH_ROLES fewer roles.`,
    );
  }
};

const migrate = async (database: Database, client: Client): Promise<void> => {
  const known = new Set(schema.migrations.map((migration) => migration.name));
  const executed = await database.orm.migrator.getExecuted();
  const unknown = executed.find((migration) => !known.has(migration.name));
  if (unknown) {
    throw new StartupError(
      `The database was made by a newer hookgraph (it has ${unknown.name}): start that version, or restore the backup from before.`,
    );
  }
  if (executed.length === known.size) return;
  await database.orm.migrator.up();
  // Plans made without statistics would stay bad while the tables grow.
  await client.query('analyze');
};

const openSecrets = async (database: Database, config: Config, keyFile: string): Promise<SecretBox> => {
  const [installation] = await database.sql.query<{ canary: string | null }>(`select canary from installation`);
  const stored = installation?.canary ?? null;
  const box = new SecretBox(config.secretKey ?? (await loadOrCreateKeyFile(keyFile, stored === null)));
  const canary = verifyCanary(box, stored);
  if (canary !== stored) await database.sql.query(`update installation set canary = $1`, [canary]);
  return box;
};

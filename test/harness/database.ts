import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { schema } from '../../mikro-orm.config.ts';
import { ensurePartitions } from '../../src/domain/retention/partitions.ts';
import { openBoss } from '../../src/jobs/boss.ts';
import { openDatabase } from '../../src/platform/database.ts';
import { startEmbeddedPostgres } from '../../src/platform/embedded/index.ts';
import type { Logger } from '../../src/platform/logs.ts';

/** Where the tests, which run in other processes than the set-up, find the server and the template. */
const SERVER = 'DATABASE_URL';
const TEMPLATE = 'TEST_TEMPLATE_DATABASE';

/**
 * One PostgreSQL for the whole run, as vitest's global set-up: that of DATABASE_URL, or an embedded one in a directory
 * of its own. It keeps nothing, so it need not survive a power cut. It gets a template: a database with every table and
 * partition, pg-boss's too, and no tenant yet. At the end nothing of it is left.
 */
export const setup = async (): Promise<() => Promise<void>> => {
  const server = process.env[SERVER] ? null : await startServer();
  if (server) process.env[SERVER] = server.url;
  const template = `hookgraph_template_${randomUUID().replaceAll('-', '')}`;
  await administer(`create database ${template}`);
  await fill(urlOf(template));
  // Nobody connects to it any more, not even autovacuum: a database that is in use can't be copied.
  await administer(`alter database ${template} allow_connections false`);
  process.env[TEMPLATE] = template;
  return async () => {
    delete process.env[TEMPLATE];
    await administer(`drop database ${template} with (force)`);
    if (!server) return;
    delete process.env[SERVER];
    await server.stop();
  };
};

const startServer = async (): Promise<{ url: string; stop(): Promise<void> }> => {
  const dataDir = await mkdtemp(join(tmpdir(), 'hookgraph-test-'));
  const postgres = await startEmbeddedPostgres({
    dataDir,
    log: { info: () => undefined, warn: (line) => process.stderr.write(`${line}\n`) },
    settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '300' },
  });
  return {
    url: postgres.url,
    stop: async () => {
      await postgres.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
};

const fill = async (url: string): Promise<void> => {
  const database = await openDatabase({ url, poolSize: 2, schema });
  try {
    await database.orm.migrator.up();
    await ensurePartitions(database, Date.now());
    await database.sql.query('analyze');
  } finally {
    await database.close();
  }
  const log = { warn: (details: unknown) => process.stderr.write(`${JSON.stringify(details)}\n`), debug: () => {} };
  const boss = await openBoss({ url, poolSize: 1, supervise: false, log: log as unknown as Logger });
  await boss.stop({ graceful: false });
};

export interface TestDatabase {
  readonly url: string;
  /** Ends every connection that is left, and deletes it. */
  drop(): Promise<void>;
}

/** A database of one's own, as a program finds it on its second start, but without tenants. The caller drops it. */
export const createTestDatabase = (): Promise<TestDatabase> => createDatabase(`template ${process.env[TEMPLATE]!}`);

/** A database with nothing in it, as a program finds it on its first start. */
export const createEmptyDatabase = (): Promise<TestDatabase> => createDatabase('');

const createDatabase = async (how: string): Promise<TestDatabase> => {
  const name = `hookgraph_test_${randomUUID().replaceAll('-', '')}`;
  await administer(`create database ${name} ${how}`);
  return { url: urlOf(name), drop: () => administer(`drop database ${name} with (force)`) };
};

const urlOf = (name: string): string => {
  const url = new URL(process.env[SERVER]!);
  url.pathname = `/${name}`;
  return url.href;
};

const administer = (statement: string): Promise<void> => runSql(process.env[SERVER]!, statement);

/** Runs one statement on a connection of its own, and answers its rows. */
// oxlint-disable-next-line typescript/no-explicit-any -- rows are whatever the statement asks for
export const selectSql = async (url: string, statement: string, values: unknown[] = []): Promise<any[]> => {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(statement, values)).rows;
  } finally {
    await client.end();
  }
};

export const runSql = async (url: string, statement: string, values?: unknown[]): Promise<void> =>
  void (await selectSql(url, statement, values));

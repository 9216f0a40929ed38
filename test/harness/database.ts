import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../../src/platform/embedded/index.ts';

/**
 * One PostgreSQL for the whole run, as vitest's global set-up: that of DATABASE_URL, or an embedded one in a directory
 * of its own, which the tests then find in DATABASE_URL too. It keeps nothing, so it need not survive a power cut. Each
 * test file makes its own databases in it and drops them.
 */
export const setup = async (): Promise<() => Promise<void>> => {
  if (process.env['DATABASE_URL']) return async () => undefined;
  const dataDir = await mkdtemp(join(tmpdir(), 'hookgraph-test-'));
  const postgres = await startEmbeddedPostgres({
    dataDir,
    log: { info: () => undefined, warn: (line) => process.stderr.write(`${line}\n`) },
    settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '300' },
  });
  process.env['DATABASE_URL'] = postgres.url;
  return async () => {
    delete process.env['DATABASE_URL'];
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  };
};

import { execFile, fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { chmod, chown, mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../src/platform/embedded/index.ts';
import { StartupError } from '../src/platform/startupError.ts';

const isRoot = process.getuid?.() === 0;
/** Nothing here has to survive a power cut, and four clusters at once should leave room for others. */
const settings = { fsync: 'off', shared_buffers: '16MB', max_wal_size: '64MB', min_wal_size: '32MB' };

let lines: string[] = [];
const log = { info: (line: string) => void lines.push(line), warn: (line: string) => void lines.push(line) };

/** A directory that was prepared and stopped once: preparing takes seconds, and most tests are about what comes later. */
let prepared: string;
let folder: string;
/** Of this test: a copy of the prepared directory, and one that is not there yet. */
let data: string;
let fresh: string;
let started: EmbeddedPostgres[] = [];
let children: ChildProcess[] = [];

beforeAll(async () => {
  prepared = mkdtempSync(join(tmpdir(), 'hookgraph-embedded-'));
  const server = await startEmbeddedPostgres({ dataDir: prepared, log, settings });
  await server.stop();
});
afterAll(() => rmSync(prepared, { recursive: true }));

beforeEach(async () => {
  lines = [];
  folder = mkdtempSync(join(tmpdir(), 'hookgraph-embedded-'));
  data = join(folder, 'data');
  fresh = join(folder, 'fresh');
  await promisify(execFile)('cp', ['-pR', prepared, data]);
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  for (const server of started) await server.stop();
  const left = [await serverPid(data), await serverPid(fresh)].filter((pid) => pid !== null);
  for (const pid of left) process.kill(pid, 'SIGQUIT');
  started = [];
  children = [];
  // An initdb whose parent was killed may still be writing.
  rmSync(folder, { recursive: true, force: true, maxRetries: 20 });
  expect(left, 'servers that outlived the test').toEqual([]);
});

async function start(dataDir = data): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir, log, settings });
  started.push(server);
  return server;
}

/** Process number of the server of a data directory; null where none runs. */
async function serverPid(dataDir = data): Promise<number | null> {
  const text = await readFile(join(dataDir, 'postgres', 'data', 'postmaster.pid'), 'utf8').catch(() => '');
  const pid = Number(text.split('\n')[0]);
  return pid > 0 && isAlive(pid) ? pid : null;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new Client(url);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(10);
}

/** Another process of hookgraph, reduced to its embedded server. */
function forkElsewhere(dataDir = data): ChildProcess {
  const program = join(import.meta.dirname, 'harness', 'embeddedProcess.ts');
  const child = fork(program, [dataDir, JSON.stringify(settings)], { execArgv: [] });
  children.push(child);
  return child;
}

async function startElsewhere(dataDir = data): Promise<{ child: ChildProcess; url: string }> {
  const child = forkElsewhere(dataDir);
  const [message] = (await once(child, 'message')) as [{ url: string }];
  return { child, url: message.url };
}

/** The one line that it refuses to start with. */
async function refusal(dataDir = data): Promise<string> {
  const error = await start(dataDir).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(StartupError);
  const { lines } = error as StartupError;
  expect(lines).toHaveLength(1);
  expect(lines[0]).not.toContain('\n');
  return lines[0]!;
}

describe('an embedded PostgreSQL', () => {
  test('serves, stops, and has its data and address when it starts again', async () => {
    const first = await start(fresh);
    await query(first.url, 'create table kept (n int); insert into kept values (7)');
    await first.stop();
    expect(await serverPid(fresh)).toBeNull();
    await expect(query(first.url, 'select')).rejects.toThrow();

    const second = await start(fresh);
    expect(second.url).toBe(first.url);
    expect(await query(second.url, 'select n from kept')).toEqual([{ n: 7 }]);
    expect(lines.filter((line) => line.startsWith('Preparing'))).toHaveLength(1);
  });

  test('is durable, in UTF-8, on loopback, and opens to its password only', async () => {
    const { url } = await start();
    const [row] = await query(
      url,
      `select current_setting('synchronous_commit') as commit, current_setting('server_encoding') as encoding,
         current_setting('listen_addresses') as addresses, current_setting('jit') as jit,
         current_setting('data_checksums') as checksums, 'é' < 'z' as "byCodePoint", upper('é') as upper`,
    );
    expect(row).toEqual({
      commit: 'on',
      encoding: 'UTF8',
      addresses: '127.0.0.1',
      jit: 'off',
      checksums: 'on',
      byCodePoint: false,
      upper: 'É',
    });
    await expect(query(url.replace(/:[^:@]+@/, ':wrong@'), 'select')).rejects.toThrow(/password authentication failed/);
    const { mode } = await stat(join(data, 'postgres', 'password'));
    expect(mode & 0o777).toBe(0o600);
  });

  test('is in a session of its own, so that Ctrl-C does not reach it', async () => {
    await start();
    const pid = await serverPid();
    if (process.platform !== 'linux') return;
    const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]!.split(' ');
    expect(Number(fields[2]), 'process group').toBe(pid);
    expect(Number(fields[3]), 'session').toBe(pid);
  });

  test('sees nothing of the environment of hookgraph', async () => {
    process.env['HOOKGRAPH_TEST_SECRET'] = 'hunter2';
    try {
      await start();
      const environment = await readFile(`/proc/${await serverPid()}/environ`, 'utf8').catch(() => '');
      expect(environment).not.toContain('hunter2');
    } finally {
      delete process.env['HOOKGRAPH_TEST_SECRET'];
    }
  });

  test('takes another port when its own is taken', async () => {
    const blocker = createServer().listen(0, '127.0.0.1');
    await once(blocker, 'listening');
    const { port } = blocker.address() as AddressInfo;
    await writeFile(join(data, 'postgres', 'port'), String(port));
    const server = await start();
    expect(Number(new URL(server.url).port)).not.toBe(port);
    await query(server.url, 'select');
    blocker.close();
  });
});

describe('a server that outlived its hookgraph', () => {
  test('is joined after a kill -9 of its parent, with its data, and stopped', async () => {
    const { child, url } = await startElsewhere();
    await query(url, 'create table kept (n int); insert into kept values (7)');
    const pid = await serverPid();
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(isAlive(pid!)).toBe(true);

    const second = await start();
    expect(second.url).toBe(url);
    expect(await serverPid()).toBe(pid);
    expect(await query(second.url, 'select n from kept')).toEqual([{ n: 7 }]);
    await second.stop();
    expect(await serverPid()).toBeNull();
  });

  test('that was killed too is started again and recovers, though its number belongs to another process now', async () => {
    const { child, url } = await startElsewhere();
    await query(url, 'create table kept (n int); insert into kept values (7)');
    const pid = (await serverPid())!;
    child.kill('SIGKILL');
    process.kill(pid, 'SIGKILL');
    await until(() => !isAlive(pid));
    const path = join(data, 'postgres', 'data', 'postmaster.pid');
    // Of the server's own user: those of others PostgreSQL disregards by itself.
    const { uid, gid } = await stat(path);
    const other = spawn('cat', { cwd: '/', stdio: ['pipe', 'ignore', 'ignore'], ...(isRoot ? { uid, gid } : {}) });
    children.push(other);
    await writeFile(path, (await readFile(path, 'utf8')).replace(/^\d+/, String(other.pid)));
    const second = await start();
    expect(await query(second.url, 'select n from kept')).toEqual([{ n: 7 }]);
    expect(isAlive(other.pid!)).toBe(true);
  });
});

describe('several hookgraph processes on one data directory', () => {
  test('share one server, which the last one to stop stops', async () => {
    const first = await start();
    const pid = await serverPid();
    const { child, url } = await startElsewhere();
    expect(url).toBe(first.url);
    await first.stop();
    expect(await serverPid()).toBe(pid);
    await query(url, 'select');
    expect(lines.at(-1)).toMatch(/keeps running/);
    child.send('stop');
    await once(child, 'exit');
    expect(await serverPid()).toBeNull();
  });

  test('that start at once on an empty directory get the same server', async () => {
    const servers = await Promise.all([start(fresh), start(fresh), startElsewhere(fresh)]);
    expect(new Set(servers.map(({ url }) => url)).size).toBe(1);
    await query(servers[0].url, 'select');
    const { child } = servers[2];
    child.send('stop');
    await Promise.all([servers[0].stop(), servers[1].stop(), once(child, 'exit')]);
    expect(await serverPid(fresh)).toBeNull();
  });

  test('that start while another stops it are served all the same', async () => {
    const first = await start();
    const [second] = await Promise.all([start(), first.stop()]);
    await query(second.url, 'select');
  });
});

describe('a server that dies', () => {
  test('is started again at the same address while hookgraph runs', async () => {
    const server = await start();
    await query(server.url, 'create table kept (n int); insert into kept values (7)');
    const pid = (await serverPid())!;
    process.kill(pid, 'SIGKILL');
    await until(() => lines.includes('The embedded PostgreSQL is back.'));
    expect(await serverPid()).not.toBe(pid);
    expect(await query(server.url, 'select n from kept')).toEqual([{ n: 7 }]);
  });

  test('and is stopped at that moment leaves nothing behind', async () => {
    const server = await start();
    process.kill((await serverPid())!, 'SIGKILL');
    await server.stop();
  });

  test('in one of its processes only, and restarts by itself, is stopped all the same', async () => {
    const server = await start();
    const client = new Client(server.url);
    client.on('error', () => undefined);
    await client.connect();
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    process.kill(rows[0]!.pid, 'SIGKILL');
    await until(() => lines.some((line) => line.includes('broke')));
    await server.stop();
    expect(await serverPid()).toBeNull();
  });
});

describe('the data directory', () => {
  test('may exist, empty and with any mode', async () => {
    mkdirSync(join(fresh, 'postgres', 'data'), { recursive: true });
    chmodSync(join(fresh, 'postgres'), 0o500);
    chmodSync(fresh, 0o000);
    const { url } = await start(fresh);
    await query(url, 'select');
  });

  test('that was left half made by a kill -9 is made anew', async () => {
    const child = forkElsewhere(fresh);
    const drafts = async (): Promise<string[]> => {
      const names = await readdir(join(fresh, 'postgres')).catch(() => []);
      return names.filter((name) => name.startsWith('init-'));
    };
    await until(async () => (await drafts()).length > 0);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await drafts()).toHaveLength(1);
    const { url } = await start(fresh);
    await query(url, 'select');
  });

  test.runIf(isRoot)('may be root’s alone, below a directory that nobody else may enter', async () => {
    const closed = join(folder, 'closed');
    await mkdir(closed, { mode: 0o700 });
    await rename(data, join(closed, 'data'));
    const server = await start(join(closed, 'data'));
    await query(server.url, 'create table kept (n int)');
    await server.stop();
    expect((await stat(join(closed, 'data', 'postgres', 'data'))).uid).not.toBe(0);
    expect((await stat(closed)).mode & 0o777).toBe(0o700);
  });

  test.runIf(isRoot)('is mended when it was given to root, file by file, with another mode', async () => {
    const server = await start();
    await query(server.url, 'create table kept (n int)');
    await server.stop();
    const cluster = join(data, 'postgres', 'data');
    for (const path of [join(cluster, 'PG_VERSION'), join(cluster, 'base'), cluster]) await chown(path, 0, 0);
    await chmod(cluster, 0o755);
    const again = await start();
    await query(again.url, 'select from kept');
  });

  test('that is a file is refused in one line', async () => {
    await writeFile(fresh, '');
    expect(await refusal(fresh)).toMatch(/^HOOKGRAPH_DATA_DIR can't be used \(E/);
  });

  test('of another major version is refused in one line that tells both', async () => {
    await writeFile(join(data, 'postgres', 'data', 'PG_VERSION'), '17\n');
    expect(await refusal()).toMatch(/written by PostgreSQL 17, and this hookgraph brings 18: .*DATABASE_URL/);
  });

  test('with something else in it is refused and left alone', async () => {
    const cluster = join(fresh, 'postgres', 'data');
    await mkdir(cluster, { recursive: true });
    await writeFile(join(cluster, 'diary'), 'dear');
    expect(await refusal(fresh)).toMatch(/no PostgreSQL data: move it away/);
    expect(await readFile(join(cluster, 'diary'), 'utf8')).toBe('dear');
  });

  test('that is damaged is refused with the reason that PostgreSQL gives', async () => {
    await rename(join(data, 'postgres', 'data', 'global', 'pg_control'), join(folder, 'pg_control'));
    expect(await refusal()).toMatch(/did not start: .*could not (open|find).*pg_control.*server\.log/);
  });

  test('whose password file was lost is refused in one line', async () => {
    rmSync(join(data, 'postgres', 'password'));
    expect(await refusal()).toMatch(/^The password of the embedded PostgreSQL can't be read/);
  });
});

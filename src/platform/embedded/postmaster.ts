import { execFile, spawn } from 'node:child_process';
import { open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { StartupError } from '../startupError.ts';
import { isAlive, reach, serverEnvironment, type ClusterPaths, type ServerLog } from './cluster.ts';
import { identity, type ServerOwner } from './owner.ts';
import type { Programs } from './programs.ts';
import { serverSettings } from './settings.ts';

/** What a running server says about itself in `postmaster.pid`, which it removes when it ends properly. */
export interface PostmasterFile {
  readonly pid: number;
  /** 0 until it listens. */
  readonly port: number;
  readonly isReady: boolean;
  /** The lines that stay the same as long as this server lives: who has the same ones is this server. */
  readonly identity: string;
}

/** Reads the text of a `postmaster.pid`; null for one that is not written to its end yet. */
export function parsePostmasterFile(text: string): PostmasterFile | null {
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid < 1 || lines.length < 4) return null;
  return {
    pid,
    port: Number(lines[3]) || 0,
    isReady: lines[7]?.trim() === 'ready',
    identity: lines.slice(0, 4).join('\n'),
  };
}

export async function readPostmasterFile(paths: ClusterPaths): Promise<PostmasterFile | null> {
  try {
    return parsePostmasterFile(await readFile(join(paths.data, 'postmaster.pid'), 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** A server that was started by this process: `ended` resolves with the reason it gave, and never rejects. */
export interface LaunchedServer {
  readonly port: number;
  readonly ended: Promise<LaunchFailure>;
}

/** Why a server ended before it served. The first two are passing; the third is for the operator. */
export type LaunchFailure = { kind: 'locked' } | { kind: 'port-taken' } | { kind: 'failed'; reason: string };

const mostLogBytes = 4 * 1024 * 1024;

/**
 * Starts the server in a session of its own, so that Ctrl-C in the terminal, which reaches the whole process group, leaves
 * it to be stopped by us, last. It outlives this process.
 */
export async function launch(
  paths: ClusterPaths,
  programs: Programs,
  owner: ServerOwner | null,
  settings: Readonly<Record<string, string>>,
): Promise<LaunchedServer> {
  const port = await choosePort(paths);
  const logFrom = await rotateLog(paths.log);
  const reached = await reach(paths.data, owner);
  const log = await open(paths.log, 'a', 0o600);
  try {
    const all = { ...serverSettings, ...settings, port: String(port) };
    const args = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const child = spawn(programs.postgres, ['-D', reached.path, ...args], {
      ...identity(owner),
      cwd: '/',
      env: serverEnvironment(),
      detached: true,
      stdio: ['ignore', log.fd, log.fd, ...reached.descriptors],
    });
    child.unref();
    const ended = new Promise<string>((resolve) => {
      child.on('error', (error) => resolve(error.message));
      child.on('exit', (code, signal) => resolve(`it ended with ${signal ?? code}`));
    });
    return { port, ended: ended.then(async (how) => explain(await tail(paths.log, logFrom), how)) };
  } finally {
    await log.close();
    await reached.close();
  }
}

function explain(lines: readonly string[], how: string): LaunchFailure {
  if (lines.some((line) => line.includes('lock file "postmaster.pid" already exists'))) return { kind: 'locked' };
  if (lines.some((line) => /could not (bind|create any) .*(address|sockets)/i.test(line)))
    return { kind: 'port-taken' };
  const reasons = lines.filter((line) => /\b(FATAL|PANIC|ERROR|HINT):/.test(line));
  const said = reasons.length > 0 ? reasons : lines.slice(-3);
  return { kind: 'failed', reason: said.length > 0 ? said.slice(-4).join(' ') : how };
}

/** The port of the last time, so that an address once noted stays right, or a free one if it is taken. */
async function choosePort(paths: ClusterPaths): Promise<number> {
  const last = Number(await readFile(paths.port, 'utf8').catch(() => '0'));
  const wanted = Number.isInteger(last) && last > 1023 && last < 65_536 ? last : 0;
  const port = (await freePort(wanted)) ?? (await freePort(0));
  if (port === null) throw new StartupError('No port is free on 127.0.0.1 for the embedded PostgreSQL.');
  if (port !== last) await writeFile(paths.port, `${port}\n`, { mode: 0o600 });
  return port;
}

async function freePort(port: number): Promise<number | null> {
  const server = createServer();
  return await new Promise((resolve) => {
    server.on('error', () => resolve(null));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const found = (server.address() as AddressInfo).port;
      server.close(() => resolve(found));
    });
  });
}

/** Keeps the log and one before it; returns where this start's part begins. */
async function rotateLog(path: string): Promise<number> {
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  );
  if (size <= mostLogBytes) return size;
  await rename(path, `${path}.1`);
  return 0;
}

/** The last lines of the log from a place on, without their time and process number. */
export async function tail(path: string, from: number): Promise<string[]> {
  const text = await readFile(path);
  const lines = text
    .subarray(Math.max(from, text.length - 16_384))
    .toString('utf8')
    .trim()
    .split('\n');
  return lines.map((line) => line.replace(/^[\d-]+ [\d:.]+ \w+ \[\d+\] /, '').trim()).filter((line) => line !== '');
}

/**
 * Whether the process that wrote `postmaster.pid` still runs. Numbers are used again, most of all in containers, where a
 * restart hands out the same few: so it must be a postgres besides.
 */
export async function isRunning(file: PostmasterFile): Promise<boolean> {
  if (file.pid === process.pid || !isAlive(file.pid)) return false;
  const name = await programName(file.pid);
  return name === null || name.includes('postgres');
}

/** Null where the system doesn't tell. */
async function programName(pid: number): Promise<string | null> {
  if (process.platform === 'linux') {
    return await readFile(`/proc/${pid}/comm`, 'utf8').then(
      (text) => text.trim(),
      (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' || error.code === 'ESRCH' ? '' : null),
    );
  }
  return await promisify(execFile)('ps', ['-p', String(pid), '-o', 'comm=']).then(
    ({ stdout }) => stdout.trim(),
    () => null,
  );
}

/**
 * Removes the `postmaster.pid` of a server that was killed and whose number another process has now; PostgreSQL itself
 * would take that process for a server of its own. One that was written since is left alone.
 */
export async function removeStale(paths: ClusterPaths, stale: PostmasterFile): Promise<void> {
  const now = await readPostmasterFile(paths);
  if (now?.identity === stale.identity) await rm(join(paths.data, 'postmaster.pid'), { force: true });
}

const fastLimitMs = 20_000;
const immediateLimitMs = 10_000;

/**
 * Stops a server: SIGINT ends its connections and writes everything down, and where that takes too long SIGQUIT ends it
 * at once; it recovers when it starts again. Resolves when it is gone.
 */
export async function shutDown(paths: ClusterPaths, file: PostmasterFile, log: ServerLog): Promise<void> {
  if (await signalAndWait(paths, file, 'SIGINT', fastLimitMs)) return;
  log.warn(`The embedded PostgreSQL did not stop within ${fastLimitMs / 1000} s and is cut off; it will recover.`);
  if (await signalAndWait(paths, file, 'SIGQUIT', immediateLimitMs)) return;
  log.warn(`The embedded PostgreSQL (process ${file.pid}) did not end; its log is ${paths.log}.`);
}

async function signalAndWait(
  paths: ClusterPaths,
  file: PostmasterFile,
  signal: 'SIGINT' | 'SIGQUIT',
  limitMs: number,
): Promise<boolean> {
  const end = performance.now() + limitMs;
  try {
    process.kill(file.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return true;
    throw error;
  }
  while (performance.now() < end) {
    // An orphan that nobody reaps stays a process after its end, but has removed its file by then.
    const now = await readPostmasterFile(paths);
    if (now?.identity !== file.identity || !isAlive(file.pid)) return true;
    await delay(20);
  }
  return false;
}

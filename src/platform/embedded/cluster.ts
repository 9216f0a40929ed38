import { randomBytes } from 'node:crypto';
import { spawn } from 'node:child_process';
import {
  access,
  chmod,
  constants,
  lchown,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
  type FileHandle,
} from 'node:fs/promises';
import { join } from 'node:path';
import { createPrivateFile, readPrivateFile, syncDirectory } from '../privateFile.ts';
import { StartupError } from '../startupError.ts';
import { describeOwner, identity, ownerOf, type ServerOwner } from './owner.ts';
import type { Programs } from './programs.ts';

/** Progress and warnings of the embedded server; a pino logger is one, and so is the console. */
export interface ServerLog {
  info(line: string): void;
  warn(line: string): void;
}

/** The places of the embedded PostgreSQL under HOOKGRAPH_DATA_DIR. */
export class ClusterPaths {
  readonly dataDir: string;
  /** Everything of the embedded PostgreSQL is in here. */
  readonly root: string;
  /** What PostgreSQL itself calls its data directory. */
  readonly data: string;
  readonly password: string;
  readonly port: string;
  readonly log: string;

  constructor(dataDir: string) {
    this.dataDir = dataDir;
    this.root = join(dataDir, 'postgres');
    this.data = join(this.root, 'data');
    this.password = join(this.root, 'password');
    this.port = join(this.root, 'port');
    this.log = join(this.root, 'server.log');
  }
}

/** Name of the superuser and of the database of hookgraph on the embedded server. */
export const roleName = 'hookgraph';

/** Makes the directories; a mode that keeps their own owner out is mended. */
export async function makeDirectories(paths: ClusterPaths): Promise<void> {
  for (const path of [paths.dataDir, paths.root]) {
    try {
      await mkdir(path, { recursive: true, mode: 0o700 });
      const { mode, uid } = await stat(path);
      if (uid === process.getuid?.() && (mode & 0o700) !== 0o700) await chmod(path, (mode & 0o777) | 0o700);
      await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
    } catch (error) {
      throw new StartupError(
        `HOOKGRAPH_DATA_DIR can't be used (${(error as Error).message}): ` +
          `it must be a directory that ${describeOwner(null)} may write to.`,
        { cause: error },
      );
    }
  }
}

/**
 * Makes the cluster where there is none, mends what an existing one needs, and returns the password of its superuser.
 * Made in a directory of its own and renamed when it is whole: one that was killed half-way is cleared away and made
 * anew, and of processes that do it at once one wins.
 */
export async function prepareCluster(
  paths: ClusterPaths,
  programs: Programs,
  owner: ServerOwner | null,
  log: ServerLog,
): Promise<string> {
  await clearAbandoned(paths);
  if (await isInitialised(paths, programs)) {
    await mendOwnership(paths, owner);
  } else {
    log.info(`Preparing the embedded PostgreSQL ${programs.major} in ${paths.root}; this happens once.`);
    await createPrivateFile(paths.password, `${randomBytes(24).toString('base64url')}\n`);
    await initialise(paths, programs, owner);
  }
  try {
    return (await readPrivateFile(paths.password)).trim();
  } catch (error) {
    throw new StartupError(
      `The password of the embedded PostgreSQL can't be read (${(error as Error).message}): put the file back, ` +
        `or start hookgraph as the user who made ${paths.root}.`,
      { cause: error },
    );
  }
}

async function isInitialised(paths: ClusterPaths, programs: Programs): Promise<boolean> {
  let version: string;
  try {
    const { uid } = await stat(paths.data);
    const ours = process.getuid?.();
    if (ours !== 0 && ours !== uid) {
      throw new StartupError(
        `${paths.data} belongs to the user with id ${uid}, and hookgraph runs as the one with id ${ours}: ` +
          `start it as that user or as root, or give it the directory (chown -R ${ours} ${paths.dataDir}).`,
      );
    }
    if ((await readdir(paths.data)).length === 0) return false;
    version = (await readFile(join(paths.data, 'PG_VERSION'), 'utf8')).trim();
  } catch (error) {
    if (error instanceof StartupError) throw error;
    if ((error as NodeJS.ErrnoException).code === 'EACCES') {
      await chmod(paths.data, 0o700);
      return await isInitialised(paths, programs);
    }
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    if ((await ownerOf(paths.data)) === null) return false;
    throw new StartupError(`${paths.data} holds something that is no PostgreSQL data: move it away.`, { cause: error });
  }
  if (version === String(programs.major)) return true;
  throw new StartupError(
    `${paths.data} was written by PostgreSQL ${version}, and this hookgraph brings ${programs.major}: ` +
      'start the former hookgraph and move the data with pg_dump, or serve them with your own PostgreSQL by DATABASE_URL.',
  );
}

/** PostgreSQL demands that its directory is its user's own, and closed to others. */
async function mendOwnership(paths: ClusterPaths, owner: ServerOwner | null): Promise<void> {
  try {
    const { mode, uid } = await stat(paths.data);
    if (owner !== null && uid !== owner.uid) await giveTo(paths.data, owner);
    if (![0o700, 0o750].includes(mode & 0o7777)) await chmod(paths.data, 0o700);
  } catch (error) {
    throw new StartupError(
      `${paths.data} must belong to ${describeOwner(owner)} with mode 0700, and can't be mended ` +
        `(${(error as Error).message}).`,
      { cause: error },
    );
  }
}

/** The directory itself comes last: as long as it is the former owner's, an interrupted change is taken up again. */
async function giveTo(directory: string, owner: ServerOwner): Promise<void> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    await lchown(join(entry.parentPath, entry.name), owner.uid, owner.gid);
  }
  await lchown(directory, owner.uid, owner.gid);
}

async function initialise(paths: ClusterPaths, programs: Programs, owner: ServerOwner | null): Promise<void> {
  const draft = await mkdtemp(join(paths.root, `init-${process.pid}-`));
  try {
    const passwordFile = join(draft, 'password');
    await writeFile(passwordFile, await readFile(paths.password), { mode: 0o600 });
    if (owner !== null) await giveTo(draft, owner);
    await runInitdb(draft, programs, owner);
    await rename(join(draft, 'data'), paths.data);
    await syncDirectory(paths.root);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function runInitdb(draft: string, programs: Programs, owner: ServerOwner | null): Promise<void> {
  const reached = await reach(draft, owner);
  try {
    const args = [
      `--pgdata=${reached.path}/data`,
      `--pwfile=${reached.path}/password`,
      `--username=${roleName}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
    ];
    const output: string[] = [];
    const failure = await new Promise<string | null>((resolve) => {
      const child = spawn(programs.initdb, args, {
        ...identity(owner),
        cwd: '/',
        env: serverEnvironment(),
        stdio: ['ignore', 'ignore', 'pipe', ...reached.descriptors],
      });
      child.stderr!.setEncoding('utf8').on('data', (text: string) => output.push(text));
      child.on('error', (error) => resolve(error.message));
      child.on('close', (code, signal) => resolve(code === 0 ? null : `ended with ${signal ?? code}`));
    });
    if (failure === null) return;
    const said = output.join('').trim().split('\n').slice(-4).join(' ');
    throw new StartupError(`The embedded PostgreSQL could not be prepared in ${draft}: ${said || failure}.`);
  } finally {
    await reached.close();
  }
}

/** What initdb and postgres see of the environment: nothing of hookgraph's, and messages in English. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' };
}

/** A directory as a child that runs as the server's user can name it. */
export interface ReachedDirectory {
  readonly path: string;
  /** To be given to the child behind its three standard streams. */
  readonly descriptors: readonly number[];
  close(): Promise<void>;
}

/**
 * The server's user may not be allowed to pass the directories above (`/root`, mode 0700), and opening those would be more
 * than mending. On Linux the child gets the directory as an open descriptor instead, and reaches it by that.
 */
export async function reach(directory: string, owner: ServerOwner | null): Promise<ReachedDirectory> {
  if (owner === null || process.platform !== 'linux') {
    return { path: directory, descriptors: [], close: async () => {} };
  }
  const handle: FileHandle = await open(directory, 'r');
  return { path: '/proc/self/fd/3', descriptors: [handle.fd], close: async () => await handle.close() };
}

/**
 * What killed processes left half made. A number that another process has by now keeps its remains, which do no harm, and
 * so does an initdb that outlived its parent and still writes; both are looked at again at the next start.
 */
async function clearAbandoned(paths: ClusterPaths): Promise<void> {
  for (const name of await readdir(paths.root)) {
    const pid = /^init-(\d+)-/.exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    try {
      await rm(join(paths.root, name), { recursive: true, force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
    }
  }
}

/** Whether a process has this number, whoever it belongs to. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { StartupError } from '../startupError.ts';

/** The unprivileged user that the server runs as where hookgraph itself is root, which PostgreSQL refuses. */
export interface ServerOwner {
  readonly uid: number;
  readonly gid: number;
  readonly name: string;
}

const run = promisify(execFile);

/** In this order: made for it on Linux, on macOS, and one that exists everywhere. */
const candidates = ['postgres', '_postgres', 'nobody'];

/**
 * Who runs the server: null, this process's own user, unless it is root. Data that exist already keep their owner, so
 * that root and that user may start hookgraph in turns.
 */
export async function findServerOwner(clusterDirectory: string): Promise<ServerOwner | null> {
  if (process.getuid?.() !== 0) return null;
  const existing = await ownerOf(clusterDirectory);
  if (existing !== null && existing.uid !== 0) return { ...existing, name: `with id ${existing.uid}` };
  for (const name of candidates) {
    const uid = await numericId('-u', name);
    const gid = await numericId('-g', name);
    if (uid !== null && gid !== null && uid !== 0) return { uid, gid, name };
  }
  throw new StartupError(
    `PostgreSQL refuses to run as root, and none of the users ${candidates.join(', ')} exists: ` +
      'start hookgraph as another user, or give DATABASE_URL.',
  );
}

/** Owner of a file or directory; null where there is none. */
export async function ownerOf(path: string): Promise<{ uid: number; gid: number } | null> {
  try {
    const { uid, gid } = await stat(path);
    return { uid, gid };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** The options of a child process that runs as the owner. */
export function identity(owner: ServerOwner | null): { uid: number; gid: number } | Record<string, never> {
  return owner === null ? {} : { uid: owner.uid, gid: owner.gid };
}

export function describeOwner(owner: ServerOwner | null): string {
  return owner === null ? `the user with id ${process.getuid?.()}` : `the user ${owner.name}`;
}

async function numericId(option: '-u' | '-g', name: string): Promise<number | null> {
  try {
    const { stdout } = await run('id', [option, name], { timeout: 10_000 });
    const id = Number(stdout.trim());
    return Number.isInteger(id) ? id : null;
  } catch (error) {
    // `id` exits with 1 for a name that nobody has; without `id` itself there is nothing to look names up with.
    if (typeof (error as { code?: unknown }).code === 'number' || (error as NodeJS.ErrnoException).code === 'ENOENT') {
      return null;
    }
    throw error;
  }
}

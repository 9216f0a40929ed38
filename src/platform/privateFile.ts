import { link, mkdtemp, open, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Text of a file that is nobody else's to read; a looser mode (of a restored backup) is tightened first. */
export async function readPrivateFile(path: string): Promise<string> {
  const { mode } = await stat(path);
  if ((mode & 0o077) !== 0) {
    const file = await open(path, 'r');
    try {
      await file.chmod(0o600);
    } finally {
      await file.close();
    }
  }
  return await readFile(path, 'utf8');
}

/**
 * Makes a file of mode 0600 that is whole and on disk as soon as it has its name. Whoever else made it first wins, and
 * nothing is overwritten: read it afterwards to know what it holds.
 */
export async function createPrivateFile(path: string, text: string): Promise<void> {
  const folder = await mkdtemp(join(dirname(path), '.new-'));
  const draft = join(folder, 'draft');
  try {
    const file = await open(draft, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    // A link, unlike a rename, fails where the name exists.
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  await syncDirectory(dirname(path));
}

/** Makes names that were added to or removed from a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

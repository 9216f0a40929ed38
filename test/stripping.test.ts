import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '..');
const ENTRIES = new Set([
  'main.ts',
  join('platform', 'sandbox', 'child.ts'),
  join('platform', 'outbound', 'senderThread.ts'),
  join('receivers', 'receptionThread.ts'),
]);

it('every file of the program loads in Node as it is, without a build and without a warning', async () => {
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    // These would start; the tests of processes, of the sandbox and of both threads run them.
    .filter((name) => !ENTRIES.has(name))
    .map((name) => pathToFileURL(join(ROOT, 'src', name)).href);
  expect(files.length).toBeGreaterThan(80);
  // An import without its type, of what is gone after stripping, fails here and nowhere else: test runners bundle.
  const script = `for (const file of ${JSON.stringify(files)}) await import(file); console.log('all'); process.exit(0)`;
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    cwd: ROOT,
    env: { PATH: process.env['PATH'] },
    timeout: 20_000,
  });
  expect({ stdout, stderr }).toEqual({ stdout: 'all\n', stderr: '' });
});

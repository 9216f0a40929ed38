import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const SOURCE = resolve(import.meta.dirname, '../src');

/** What each room may use besides itself. */
const MAY_USE: Readonly<Record<string, readonly string[]>> = {
  platform: [],
  domain: ['platform'],
  schema: ['domain', 'platform'],
  jobs: ['domain', 'platform'],
  receivers: ['domain', 'platform'],
};
/** They wire, and may use everything. */
const WIRING = new Set(['main.ts', 'program.ts', 'bootstrap.ts', 'roles']);

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));

/** The files of src that a file imports, as paths below src; others (packages, mikro-orm.config.ts) are left out. */
const importsOf = (file: string, without = /$^/gm): string[] =>
  [
    ...readFileSync(join(SOURCE, file), 'utf8')
      .replaceAll(without, '')
      .matchAll(/from '(\.[^']+)'|import '(\.[^']+)'|import\('(\.[^']+)'\)/g),
  ]
    .map((match) => relative(SOURCE, resolve(SOURCE, dirname(file), (match[1] ?? match[2] ?? match[3])!)))
    .filter((path) => !path.startsWith('..'));

const roomOf = (path: string): string => path.split('/')[0]!;

describe('the house', () => {
  it('has no file that uses a room it may not use', () => {
    expect(files.length).toBeGreaterThan(80);
    const wrong = files
      .filter((file) => !WIRING.has(roomOf(file)))
      .flatMap((file) =>
        importsOf(file)
          .filter((path) => {
            const room = roomOf(file);
            const used = roomOf(path);
            const allowed = room === 'config.ts' ? ['platform'] : (MAY_USE[room] ?? []);
            return used !== room && !allowed.includes(used);
          })
          .map((path) => `${file} imports ${path}`),
      );
    expect(wrong).toEqual([]);
  });

  it('has no pg-boss, GraphQL or HTTP server in the domain', () => {
    const wrong = files
      .filter((file) => roomOf(file) === 'domain')
      .filter((file) =>
        /from '(pg-boss|graphql|graphql-yoga|@pothos\/|node:http|ws)/.test(readFileSync(join(SOURCE, file), 'utf8')),
      );
    expect(wrong).toEqual([]);
  });

  it('has no circle of files that need one another to run', () => {
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' → '));
      else if (!done.has(file)) {
        for (const next of importsOf(file, /^import type .*$/gm)) visit(next, [...path, file]);
        done.add(file);
      }
    };
    for (const file of files) visit(file, []);
    expect(circles).toEqual([]);
  });
});

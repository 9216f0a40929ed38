import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { describeVariables } from '../src/config.ts';

it('the README tells every variable as the program knows it', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const rows = [...readme.matchAll(/^\| `([A-Z_]+)`\s*\|\s*(.*?)\s*\|\s*(.*?)\s*\|$/gm)].map(
    ([, name, fallback, meaning]) => ({
      name,
      fallback,
      meaning,
    }),
  );
  expect(rows).toEqual(describeVariables().map(({ name, fallback, meaning }) => ({ name, fallback, meaning })));
});

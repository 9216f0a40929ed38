import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { JSON_STRING, linesOf, readLines } from '../src/platform/lines.ts';
import { useDatabase } from './harness/ownDatabase.ts';

const FIELDS = { id: 'uuid', number: 'double precision', is: 'boolean', given: JSON_STRING, json: 'text' } as const;

const own = useDatabase(1);

const read = <Row>(lines: string): Promise<Row[]> => own.database.sql.query<Row>(readLines(FIELDS, '$1'), [lines]);

/** All that PostgreSQL takes for text, and often what rows and fields are told apart by. */
const text = fc
  .array(fc.oneof(fc.constantFrom('~', '\x1e', '\x1f', '\\', '"', '{}', ''), fc.string({ unit: 'binary' })))
  .map((parts) => parts.join('').replaceAll('\0', '').toWellFormed());

it('rows come out as they went in, whatever somebody wrote, in their order', async () => {
  const row = fc.record({
    id: fc.uuid(),
    number: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })),
    is: fc.option(fc.boolean()),
    given: fc.option(text),
    json: fc.option(fc.dictionary(text, text)),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(row, { maxLength: 5 }), async (rows) => {
      const spelt = rows.map((one) => ({
        ...one,
        given: one.given === null ? null : JSON.stringify(one.given),
        json: one.json === null ? undefined : JSON.stringify(one.json),
      }));
      const found = await read(linesOf(FIELDS, spelt));
      expect(found).toEqual(
        rows.map((one) => ({
          ...one,
          number: one.number === null ? null : one.number + 0,
          json: one.json && JSON.stringify(one.json),
        })),
      );
    }),
  );
});

it('no rows are an empty text, and an empty text is no rows', async () => {
  expect(linesOf(FIELDS, [])).toBe('');
  expect(await read('')).toEqual([]);
});

import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { momentText } from '../src/schema/momentText.ts';

const DAY_MS = 86_400_000;

it('is what toISOString says, of any moment', () => {
  const written = fc.date({ min: new Date('0990-01-01'), max: new Date('+010010-01-01'), noInvalidDate: true });
  fc.assert(
    fc.property(fc.oneof(written, fc.date({ noInvalidDate: true })), (moment) => {
      expect(momentText(moment)).toBe(moment.toISOString());
    }),
    { numRuns: 2_000 },
  );
  expect(() => momentText(new Date(Number.NaN))).toThrow(RangeError);
});

it('knows the first and the last moment of every day in 400 years', () => {
  const wrong: string[] = [];
  for (let at = Date.UTC(1900, 0); at < Date.UTC(2300, 0); at += DAY_MS) {
    for (const moment of [new Date(at), new Date(at + DAY_MS - 1)]) {
      if (momentText(moment) !== moment.toISOString()) wrong.push(moment.toISOString());
    }
  }
  expect(wrong).toEqual([]);
});

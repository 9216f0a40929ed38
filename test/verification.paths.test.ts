import * as fc from 'fast-check';
import jsonata from 'jsonata';
import { expect, it } from 'vitest';
import { parseBody } from '../src/domain/inbound/verification/body.ts';
import { NOT_PLAIN, parsePath, readOnly, readPath, textAt } from '../src/domain/inbound/verification/path.ts';

const NAMES = ['a', 'b', 'event-data', 'type', 'in', '__proto__', 'length', '0'];

const value = fc.letrec((tie) => ({
  node: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom<unknown>('text', '', 0, 1.5, true, false, null),
    fc.array(tie('node'), { maxLength: 3 }),
    fc
      .array(fc.tuple(fc.constantFrom(...NAMES), tie('node')), { maxLength: 4 })
      // As JSON.parse makes them, with __proto__ as an own field.
      .map(
        (entries) =>
          JSON.parse(`{${entries.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join(',')}}`) as unknown,
      ),
  ),
})).node;

const step = fc.oneof(
  fc.constantFrom('a', 'b', 'type', '`event-data`', '`in`', '`0`', 'length'),
  fc.constantFrom('a[0]', 'b[1]', '`event-data`[2]', 'a[0][0]'),
);
const path = fc
  .tuple(fc.constantFrom('', '$', '$[0]', '$[1]'), fc.array(step, { maxLength: 4 }))
  .map(([root, steps]) => [root, ...steps].filter((part) => part !== '').join('.'))
  .filter((text) => text !== '');

it('a plain path reads what JSONata reads, or says that it cannot', async () => {
  let read = 0;
  await fc.assert(
    fc.asyncProperty(path, value, async (text, input) => {
      const steps = parsePath(text);
      expect(steps, text).not.toBeNull();
      const found = readPath(steps!, input);
      if (found === NOT_PLAIN) return;
      const theirs: unknown = await jsonata(text).evaluate(input);
      expect(JSON.stringify(found) ?? 'nothing').toBe(JSON.stringify(theirs) ?? 'nothing');
      if (found !== undefined) read += 1;
    }),
    { numRuns: 3_000 },
  );
  expect(read).toBeGreaterThan(300);
});

it('what is no plain path is none', () => {
  const none = [
    '',
    '.',
    'a.',
    '.a',
    'a..b',
    'a b',
    'a+b',
    '$sum(a)',
    '$$',
    '$a',
    'a[-1]',
    'a[0',
    'a["b"]',
    'a[b=1]',
    'a.*',
    '**.a',
  ];
  for (const text of [
    ...none,
    '`',
    '``',
    '`a',
    'true',
    'a.null',
    'and',
    '"text"',
    'a;b',
    'a\n.b',
    'a'.repeat(257),
    '$.'.concat('a.'.repeat(20), 'a'),
  ]) {
    expect(parsePath(text), text).toBeNull();
  }
  fc.assert(fc.property(fc.string(), (text) => parsePath(text) === null || parsePath(text)!.length <= 16));
});

it('the only value is the one of every array on the way, and there is none beside several', () => {
  const only = (text: string, input: unknown) => readOnly(parsePath(text)!, input);
  expect(only('a.b', { a: { b: 1 } })).toBe(1);
  expect(only('a.b', { a: [{ b: 1 }] })).toBe(1);
  expect(only('a.b', [{ a: [{ b: 1 }] }])).toBe(1);
  expect(only('a.b', { a: [{}] })).toBeUndefined();
  expect(only('a.b', {})).toBeUndefined();
  for (const input of [
    { a: [] },
    { a: [{ b: 1 }, { b: 1 }] },
    { a: [{ b: 1 }, {}] },
    { a: [{ b: 1 }, null] },
    [],
    [[{ a: { b: 1 } }]],
  ]) {
    expect(only('a.b', input), JSON.stringify(input)).toBe(NOT_PLAIN);
  }
  expect(textAt(parsePath('a')!, { a: 1.5 })).toBe('1.5');
  expect(textAt(parsePath('a')!, { a: {} })).toBeNull();
  for (const inherited of ['__proto__.a', 'constructor.name', 'toString.name', 'a.length']) {
    expect(textAt(parsePath(inherited)!, { a: 'text' }), inherited).toBeNull();
  }
});

it('a body is JSON unless it says that it is a form, whose payload may be JSON', () => {
  const form = 'application/x-www-form-urlencoded; charset=utf-8';
  const parse = (text: string, type: string | null = null) => parseBody(type, Buffer.from(text));
  expect(parse('')).toEqual({ ok: true, value: null });
  expect(parse(' \n')).toEqual({ ok: true, value: null });
  expect(parse('\uFEFF{"a":1}', 'text/plain')).toEqual({ ok: true, value: { a: 1 } });
  expect(parse('{"a":', 'application/json')).toEqual({ ok: false });
  expect(parse('a=1&b=%2B+2&a=3&c', form)).toEqual({ ok: true, value: { a: ['1', '3'], b: '+ 2', c: '' } });
  const payload = encodeURIComponent('{"type":"block_actions"}');
  expect(parse(`payload=${payload}&x=1`, form)).toEqual({
    ok: true,
    value: { payload: { type: 'block_actions' }, x: '1' },
  });
  expect(parse(`data=${payload}`, form)).toEqual({ ok: true, value: { data: '{"type":"block_actions"}' } });
  expect(parse('payload=7', form)).toEqual({ ok: true, value: { payload: '7' } });
  expect(parse('a=1', 'application/x-www-form-urlencodedx')).toEqual({ ok: false });
  expect(parse('a&'.repeat(2_000), form)).toEqual({ ok: false });
  fc.assert(
    fc.property(fc.uint8Array(), fc.constantFrom(null, form, 'text/plain'), (bytes, type) => {
      expect(typeof parseBody(type, Buffer.from(bytes)).ok).toBe('boolean');
    }),
  );
});

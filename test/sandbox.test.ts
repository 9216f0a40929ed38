import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import * as fc from 'fast-check';
import jsonata from 'jsonata';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMetrics } from '../src/platform/metrics.ts';
import { createSandbox } from '../src/platform/sandbox/sandbox.ts';
import type { Evaluation, Sandbox } from '../src/platform/sandbox/sandbox.ts';
import { parseSimplePath } from '../src/platform/sandbox/simplePath.ts';
import { until } from './harness/program.ts';

const log = pino({ level: 'silent' });
const TENANT = 'one';
const make = (options: Partial<Parameters<typeof createSandbox>[0]> = {}): Sandbox =>
  createSandbox({ log, metrics: createMetrics(), ...options });

/** Backtracks for longer than anybody waits. */
const CATASTROPHE = `$contains("${'a'.repeat(40)}!", /^(a+)+$/)`;
const ENDLESS = '($loop := function($n) { $loop($n + 1) }; $loop(0))';

const values = (results: readonly Evaluation[]): unknown[] => results.map((one) => (one.ok ? one.value : one.code));

/** Children of this process, whoever started them. */
const childrenOf = (pid: number): number[] =>
  execFileSync('ps', ['-eo', 'pid=,ppid=,args='], { encoding: 'utf8' })
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line))
    .filter((row) => row !== null && Number(row[2]) === pid && row[3]!.includes('sandbox/child.ts'))
    .map((row) => Number(row![1]));

const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

describe('a sandbox', () => {
  let sandbox: Sandbox;
  const one = async (expression: string, input: unknown = {}): Promise<Evaluation> =>
    (await sandbox.evaluateAll(TENANT, [expression], JSON.stringify(input)))[0]!;

  beforeAll(() => {
    sandbox = make();
  });
  afterAll(() => sandbox.close());

  it('evaluates several expressions on one input, in their order', async () => {
    const input = JSON.stringify({ a: 1, items: [{ n: 1 }, { n: 2 }], s: 'x' });
    const results = await sandbox.evaluateAll(
      TENANT,
      ['a + 1', '$sum(items.n)', 'nothing', 's & "y"', "'text'"],
      input,
    );
    expect(values(results)).toEqual([2, 3, undefined, 'xy', 'text']);
  });

  it('evaluates one expression on several inputs, in their order', async () => {
    const inputs = [1, 2, 3].map((n) => JSON.stringify({ n }));
    expect(values(await sandbox.evaluateMany(TENANT, 'n * 10', inputs))).toEqual([10, 20, 30]);
    expect(values(await sandbox.evaluateMany(TENANT, 'n', inputs))).toEqual([1, 2, 3]);
  });

  it('says whether a result counts as true, as $boolean does', async () => {
    for (const expression of [
      '1 - 1',
      '[] ~> $append([])',
      '{}',
      '""&""',
      '[0, 0]',
      '[[0], 1]',
      '{"a": 0}',
      '$sum',
      'none',
      'null',
      '[{}]',
    ]) {
      const [it, asked] = await sandbox.evaluateAll(TENANT, [`(${expression})`, `$boolean(${expression})`], '{}');
      expect(it, expression).toMatchObject({ ok: true });
      expect(it?.ok && it.truthy, expression).toBe(asked?.ok && asked.value === true);
    }
  });

  it('names what is wrong with an expression and where', async () => {
    expect(await sandbox.check(TENANT, 'a + b')).toBeNull();
    expect(await sandbox.check(TENANT, 'a + ')).toMatchObject({
      message: expect.stringMatching(/end of expression/),
      position: 4,
    });
    expect(await sandbox.check(TENANT, 'a b')).toMatchObject({ position: 3 });
    expect(await sandbox.check(TENANT, `${'a+'.repeat(3_000)}a`)).toMatchObject({
      message: expect.stringMatching(/4096/),
    });
    expect(await one('$error("no luck")')).toMatchObject({
      ok: false,
      code: 'FAILED',
      message: expect.stringMatching(/no luck/),
    });
    expect(await one('a.b + 1', { a: { b: 'x' } })).toMatchObject({
      ok: false,
      code: 'FAILED',
      position: expect.any(Number),
    });
    expect(values(await sandbox.evaluateAll(TENANT, ['a + 1', 'a'], '{not json'))).toEqual(['FAILED', 'FAILED']);
  });

  it('loses the result of a catastrophic regular expression, and of nothing else', async () => {
    const results = await sandbox.evaluateAll('regex', ['1 + 1', CATASTROPHE, '2 + 2'], '{}');
    expect(values(results)).toEqual([2, 'TIMEOUT', 4]);
  });

  it('ends endless recursion and endless loops', async () => {
    expect(await one(ENDLESS)).toMatchObject({ code: 'TIMEOUT' });
    expect(await one('($f := function($n) { 1 + $f($n + 1) }; $f(0))')).toMatchObject({ ok: false });
    const within = [`$eval("${ENDLESS}")`, `$eval('$eval("${ENDLESS}")')`];
    expect(values(await sandbox.evaluateAll(TENANT, within, '{}', 'eval'))).toEqual(['TIMEOUT', 'TIMEOUT']);
    expect(values(await sandbox.evaluateAll(TENANT, within, '{}', 'eval'))).toEqual(['TIMEOUT', 'TIMEOUT']);
    expect(values(await sandbox.evaluateAll(TENANT, within, '{}', 'eval'))).toEqual(['BLOCKED', 'BLOCKED']);
    expect(await one('1 + 1')).toMatchObject({ ok: true, value: 2 });
  });

  it('survives what eats memory', async () => {
    for (const bomb of [
      '($double := function($s, $n) { $n = 0 ? $s : $double($s & $s, $n - 1) }; $length($double("x", 40)))',
      '$replace($pad("", 200000, "a"), "a", $pad("", 20000, "b"))',
      '($grow := function($a) { $grow($append($a, $a)) }; $grow([1..1000]))',
      '[1..9999999].{"a": $, "b": [$]}',
      '$length($pad("", 500000000, "é"))',
    ]) {
      const [failed, after] = await sandbox.evaluateAll(`bomb ${bomb}`, [bomb, '1 + 1'], '{}');
      expect(failed, bomb).toMatchObject({ ok: false, code: expect.stringMatching(/MEMORY|TIMEOUT|FAILED|TOO_LARGE/) });
      expect(after, bomb).toMatchObject({ ok: true, value: 2 });
    }
  });

  it('refuses results larger than 1 MiB, small structures that unfold to more included', async () => {
    const half = { s: 'x'.repeat(600_000) };
    expect(await one('s & s', half)).toMatchObject({ code: 'TOO_LARGE' });
    expect(await one('s & s = s', half)).toMatchObject({ value: false });
    const numbers = Array.from({ length: 200_000 }, () => 1);
    expect((await one('{"n": n}', { n: numbers })).ok).toBe(true);
    expect(await one('{"n": n, "m": n, "o": n}', { n: numbers })).toMatchObject({ code: 'TOO_LARGE' });
    const large = JSON.stringify({ a: 1, s: 'x'.repeat(1_100_000) });
    expect(values(await sandbox.evaluateAll(TENANT, ['a', 's'], large))).toEqual([1, 'TOO_LARGE']);
    expect(values(await sandbox.evaluateMany(TENANT, 's', ['{"s": 1}', large]))).toEqual([1, 'TOO_LARGE']);
    const unfold = '($d := function($v, $n) { $n = 0 ? $v : $d({"a": $v, "b": $v}, $n - 1) }; $d("x", 40))';
    expect(await one(unfold)).toMatchObject({ code: 'TOO_LARGE' });
    expect(values(await sandbox.evaluateAll(TENANT, ['a+1'], `"${'x'.repeat(2_200_000)}"`))).toEqual(['TOO_LARGE']);
  });

  it('keeps what an expression does to objects from the next one', async () => {
    const input = JSON.parse('{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 2}}}') as object;
    for (const attempt of [
      '$merge([$, {"__proto__": {"polluted": 3}}])',
      '$ ~> |$|{"__proto__": {"polluted": 4}}|',
      '$ ~> |constructor.prototype|{"polluted": 5}|',
      '$lookup($sum, "constructor")',
      '$string.constructor.constructor("return process")()',
      '{"a": {}}.a.constructor',
      '$each($, function($v, $k) { $v })',
    ]) {
      await sandbox.evaluateAll(TENANT, [attempt], JSON.stringify(input));
    }
    expect(await one('{"polluted": polluted, "own": {}.polluted, "nope": [].polluted}')).toMatchObject({ value: {} });
    expect(await one('constructor + 1')).toMatchObject({ ok: true, value: undefined });
    expect(await one('$exists(constructor) or $exists(toString) or $exists(__proto__)')).toMatchObject({
      value: false,
    });
    expect(await one('$type(process) & $type($process) & $type(globalThis)')).toMatchObject({ ok: true });
  });

  it('takes back NUL, lone surrogates and numbers that JSON does not know', async () => {
    const odd = ['a\u0000b', '\uD800', '\u2028'];
    expect(await one('odd[0] & odd[1] & odd[2]', { odd })).toMatchObject({ value: odd.join('') });
    expect(await one('$.odd', { odd })).toMatchObject({ value: odd });
    expect(values(await sandbox.evaluateAll(TENANT, ['n', 'x'], '{"n": 1e999}'))).toEqual([null, undefined]);
    expect(values(await sandbox.evaluateAll(TENANT, ['{"n": n}'], '{"n": 1e999}'))).toEqual([{ n: null }]);
    expect(await one('{"f": $sum, "g": function($x) { $x }, "r": /a/, "n": 1}')).toMatchObject({ value: { n: 1 } });
  });

  it('charges what an expression leaves running to that expression, not to who comes next', async () => {
    // The error is there at once, the rest of the list goes on behind it.
    for (const rest of [`($a := 1; $b := 2; $c := 3; $d := 4; ${CATASTROPHE})`, ENDLESS]) {
      const leftover = `[$error("early"), ${rest}]`;
      const results = await sandbox.evaluateAll('leftover', [leftover, '1 + 1', '2 + 2'], '{}');
      expect(values(results).slice(1)).toEqual([2, 4]);
    }
  });

  it('has no environment, no files, no network and no processes', async () => {
    // Out of reach for an expression; what a child could do if one got out is asked of the flags that it runs with.
    const [pid] = childrenOf(process.pid);
    const args = execFileSync('ps', ['-o', 'args=', '-p', String(pid)], { encoding: 'utf8' });
    expect(args).toContain('--permission');
    expect(args).not.toMatch(/--allow-(?:fs-write|child-process|net|addons|wasi)/);
    expect(args).toMatch(/--max-old-space-size=64/);
  });
});

describe('children', () => {
  it('serve fifty evaluations beside one that hangs', async () => {
    const sandbox = make();
    try {
      await sandbox.evaluateAll('b', ['1 + 1'], '{}');
      const hanging = sandbox.evaluateAll('a', [CATASTROPHE], '{}');
      const others = await Promise.all(
        Array.from({ length: 50 }, (_, n) => sandbox.evaluateAll(n % 2 ? 'a' : 'b', ['n + 1'], JSON.stringify({ n }))),
      );
      expect(others.map((results) => values(results)[0])).toEqual(Array.from({ length: 50 }, (_, n) => n + 1));
      expect(values(await hanging)).toEqual(['TIMEOUT']);
    } finally {
      await sandbox.close();
    }
  });

  it("are at most half a tenant's: another one is served while it keeps them hanging", async () => {
    const sandbox = make({ size: 2, deadlineMs: 2_000 });
    try {
      await Promise.all(['a', 'b'].map((tenant) => sandbox.evaluateAll(tenant, ['1 + 1'], '{}')));
      let ended = 0;
      const hanging = [1, 2, 3].map((n) =>
        sandbox.evaluateAll('a', [`${n} = 0 or ${CATASTROPHE}`], '{}').finally(() => (ended += 1)),
      );
      for (let n = 0; n < 20; n++) expect(values(await sandbox.evaluateAll('b', ['1 + 1'], '{}'))).toEqual([2]);
      expect(ended).toBe(0);
      await Promise.all(hanging);
    } finally {
      await sandbox.close();
    }
  });

  it("are not all its tenant's where some keep them hanging: who was quick before is served meanwhile", async () => {
    const sandbox = make({ deadlineMs: 2_000, maxWaitMs: 60_000 });
    try {
      await sandbox.evaluateAll('a', ['1 + 1'], '{}', 'good');
      let ended = 0;
      const hang = (holder: string): Promise<Evaluation[]> =>
        sandbox.evaluateAll('a', [CATASTROPHE], '{}', holder).finally(() => (ended += 1));
      const hanging = [...Array.from({ length: 20 }, () => hang('bad')), hang('new'), hang('other')];
      for (let n = 0; n < 20; n++) expect(values(await sandbox.evaluateAll('a', ['1 + 1'], '{}', 'good'))).toEqual([2]);
      expect(ended).toBe(0);
      // The rest of what one asks for waited for two to be killed, and cost no child.
      const outcomes = (await Promise.all(hanging.slice(0, 20))).flatMap(values);
      expect(outcomes.filter((code) => code === 'TIMEOUT')).toHaveLength(2);
      expect(outcomes.filter((code) => code === 'BLOCKED')).toHaveLength(18);
    } finally {
      await sandbox.close();
    }
  });

  it('give others a turn where many evaluations together take long, and lose none of them', async () => {
    const sandbox = make({ size: 2 });
    try {
      await sandbox.evaluateAll('a', ['1 + 1'], '{}');
      const inputs = Array.from({ length: 100 }, (_, n) => JSON.stringify({ n }));
      let isOver = false;
      const long = sandbox.evaluateMany('a', 'n + 0 * $sum([1..3000].($ * 2))', inputs, 'long');
      void long.then(() => (isOver = true));
      expect(values(await sandbox.evaluateAll('a', ['1 + 1'], '{}', 'short'))).toEqual([2]);
      expect(isOver).toBe(false);
      expect(values(await long)).toEqual(inputs.map((_, n) => n));
    } finally {
      await sandbox.close();
    }
  });

  it('take turns with holders: who asks for much waits behind itself, and fills its own room alone', async () => {
    const sandbox = make({ size: 2, maxWaiting: 40 });
    try {
      await sandbox.evaluateAll('a', ['1 + 1'], '{}');
      const order: string[] = [];
      const ask = (holder: string): Promise<unknown> =>
        sandbox.evaluateAll('a', ['$string($count([1..2000]))'], '{}', holder).then(([result]) => {
          order.push(`${holder} ${result!.ok}`);
        });
      const many = Array.from({ length: 30 }, () => ask('many'));
      const few = Array.from({ length: 3 }, () => ask('few'));
      await Promise.all([...many, ...few]);
      // One at work, a quarter of the room waiting, and the rest refused at once.
      expect(order.slice(0, 19)).toEqual(Array.from({ length: 19 }, () => 'many false'));
      const served = order.slice(19);
      expect(served.filter((one) => one === 'many true')).toHaveLength(11);
      expect(served.slice(0, 7).filter((one) => one === 'few true')).toHaveLength(3);
    } finally {
      await sandbox.close();
    }
  });

  it('are spared an expression that was killed twice within a minute, for five', async () => {
    let now = 0;
    const sandbox = make({ now: () => now });
    try {
      const ask = async (tenant = 'a'): Promise<unknown> =>
        values(await sandbox.evaluateAll(tenant, [CATASTROPHE, '1 + 1'], '{}'));
      expect(await ask()).toEqual(['TIMEOUT', 2]);
      now += 61_000;
      expect(await ask()).toEqual(['TIMEOUT', 2]);
      now += 59_000;
      expect(await ask()).toEqual(['TIMEOUT', 2]);
      const before = childrenOf(process.pid);
      expect(await ask()).toEqual(['BLOCKED', 2]);
      expect(before).toEqual(childrenOf(process.pid));
      expect(await ask('b')).toEqual(['TIMEOUT', 2]);
      now += 299_000;
      expect(await ask()).toEqual(['BLOCKED', 2]);
      now += 2_000;
      expect(await ask()).toEqual(['TIMEOUT', 2]);
      // On many inputs: two kills, and no more.
      const many = await sandbox.evaluateMany('c', `n = 1 or ${CATASTROPHE}`, [
        '{"n":0}',
        '{"n":1}',
        '{"n":0}',
        '{"n":0}',
        '{"n":1}',
      ]);
      expect(values(many)).toEqual(['TIMEOUT', true, 'TIMEOUT', 'BLOCKED', 'BLOCKED']);
      const endless = await sandbox.evaluateMany('c', ENDLESS, ['{}', '{}', '{}', '{}']);
      expect(values(endless)).toEqual(['TIMEOUT', 'TIMEOUT', 'BLOCKED', 'BLOCKED']);
    } finally {
      await sandbox.close();
    }
  });

  it('are spared it for the holder that it was killed for: another one, and what is to be saved, notice nothing', async () => {
    const sandbox = make({ now: () => 0 });
    try {
      const inputs = [{ bad: true }, { bad: true }, {}, {}].map((input) => JSON.stringify(input));
      const expression = `bad and ${CATASTROPHE}`;
      expect(values(await sandbox.evaluateMany('a', expression, inputs, 'one'))).toEqual([
        'TIMEOUT',
        'TIMEOUT',
        'BLOCKED',
        'BLOCKED',
      ]);
      expect(values(await sandbox.evaluateMany('a', expression, inputs.slice(2), 'other'))).toEqual([false, false]);
      expect(values(await sandbox.evaluateAll('a', [expression, '1 + 1'], '{}', 'one'))).toEqual(['BLOCKED', 2]);
      expect(await sandbox.check('a', expression)).toBeNull();
    } finally {
      await sandbox.close();
    }
  });

  it.runIf(process.platform === 'linux')('are not blamed for a machine that is too busy to run them', async () => {
    const sandbox = make({ size: 1 });
    try {
      const before = new Set(childrenOf(process.pid));
      await sandbox.evaluateAll('a', ['1 + 1'], '{}');
      const own = childrenOf(process.pid).filter((pid) => !before.has(pid));
      for (const pid of own) process.kill(pid, 'SIGSTOP');
      const asked = sandbox.evaluateAll('a', ['2 + 2', '3 + 3'], '{}');
      setTimeout(() => own.forEach((pid) => process.kill(pid, 'SIGCONT')), 700);
      expect(values(await asked)).toEqual([4, 6]);
      expect(childrenOf(process.pid)).toEqual(expect.arrayContaining(own));
      // One that never gets to run is given up all the same.
      for (const pid of own) process.kill(pid, 'SIGSTOP');
      expect(values(await sandbox.evaluateAll('a', ['4 + 4'], '{}'))).toEqual(['TIMEOUT']);
    } finally {
      await sandbox.close();
    }
  });

  it('are waited for by a bounded number, for a bounded time', async () => {
    const sandbox = make({ size: 2, deadlineMs: 2_000, maxWaiting: 4, maxWaitMs: 300 });
    try {
      const isServed = async (): Promise<boolean> => values(await sandbox.evaluateAll('a', ['1 + 1'], '{}'))[0] === 2;
      await until('a child is there', isServed);
      const hanging = sandbox.evaluateAll('a', [CATASTROPHE], '{}');
      const waiting = Array.from({ length: 3 }, () => sandbox.evaluateAll('a', ['1 + 1'], '{}'));
      expect(values(await waiting[2]!)).toEqual(['UNAVAILABLE']);
      await expect(sandbox.check('a', '1 + 1')).rejects.toThrow(/No process is free/);
      expect((await Promise.all(waiting.slice(0, 2))).map((results) => values(results)[0])).toEqual([
        'UNAVAILABLE',
        'UNAVAILABLE',
      ]);
      expect(values(await hanging)).toEqual(['TIMEOUT']);
      await until('a new child is there', isServed);
    } finally {
      await sandbox.close();
    }
  });

  it("are replaced when somebody kills them, at no result's cost", async () => {
    const sandbox = make({ size: 1 });
    try {
      await sandbox.evaluateAll('a', ['1 + 1'], '{}');
      const before = new Set(childrenOf(process.pid));
      const asked = Array.from({ length: 20 }, (_, n) => sandbox.evaluateAll('a', [`${n} + 0`], '{}'));
      for (const pid of before) process.kill(pid, 'SIGKILL');
      expect((await Promise.all(asked)).map((results) => values(results)[0])).toEqual(
        Array.from({ length: 20 }, (_, n) => n),
      );
      expect(childrenOf(process.pid).some((pid) => before.has(pid))).toBe(false);
    } finally {
      await sandbox.close();
    }
  });

  it('stay when their whole group is told to stop: their parent drains', async () => {
    const sandbox = make({ size: 1 });
    try {
      const before = childrenOf(process.pid);
      await sandbox.evaluateAll('a', ['1 + 1'], '{}');
      const own = childrenOf(process.pid).filter((pid) => !before.includes(pid));
      for (const pid of own) for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.kill(pid, signal);
      for (let n = 0; n < 20; n++) expect(values(await sandbox.evaluateAll('a', ['1 + 1'], '{}'))).toEqual([2]);
      expect(childrenOf(process.pid).filter((pid) => !before.includes(pid))).toEqual(own);
    } finally {
      await sandbox.close();
    }
  });

  it('are gone once a busy sandbox is closed', async () => {
    const before = childrenOf(process.pid);
    const sandbox = make({ deadlineMs: 10_000 });
    await sandbox.evaluateAll('a', ['1 + 1'], '{}');
    const busy = [1, 2, 3, 4].map((n) => sandbox.evaluateAll(`t${n % 2}`, [CATASTROPHE, '1'], '{}'));
    await until('children are at work', () => childrenOf(process.pid).length >= before.length + 2);
    await sandbox.close();
    expect(childrenOf(process.pid)).toEqual(before);
    expect((await Promise.all(busy)).flatMap(values)).toEqual(Array.from({ length: 8 }, () => 'UNAVAILABLE'));
    expect(values(await sandbox.evaluateAll('a', ['1 + 1'], '{}'))).toEqual(['UNAVAILABLE']);
  });

  it('die with a parent that is killed, even in the middle of a regular expression', async () => {
    const parent = fork(join(import.meta.dirname, 'harness', 'sandboxProcess.ts'), [CATASTROPHE], { execArgv: [] });
    await once(parent, 'message');
    const pids = childrenOf(parent.pid!);
    expect(pids).toHaveLength(2);
    const stateOf = (pid: number): string =>
      execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
    await until('one is busy', () => pids.some((pid) => stateOf(pid).startsWith('R')));
    parent.kill('SIGKILL');
    await until('both are gone', () => !pids.some(isRunning));
  });
});

describe('a simple path', () => {
  const name = fc.constantFrom(
    'a',
    'b',
    'outerWrapper',
    '_jsonata_function',
    'x_1',
    '`a b`',
    '`a`',
    '__proto__',
    'constructor',
    'length',
  );
  const key = name.map((text) => text.replaceAll('`', ''));
  const literal = fc.constantFrom("'x'", '"x"', "''", '0', '1', '-1', '1.5', 'true', 'false', 'null', "'='", '-0');
  const leaf = fc.constantFrom<unknown>('x', '', '=', 0, 1, -1, 1.5, true, false, null);
  const { input } = fc.letrec<{ input: unknown }>((tie) => ({
    input: fc.oneof(
      { maxDepth: 5, withCrossShrink: true },
      leaf,
      fc.array(tie('input'), { maxLength: 3 }),
      fc.array(fc.tuple(key, tie('input')), { maxLength: 4 }).map((pairs) => {
        const entries = pairs.map(([one, value]) => `${JSON.stringify(one)}:${JSON.stringify(value)}`);
        return JSON.parse(`{${entries.join(',')}}`) as unknown;
      }),
    ),
  }));
  const path = fc
    .tuple(fc.constantFrom('', '$.', '$$.'), fc.array(name, { minLength: 1, maxLength: 4 }))
    .map(([root, names]) => root + names.join('.'));
  const term = fc.oneof(
    path,
    path,
    literal,
    fc.constantFrom('$', '$$', ' $ ', '\n$$'),
    fc.tuple(path, fc.constantFrom(' = ', '=', '!=', ' != '), literal).map((parts) => parts.join('')),
  );
  const joined = fc
    .tuple(term, fc.array(fc.tuple(fc.constantFrom(' and ', ' or ', '\tand\n'), term), { minLength: 1, maxLength: 3 }))
    .map(([first, rest]) => first + rest.flat().join(''));
  const expression = fc.oneof(term, joined);

  it('means exactly what it means to JSONata', async () => {
    await fc.assert(
      fc.asyncProperty(expression, input, async (text, value) => {
        const simple = parseSimplePath(text);
        expect(simple, text).not.toBeNull();
        const expected: unknown = await jsonata(text).evaluate(structuredClone(value));
        expect(JSON.stringify(simple!(value)), text).toEqual(JSON.stringify(expected));
      }),
      { numRuns: 5_000 },
    );
  });

  it('is nothing that JSONata refuses or reads in another way', async () => {
    const other = fc.array(
      fc.constantFrom(
        'a',
        'b',
        '$',
        '.',
        "'",
        '"',
        '=',
        '!',
        ' ',
        '`',
        '1',
        '-',
        '[',
        ']',
        '(',
        ')',
        '*',
        '%',
        'and',
        'null',
        'true',
        'or',
        ' or ',
        ' and ',
        '&',
        '\\',
        '/',
      ),
      { maxLength: 8 },
    );
    await fc.assert(
      fc.asyncProperty(other, input, async (parts, value) => {
        const text = parts.join('');
        const simple = parseSimplePath(text);
        if (!simple) return;
        const expected: unknown = await jsonata(text).evaluate(structuredClone(value));
        expect(JSON.stringify(simple(value)), text).toEqual(JSON.stringify(expected));
      }),
      {
        numRuns: 20_000,
        examples: [
          [['a', ' ', 'and', '"', '"'], { a: 1 }],
          [['a', ' ', 'or', "'", 'b', "'"], { a: 1 }],
          [['a', ' ', 'and', '`', 'b', '`'], { a: 1 }],
          [['"', '"', 'and', ' ', 'a'], { a: 1 }],
        ],
      },
    );
  });

  it('gets along with input nested without end', () => {
    const deep = JSON.parse(`${'['.repeat(200_000)}${']'.repeat(200_000)}`) as unknown;
    expect(parseSimplePath('a')!(deep)).toBeUndefined();
    expect(parseSimplePath('$.a.b')!(deep)).toBeUndefined();
  });
});

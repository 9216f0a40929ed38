/**
 * The program of a child: evaluates what users wrote, in a process that owns nothing. It is started with a heap cap, an
 * empty environment and no permission to read files but its own, to write, to connect or to start anything; its one
 * handle is the channel to its parent. A regular expression can keep its only thread busy for ever, so the parent
 * kills it, and a second thread ends it when the parent is gone.
 */
import { Worker } from 'node:worker_threads';
import type jsonataModule from 'jsonata';
import { failure } from './messages.ts';
import { MOST_TRIES, SHARE_OF_RUNNING } from './starvation.ts';
import type { ChildMessage, EvaluationFailure, Job, TaskResult } from './messages.ts';
import { isTruthy, ResultTooLarge, toJson } from './plainResult.ts';

const DEADLINE_MS = Number(process.argv[2]);
/** By its real place: looking for it would read directories that this process may not. */
const { default: jsonata } = (await import(process.argv[3]!)) as { default: typeof jsonataModule };
/** Steps within steps; endless recursion is told from long work by it, before the heap is full. */
const DEEPEST_EVALUATION = 2_000;
/** Compiled expressions are kept up to so many characters of their texts: one character can cost hundreds of bytes. */
const MAX_KEPT_CHARACTERS = 65_536;
const WATCH_MS = 500;

const compiled = new Map<string, jsonataModule.Expression>();
let keptCharacters = 0;

const compile = (expression: string): jsonataModule.Expression => {
  const known = compiled.get(expression);
  if (known) return known;
  const made = jsonata(expression, { timeout: DEADLINE_MS, stack: DEEPEST_EVALUATION });
  compiled.set(expression, made);
  keptCharacters += expression.length;
  for (const [oldest] of compiled) {
    if (keptCharacters <= MAX_KEPT_CHARACTERS) break;
    compiled.delete(oldest);
    keptCharacters -= oldest.length;
  }
  return made;
};

/** Resolves when nothing is left to do in this turn: what an expression left running behind its result ran on its own time. */
const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

const work = async ({ inputs, tasks }: Job): Promise<void> => {
  let parsed: number | null = null;
  let value: unknown;
  const startedAt = performance.now();
  for (const [index, { expression, input }] of tasks.entries()) {
    let result: TaskResult;
    try {
      const ready = compile(expression);
      if (input === null) {
        result = { ok: true, truthy: false, json: null };
      } else {
        // One at a time: parsed, an input can be thirty times as large as its text.
        if (parsed !== input) {
          value = undefined;
          value = parseInput(inputs[input]!);
          parsed = input;
        }
        const found = await evaluate(ready, value);
        result = { ok: true, truthy: isTruthy(found), json: toJson(found) ?? null };
      }
    } catch (error) {
      result = failureOf(error);
    }
    await settled();
    const isOver =
      index === tasks.length - 1 ||
      (!result.ok && result.code === 'TIMEOUT') ||
      performance.now() - startedAt >= DEADLINE_MS;
    await tell({ kind: 'result', result, isOver, cpuMs: milliseconds(process.cpuUsage()) });
    if (isOver) return;
  }
};

/**
 * The library goes by the clock on the wall. Where the machine is too busy to run this process, that says nothing about the
 * expression, so it is tried again.
 */
const evaluate = async (ready: jsonataModule.Expression, value: unknown): Promise<unknown> => {
  for (let tries = 1; ; tries++) {
    const before = process.cpuUsage();
    try {
      return (await ready.evaluate(value)) as unknown;
    } catch (error) {
      const wasRunning = milliseconds(process.cpuUsage(before)) >= DEADLINE_MS * SHARE_OF_RUNNING;
      if (!isTimeout(error) || wasRunning || tries === MOST_TRIES) throw error;
      await settled();
    }
  }
};

/** The library's deadline; `$eval` wraps it into an error of its own. */
const isTimeout = (error: unknown): boolean => {
  let cause = error as { readonly code?: unknown; readonly error?: unknown } | null | undefined;
  while (cause?.code === 'D3121') cause = cause.error as typeof cause;
  return cause?.code === 'D1012';
};

const milliseconds = ({ user, system }: NodeJS.CpuUsage): number => (user + system) / 1_000;

class NoJson extends Error {}

const parseInput = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    throw new NoJson();
  }
};

const failureOf = (error: unknown): EvaluationFailure => {
  if (error instanceof NoJson) return failure('FAILED', 'The input is not JSON.');
  if (error instanceof ResultTooLarge)
    return failure('TOO_LARGE', 'The result is larger than 1 MiB, or nests deeper than 1,000 levels.');
  const { message, position } = (error ?? {}) as { message?: unknown; position?: unknown };
  if (isTimeout(error)) return failure('TIMEOUT', `The expression took longer than ${DEADLINE_MS} ms.`);
  return failure(
    'FAILED',
    typeof message === 'string' && message !== '' ? message : 'The expression failed.',
    Number.isInteger(position) ? (position as number) : null,
  );
};

/** Waits until it is written: what is buffered when the next expression hangs would never arrive. */
const tell = (message: ChildMessage): Promise<void> =>
  new Promise((resolve) => void process.send!(message, () => resolve()));

/** Nothing that one expression does reaches the next one through what all objects share. */
const closeIntrinsics = (): void => {
  for (const shared of [Object, Array, Function, String, Number, Boolean, RegExp, Promise, Error, Map, Set, Date]) {
    Object.preventExtensions(shared);
    Object.preventExtensions(shared.prototype as object);
  }
};

/** Runs beside the thread that may hang. */
const watchParent = (): void => {
  const program = `setInterval(() => { if (process.ppid !== ${process.ppid}) process.kill(process.pid, 'SIGKILL'); }, ${WATCH_MS});`;
  new Worker(program, { eval: true, env: {}, resourceLimits: { maxOldGenerationSizeMb: 8 } }).unref();
};

process.on('disconnect', () => process.exit());
// Told to the whole group by a terminal, a supervisor: the parent drains, and needs its children for that. It ends them.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

watchParent();
closeIntrinsics();
// The first evaluation compiles half the library; it is not to be charged to a user's deadline.
await jsonata('$map([1, 2], function($n) { $n * 2 })[0] = 2 and $contains("ab", /b/)').evaluate({});
process.on('message', (job) => void work(job as Job));
await tell({ kind: 'ready', cpuMs: milliseconds(process.cpuUsage()) });

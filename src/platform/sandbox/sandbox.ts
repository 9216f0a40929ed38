import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Logger } from '../logs.ts';
import type { Metrics } from '../metrics.ts';
import { failure } from './messages.ts';
import type { EvaluationFailure, Job, Task, TaskResult } from './messages.ts';
import { isTruthy, MAX_RESULT_CHARACTERS } from './plainResult.ts';
import { Pool } from './pool.ts';
import { parseSimplePath } from './simplePath.ts';
import { Strikes } from './strikes.ts';

export const MAX_EXPRESSION_CHARACTERS = 4_096;
/** Of one input, as JSON text. */
export const MAX_INPUT_CHARACTERS = 2_097_152;

/**
 * What an expression resulted in: `truthy` is JSONata's `$boolean` of it, `value` plain JSON (which may hold NUL and lone
 * surrogates, and keys such as `__proto__`), undefined where there is nothing; or why there is no result. `UNAVAILABLE` may pass, the others come
 * from the expression and its input.
 */
export type Evaluation = { readonly ok: true; readonly truthy: boolean; readonly value: unknown } | EvaluationFailure;

/** What is wrong with an expression, and how many of its characters stand before that place. */
export interface ExpressionError {
  readonly message: string;
  readonly position: number | null;
}

/** What whoever wanted to save it is told. */
export const notCompiled = ({ message, position }: ExpressionError): string =>
  `This is no JSONata expression: ${message}${position === null ? '' : ` (after ${position} characters)`}.`;

/** No child could be had: nothing is known about the expression, and trying again later makes sense. */
export class SandboxUnavailableError extends Error {
  constructor() {
    super('No process is free to evaluate expressions. Try again shortly.');
    this.name = 'SandboxUnavailableError';
  }
}

/**
 * Evaluates JSONata that users wrote, in child processes that own nothing. Each expression has 250 ms, its result 1 MiB, a child
 * its heap; what takes more is killed and costs nobody else a result. An expression that was killed twice within a
 * minute is `BLOCKED` for five, for the holder that it was killed for (a webhook's id, say) and for nobody else; what holders
 * ask for waits behind their own. Simple paths are evaluated in this process.
 */
export interface Sandbox {
  /** Compiles only; null where it is fine. Rejects with SandboxUnavailableError where it can't be told now. */
  check(tenantId: string, expression: string): Promise<ExpressionError | null>;
  /** Several expressions on one input (JSON text), in one round trip; results in their order. Never rejects. */
  evaluateAll(tenantId: string, expressions: readonly string[], input: string, holder?: string): Promise<Evaluation[]>;
  /** One expression on several inputs; results in their order. Never rejects. */
  evaluateMany(tenantId: string, expression: string, inputs: readonly string[], holder?: string): Promise<Evaluation[]>;
  /** Ends every child; what runs and what comes later is `UNAVAILABLE`. */
  close(): Promise<void>;
}

export interface SandboxOptions {
  readonly log: Logger;
  readonly metrics: Pick<Metrics, 'expressions' | 'expressionWaitSeconds'>;
  /** Children at most; no tenant has more than half of them. */
  readonly size?: number;
  readonly maxWaiting?: number;
  readonly maxWaitMs?: number;
  readonly deadlineMs?: number;
  readonly heapMb?: number;
  /** Milliseconds of any clock that only goes forward; for tests. */
  readonly now?: () => number;
}

/** The holder where an expression is only compiled: what it did when it was evaluated doesn't keep it from being saved. */
const CHECKING = 'check';

/** What goes to a child at once: more is sent in parts, so that neither this process nor the child holds it all. */
const MAX_JOB_TASKS = 128;
const MAX_JOB_CHARACTERS = 4_194_304;
const CHARACTERS_PER_TURN = 1_048_576;

const UNAVAILABLE = failure('UNAVAILABLE', 'No process was free to evaluate the expression.');
const BLOCKED = failure(
  'BLOCKED',
  'The expression was stopped twice within a minute for taking too much, and is not tried for five.',
);
const TOO_LONG = failure('FAILED', `The expression is longer than ${MAX_EXPRESSION_CHARACTERS} characters.`);
const TOO_LARGE = failure('TOO_LARGE', 'The input is larger than 2 MiB.');

export const createSandbox = (options: SandboxOptions): Sandbox => {
  const {
    log,
    metrics,
    deadlineMs = 250,
    heapMb = 64,
    maxWaiting = 2_000,
    now = performance.now.bind(performance),
  } = options;
  const strikes = new Strikes(now);
  const pool = new Pool({
    size: options.size ?? 4,
    deadlineMs,
    heapMb,
    maxWaiting,
    maxWaitMs: options.maxWaitMs ?? 5_000,
    onWaited: (ms) => metrics.expressionWaitSeconds.observe(ms / 1000),
    onStartFailed: (cause) =>
      log.error({ err: cause }, 'processes that evaluate expressions do not start; expressions are unavailable'),
  });
  const TIMEOUT = failure('TIMEOUT', `The expression took longer than ${deadlineMs} ms.`);
  const MEMORY = failure('MEMORY', `The expression took more than ${heapMb} MiB of memory.`);

  /** Results of the tasks in their order, whatever befalls the children that work on them. */
  const run = async (
    tenantId: string,
    tasks: readonly Task[],
    inputs: readonly string[],
    holder: string,
  ): Promise<TaskResult[]> => {
    const struck = `${tenantId}\n${holder}`;
    const results: (TaskResult | undefined)[] = tasks.map(({ expression, input }) =>
      refusal(expression, input === null ? '' : inputs[input]!),
    );
    const strike = (at: number, result: EvaluationFailure): void => {
      strikes.add(struck, tasks[at]!.expression);
      log.warn({ tenantId, code: result.code }, 'an expression was stopped');
    };
    let open = indexesOf(results);
    let lostAt: number | null = null;
    for (let isContinued = false; open.length > 0; isContinued = true) {
      const distinct = new Set(open.map((at) => tasks[at]!.expression));
      const blocked = new Set([...distinct].filter((expression) => strikes.isBlocked(struck, expression)));
      for (const at of open) if (blocked.has(tasks[at]!.expression)) results[at] = BLOCKED;
      const part = partOf(indexesOf(results), tasks, inputs);
      if (part.indexes.length === 0) break;
      const isObsolete = (): boolean =>
        [...distinct].some((expression) => !blocked.has(expression) && strikes.isBlocked(struck, expression));
      const report = await pool.run({ tenantId, holder, job: part.job, isContinued, isObsolete });
      if (!report) break;
      for (const [index, result] of report.results.entries()) {
        const at = part.indexes[index]!;
        results[at] = result;
        if (!result.ok && result.code === 'TIMEOUT') strike(at, result);
      }
      const stoppedAt = part.indexes[report.results.length];
      if (stoppedAt !== undefined && report.end !== 'done') {
        const isLost = report.end === 'lost';
        // Not ended by what it worked on, as far as can be told: it gets a second child, not a third.
        if (!isLost || lostAt === stoppedAt) {
          const result = isLost ? UNAVAILABLE : report.end === 'memory' ? MEMORY : TIMEOUT;
          results[stoppedAt] = result;
          strike(stoppedAt, result);
        }
        lostAt = stoppedAt;
      }
      open = indexesOf(results);
    }
    return results.map((result) => result ?? UNAVAILABLE);
  };

  const counted = (results: readonly Evaluation[]): Evaluation[] => {
    for (const result of results) metrics.expressions.inc({ outcome: result.ok ? 'ok' : result.code.toLowerCase() });
    return [...results];
  };

  return {
    check: async (tenantId, expression) => {
      if (parseSimplePath(expression)) return null;
      const [result] = await run(tenantId, [{ expression, input: null }], [], CHECKING);
      if (!result || result.ok) return null;
      if (result.code === 'UNAVAILABLE') throw new SandboxUnavailableError();
      return { message: result.message, position: result.position };
    },
    evaluateAll: async (tenantId, expressions, input, holder = '') => {
      const paths = expressions.map(parseSimplePath);
      if (paths.every((path) => path !== null) && isSmall(input)) {
        const parsed = parseInput(input);
        return counted(paths.map((path) => (parsed.ok ? plain(path(parsed.value)) : parsed)));
      }
      const tasks = expressions.map((expression) => ({ expression, input: 0 }));
      return counted((await run(tenantId, tasks, [input], holder)).map(evaluationOf));
    },
    evaluateMany: async (tenantId, expression, inputs, holder = '') => {
      const path = parseSimplePath(expression);
      if (!path || !inputs.every(isSmall)) {
        const tasks = inputs.map((_, input) => ({ expression, input }));
        return counted((await run(tenantId, tasks, inputs, holder)).map(evaluationOf));
      }
      const results: Evaluation[] = [];
      let characters = 0;
      for (const input of inputs) {
        const parsed = parseInput(input);
        results.push(parsed.ok ? plain(path(parsed.value)) : parsed);
        characters += input.length;
        if (characters < CHARACTERS_PER_TURN) continue;
        characters = 0;
        await nextTurn(); // what else this process does goes on in between
      }
      return counted(results);
    },
    close: () => pool.close(),
  };
};

const refusal = (expression: string, input: string): EvaluationFailure | undefined => {
  if (expression.length > MAX_EXPRESSION_CHARACTERS) return TOO_LONG;
  return input.length > MAX_INPUT_CHARACTERS ? TOO_LARGE : undefined;
};

/** Small enough for this process; and nothing that is found in it is too large as a result. */
const isSmall = (input: string): boolean => input.length <= MAX_RESULT_CHARACTERS;

const indexesOf = (results: readonly (TaskResult | undefined)[]): number[] =>
  results.flatMap((result, index) => (result === undefined ? [index] : []));

/** As many of the open tasks as go to a child at once, with the inputs that they need. */
const partOf = (
  open: readonly number[],
  tasks: readonly Task[],
  inputs: readonly string[],
): { indexes: number[]; job: Job } => {
  const indexes: number[] = [];
  const sent = new Map<number, number>();
  const job: { inputs: string[]; tasks: Task[] } = { inputs: [], tasks: [] };
  let characters = 0;
  for (const at of open) {
    const { expression, input } = tasks[at]!;
    const isNew = input !== null && !sent.has(input);
    characters += isNew ? inputs[input]!.length : 0;
    if (indexes.length >= MAX_JOB_TASKS || (characters > MAX_JOB_CHARACTERS && indexes.length > 0)) break;
    if (isNew) sent.set(input, job.inputs.push(inputs[input]!) - 1);
    indexes.push(at);
    job.tasks.push({ expression, input: input === null ? null : sent.get(input)! });
  }
  return { indexes, job };
};

const parseInput = (text: string): { readonly ok: true; readonly value: unknown } | EvaluationFailure => {
  try {
    return { ok: true, value: JSON.parse(text) as unknown };
  } catch {
    return failure('FAILED', 'The input is not JSON.');
  }
};

/** As a child would have written it: JSON has no infinite numbers, which a text such as 1e999 is read as. */
const plain = (value: unknown): Evaluation => ({
  ok: true,
  truthy: isTruthy(value),
  value: typeof value === 'number' && !Number.isFinite(value) ? null : value,
});

const evaluationOf = (result: TaskResult): Evaluation =>
  result.ok
    ? {
        ok: true,
        truthy: result.truthy,
        value: result.json === null ? undefined : (JSON.parse(result.json) as unknown),
      }
    : result;

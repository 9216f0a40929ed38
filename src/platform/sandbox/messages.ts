/** Why an expression has no result; the codes never change their meaning. */
export type EvaluationCode = 'FAILED' | 'TIMEOUT' | 'MEMORY' | 'BLOCKED' | 'TOO_LARGE' | 'UNAVAILABLE';

export interface EvaluationFailure {
  readonly ok: false;
  readonly code: EvaluationCode;
  /** Says what is wrong in a sentence; at most 500 characters, of which some may come from the expression or its input. */
  readonly message: string;
  /** Characters of the expression up to where it went wrong; null where no place is to blame. */
  readonly position: number | null;
}

/** What a child is asked to do: evaluate an expression on one of the inputs, or, where `input` is null, only compile it. */
export interface Task {
  readonly expression: string;
  readonly input: number | null;
}

/** One message to a child, which works on its tasks one after the other. */
export interface Job {
  /** JSON texts; a task names one by its index. */
  readonly inputs: readonly string[];
  readonly tasks: readonly Task[];
}

/** What became of a task; `json` is the text of the result, null where there is nothing. */
export type TaskResult =
  | { readonly ok: true; readonly truthy: boolean; readonly json: string | null }
  | EvaluationFailure;

/**
 * What a child says: `ready` once, then a result for each task, in their order and each before the next task begins, so
 * that who waits for it knows which one hangs. `cpuMs` is the time that its processor has given it since it was started.
 */
export type ChildMessage = { readonly cpuMs: number } & (
  | { readonly kind: 'ready' }
  | { readonly kind: 'result'; readonly result: TaskResult }
);

/**
 * Whether a child stops working on its job behind this result: an expression that used up its deadline is not to use it up
 * on every input of a job.
 */
export const isLast = (result: TaskResult): boolean => !result.ok && result.code === 'TIMEOUT';

export const failure = (code: EvaluationCode, message: string, position: number | null = null): EvaluationFailure => ({
  ok: false,
  code,
  message: message.slice(0, 500).toWellFormed(),
  position,
});

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
 * Behind a result that `isOver` nothing more comes of the job: all is done, or an expression has used up its deadline, which is not to
 * happen on every input, or all together have, so that somebody else has a turn before the rest.
 */
export type ChildMessage = { readonly cpuMs: number } & (
  | { readonly kind: 'ready' }
  | { readonly kind: 'result'; readonly result: TaskResult; readonly isOver: boolean }
);

export const failure = (code: EvaluationCode, message: string, position: number | null = null): EvaluationFailure => ({
  ok: false,
  code,
  message: message.slice(0, 500).toWellFormed(),
  position,
});

import { createContext, Script } from 'node:vm';
import { MOST_TRIES, SHARE_OF_RUNNING } from './sandbox/starvation.ts';

/** What `withinDeadline` answers for work that was stopped. */
export const OVERRAN = Symbol('overran');

const sandbox: { run: (() => void) | null } = { run: null };
const context = createContext(sandbox);
const script = new Script('run()');

/**
 * Runs `work` here, in this thread, and stops it at the deadline wherever it is. The deadline is of the clock, which is all
 * that V8's watchdog knows; where a busy machine gave this thread little of that time, the work begins anew, a few times, so
 * `work` has to be such that this is no harm. Throws what `work` throws.
 */
export const withinDeadline = <T>(deadlineMs: number, work: () => T): T | typeof OVERRAN => {
  for (let tries = 1; ; tries++) {
    const before = processorMs();
    const outcome = runOnce(deadlineMs, work);
    if (outcome !== OVERRAN) {
      if ('error' in outcome) throw outcome.error;
      return outcome.value;
    }
    if (tries === MOST_TRIES || processorMs() - before >= deadlineMs * SHARE_OF_RUNNING) return OVERRAN;
  }
};

const runOnce = <T>(deadlineMs: number, work: () => T): { value: T } | { error: unknown } | typeof OVERRAN => {
  let outcome: { value: T } | { error: unknown } | undefined;
  sandbox.run = () => {
    try {
      outcome = { value: work() };
    } catch (error) {
      outcome = { error };
    }
  };
  try {
    script.runInContext(context, { timeout: deadlineMs });
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return OVERRAN;
    throw error;
  } finally {
    sandbox.run = null;
  }
  if (outcome === undefined) throw new Error('the guarded work neither returned nor threw');
  return outcome;
};

/** Of this thread so far. */
const processorMs = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
};

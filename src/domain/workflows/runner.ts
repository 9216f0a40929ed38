/**
 * Runs workflows. A run belongs to an inbound delivery, whose id its own derives from, so that there is one however often it
 * is asked for. Steps run one after the other, each in a transaction with what it changes and publishes: it begins with the
 * compare-and-set of the step's row, so a step that is finished is never done again, by whoever. Expressions are
 * evaluated before, outside of it. A crash leaves the steps that are finished, and the next call goes on behind them. Data
 * that is refused fail the run for good; whatever else goes wrong is thrown, and the caller tries again later.
 */
import type { Database } from '../../platform/database.ts';
import { deriveId } from '../../platform/ids.ts';
import { SandboxUnavailableError } from '../../platform/sandbox/sandbox.ts';
import type { Sandbox } from '../../platform/sandbox/sandbox.ts';
import type { ActionRegistry } from '../actions/actionRegistry.ts';
import type { Changes } from '../actions/changes.ts';
import { DomainError, NotFoundError } from '../errors.ts';
import type { Mapper } from '../mapping/mapper.ts';
import { attemptStep, finishRun, finishStep, insertRun, keepOutput, noteError, readRun } from './runStore.ts';
import type { OpenRun, RunStep } from './runStore.ts';

export interface RunRequest {
  readonly tenantId: string;
  readonly workflowId: string;
  /** UUID of the inbound delivery. */
  readonly deliveryId: string;
  /** In whose name its steps change things, and how often what caused them has passed through. */
  readonly source: string;
  readonly hops: number;
  /** What its expressions find under `envelope`; the same on every call for the same delivery. */
  readonly envelope: object;
}

export interface RunOutcome {
  readonly runId: string;
  /** Null where it is COMPLETED, else why it is FAILED. */
  readonly error: string | null;
}

export interface WorkflowRunner {
  /**
   * Begins the delivery's run, or goes on with it, to its end. Throws NotFoundError where the workflow is gone before the
   * run began, and anything else where it makes sense to call again.
   */
  run(request: RunRequest): Promise<RunOutcome>;
}

export interface WorkflowRunnerOptions {
  readonly database: Pick<Database, 'sql' | 'transaction'>;
  readonly changes: Changes;
  readonly mapper: Pick<Mapper, 'map'>;
  readonly sandbox: Pick<Sandbox, 'evaluateAll'>;
  readonly actions: ActionRegistry;
  /** Makes partitions when a commit finds none; true where trying again makes sense. */
  readonly mend: (error: unknown) => Promise<boolean>;
}

/** The id of a delivery's run. */
export const runIdOf = (deliveryId: string): string => deriveId(deliveryId, 'workflow run');

/** What became of a step that this call finished. */
type StepEnd = Pick<RunStep, 'status' | 'output' | 'error'>;

const LONGEST_ERROR = 2_000;
const RETRIED = 'Something failed that may pass: this is tried again.';

export const createWorkflowRunner = (options: WorkflowRunnerOptions): WorkflowRunner => {
  const { database, changes, mapper, sandbox, actions, mend } = options;
  const { sql } = database;

  const begin = async (runId: string, { tenantId, workflowId, deliveryId }: RunRequest): Promise<OpenRun> => {
    const known = await readRun(sql, tenantId, runId);
    if (known) return known;
    const insert = () => database.transaction((sql) => insertRun(sql, { id: runId, tenantId, workflowId, deliveryId }));
    await insert().catch(async (error: unknown) => {
      if (!(await mend(error))) throw error;
      await insert();
    });
    const run = await readRun(sql, tenantId, runId);
    if (!run) throw new NotFoundError('The workflow was deleted before it ran.');
    return run;
  };

  /** Evaluates, acts and writes down; null where somebody else finished the step meanwhile. */
  const takeStep = async (request: RunRequest, run: OpenRun, position: number): Promise<StepEnd | null> => {
    const { tenantId } = request;
    const step = run.steps[position]!;
    const end = async (status: 'SKIPPED' | 'FAILED', error: string | null): Promise<StepEnd | null> =>
      (await finishStep(sql, run.id, position, status, error)) ? { status, output: null, error } : null;
    const input = inputOf(request, run);

    if (step.when !== null) {
      const [condition] = await sandbox.evaluateAll(tenantId, [step.when], input, request.workflowId);
      if (!condition || (!condition.ok && condition.code === 'UNAVAILABLE')) throw new SandboxUnavailableError();
      if (!condition.ok) return end('FAILED', shown(`when: ${condition.message}`));
      if (!condition.truthy) return end('SKIPPED', null);
    }
    const action = actions.find(step.action);
    if (!action) return end('FAILED', `This installation has no action ${step.action} any more.`);
    const { values, errors } = await mapper.map(tenantId, action.name, step.fieldMapping, input, request.workflowId);
    const unmapped = errors.map(({ field, message }) => `${field}: ${message}`);
    if (values === null) return end('FAILED', shown(unmapped.join(' ')));
    try {
      return await changes.commit(request, async (context): Promise<StepEnd | null> => {
        if (!(await finishStep(context.sql, run.id, position, 'COMPLETED'))) return null;
        const { output, notes } = await action.run(context, values);
        const error = shown([...unmapped, ...notes].join(' ')) || null;
        await keepOutput(context.sql, run.id, position, output, error);
        return { status: 'COMPLETED', output, error };
      });
    } catch (error) {
      if (error instanceof DomainError) return end('FAILED', shown(wordsOf(error)));
      if (isRefusedData(error)) return end('FAILED', 'A value cannot be stored.');
      throw error;
    }
  };

  /** The run after one more step of it; itself where it is at its end. */
  const goOn = async (request: RunRequest, run: OpenRun): Promise<OpenRun> => {
    const failed = run.steps.find(({ status }) => status === 'FAILED');
    const position = run.steps.findIndex(({ status }) => status === 'PENDING');
    if (failed || position < 0) {
      const error = failed ? shown(`${failed.name}: ${failed.error}`) : null;
      const status = failed ? 'FAILED' : 'COMPLETED';
      await finishRun(sql, run.id, status, error);
      return { ...run, status, error };
    }
    await attemptStep(sql, run.id, position);
    try {
      const end = await takeStep(request, run, position);
      if (end === null) return begin(run.id, request);
      return { ...run, steps: run.steps.map((step, index) => (index === position ? { ...step, ...end } : step)) };
    } catch (error) {
      await noteError(sql, run.id, position, RETRIED).catch(() => undefined); // what failed first is what counts
      throw error;
    }
  };

  return {
    run: async (request) => {
      let run = await begin(runIdOf(request.deliveryId), request);
      while (run.status === 'RUNNING') run = await goOn(request, run);
      return { runId: run.id, error: run.error };
    },
  };
};

/** What expressions are evaluated on. Steps that are skipped have no output. */
const inputOf = ({ envelope }: RunRequest, { steps }: OpenRun): string => {
  const outputs = steps.flatMap(({ name, output }) => (output === null ? [] : [[name, output] as const]));
  return JSON.stringify({ envelope, steps: Object.fromEntries(outputs) });
};

const wordsOf = ({ message, path }: DomainError): string => (path === null ? message : `${path.join('.')}: ${message}`);

const shown = (text: string): string => text.replaceAll('\0', '').slice(0, LONGEST_ERROR).toWellFormed();

/** Class 22 (data exception): the same would be refused again. */
const isRefusedData = (error: unknown): boolean => (error as { code?: string }).code?.startsWith('22') ?? false;

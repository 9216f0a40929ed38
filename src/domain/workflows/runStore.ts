import type { Sql } from '../../platform/database.ts';
import { idTime, lowestIdAt } from '../../platform/ids.ts';
import type { RunStatus, StepStatus, WorkflowStep } from './workflow.ts';

/** A step of a run, with what it does and how far it is. */
export interface RunStep extends WorkflowStep {
  readonly status: StepStatus;
  readonly output: Readonly<Record<string, unknown>> | null;
  readonly error: string | null;
}

/** A run as its runner sees it. */
export interface OpenRun {
  readonly id: string;
  readonly status: RunStatus;
  readonly error: string | null;
  /** In the order in which they run. */
  readonly steps: readonly RunStep[];
}

interface RunRow {
  readonly status: RunStatus;
  readonly error: string | null;
  readonly definition: string;
}

interface StepRow {
  readonly position: number;
  readonly status: StepStatus;
  readonly output: string | null;
  readonly error: string | null;
}

/** The id twice as a range: the plan leaves out the partitions of other days, before it knows the id. */
const rangeOf = (runId: string): [string, string, string] => {
  const time = idTime(runId);
  return [runId, lowestIdAt(time), lowestIdAt(time + 1)];
};

export const READ_RUN = `/*workflow_run_read*/
select r.status, r.error,
  (select v.steps from workflow_version v where v.workflow_id = r.workflow_id and v.version = r.version) as definition
from workflow_run r where r.id = $1 and r.id >= $2 and r.id < $3 and r.tenant_id = $4`;

export const READ_STEPS = `/*workflow_run_steps_read*/
select s.position, s.status, s.output, s.error from workflow_run_step s where s.id = $1 and s.id >= $2 and s.id < $3`;

/** Null where there is no such run. */
export const readRun = async (sql: Sql, tenantId: string, runId: string): Promise<OpenRun | null> => {
  const [run] = await sql.query<RunRow>(READ_RUN, [...rangeOf(runId), tenantId]);
  if (!run) return null;
  const rows = await sql.query<StepRow>(READ_STEPS, rangeOf(runId));
  const byPosition = new Map(rows.map((row) => [row.position, row]));
  const steps = (JSON.parse(run.definition) as WorkflowStep[]).map((step, position): RunStep => {
    const { status, output, error } = byPosition.get(position)!;
    const kept = output === null ? null : (JSON.parse(output) as Record<string, unknown>);
    return { ...step, status, output: kept, error };
  });
  return { id: runId, status: run.status, error: run.error, steps };
};

const INSERT_RUN = `/*workflow_run_insert*/
insert into workflow_run (id, tenant_id, workflow_id, version, delivery_id, status)
select $1::uuid, w.tenant_id, w.id, w.version, $4::uuid, 'RUNNING' from workflow w
where w.tenant_id = $2 and w.id = $3 and w.deleted_at is null
on conflict (id) do nothing
returning (select v.steps from workflow_version v where v.workflow_id = workflow_run.workflow_id and v.version = workflow_run.version) as steps`;

const INSERT_STEPS = `/*workflow_run_steps_insert*/
insert into workflow_run_step (id, position, name, status)
select $1::uuid, n - 1, name, 'PENDING' from unnest($2::text[]) with ordinality as step (name, n)`;

/**
 * Begins the run with the workflow's present version, in the caller's transaction. Nothing changes where the run exists, or
 * there is no such workflow.
 */
export const insertRun = async (
  sql: Sql,
  run: { readonly id: string; readonly tenantId: string; readonly workflowId: string; readonly deliveryId: string },
): Promise<void> => {
  const [inserted] = await sql.query<{ steps: string }>(INSERT_RUN, [
    run.id,
    run.tenantId,
    run.workflowId,
    run.deliveryId,
  ]);
  if (!inserted) return;
  const names = (JSON.parse(inserted.steps) as WorkflowStep[]).map(({ name }) => name);
  await sql.query(INSERT_STEPS, [run.id, names]);
};

export const ATTEMPT_STEP = `/*workflow_step_attempt*/
update workflow_run_step set attempts = attempts + 1, started_at = coalesce(started_at, now())
where id = $1 and id >= $2 and id < $3 and position = $4 and status = 'PENDING'`;

/** Counts an attempt at a step that isn't finished. */
export const attemptStep = async (sql: Sql, runId: string, position: number): Promise<void> => {
  await sql.query(ATTEMPT_STEP, [...rangeOf(runId), position]);
};

export const FINISH_STEP = `/*workflow_step_finish*/
update workflow_run_step set status = $5, error = $6, completed_at = now()
where id = $1 and id >= $2 and id < $3 and position = $4 and status = 'PENDING' returning position`;

/**
 * The compare-and-set that a step is finished by: false where it was already. In a transaction it holds the step until that
 * ends, so whoever works on the same step at the same time waits, and then finds it finished, or not.
 */
export const finishStep = async (
  sql: Sql,
  runId: string,
  position: number,
  status: Exclude<StepStatus, 'PENDING'>,
  error: string | null = null,
): Promise<boolean> => (await sql.query(FINISH_STEP, [...rangeOf(runId), position, status, error])).length > 0;

export const KEEP_OUTPUT = `/*workflow_step_output*/
update workflow_run_step set output = $5, error = $6 where id = $1 and id >= $2 and id < $3 and position = $4`;

/** What a completed step gave, and what is to be said of it; in the transaction that finished it. */
export const keepOutput = async (
  sql: Sql,
  runId: string,
  position: number,
  output: Readonly<Record<string, unknown>>,
  error: string | null,
): Promise<void> => {
  await sql.query(KEEP_OUTPUT, [...rangeOf(runId), position, JSON.stringify(output), error]);
};

export const NOTE_ERROR = `/*workflow_step_error*/
update workflow_run_step set error = $5 where id = $1 and id >= $2 and id < $3 and position = $4 and status = 'PENDING'`;

/** Says on a step that isn't finished why its attempt came to nothing. */
export const noteError = async (sql: Sql, runId: string, position: number, error: string): Promise<void> => {
  await sql.query(NOTE_ERROR, [...rangeOf(runId), position, error]);
};

export const FINISH_RUN = `/*workflow_run_finish*/
update workflow_run set status = $4, error = $5, completed_at = now()
where id = $1 and id >= $2 and id < $3 and status = 'RUNNING'`;

/** Changes nothing on a run that is over. */
export const finishRun = async (
  sql: Sql,
  runId: string,
  status: Exclude<RunStatus, 'RUNNING'>,
  error: string | null = null,
): Promise<void> => {
  await sql.query(FINISH_RUN, [...rangeOf(runId), status, error]);
};

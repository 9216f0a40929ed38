import type { Sql } from '../../platform/database.ts';
import { idRangeOf } from '../../platform/ids.ts';
import { COUNT_LIMIT, pageOf } from '../page.ts';
import type { Page, PageRequest } from '../page.ts';
import type { RunStatus, StepStatus, WorkflowRun, WorkflowRunStep } from './workflow.ts';

interface RunRow {
  readonly id: string;
  readonly workflow_id: string;
  readonly version: number;
  readonly delivery_id: string;
  readonly status: RunStatus;
  readonly error: string | null;
  readonly started_at: number;
  readonly completed_at: number | null;
}

interface StepRow {
  readonly id: string;
  readonly name: string;
  readonly status: StepStatus;
  readonly output: string | null;
  readonly error: string | null;
  readonly attempts: number;
  readonly started_at: number | null;
  readonly completed_at: number | null;
}

const COLUMNS = `r.id, r.workflow_id, r.version, r.delivery_id, r.status, r.error, epoch_ms(r.started_at) as started_at,
  epoch_ms(r.completed_at) as completed_at`;

/** The runs with these ids; those of other tenants and those that are not kept any more are left out. */
export const findRuns = async (
  sql: Sql,
  tenantId: string,
  ids: readonly string[],
): Promise<Map<string, WorkflowRun>> => {
  if (ids.length === 0) return new Map();
  const rows = await sql.query<RunRow>(
    `/*workflow_runs_by_id*/
     select ${COLUMNS} from workflow_run r
      where r.id = any($2::uuid[]) and r.id >= $3 and r.id < $4 and r.tenant_id = $1`,
    [tenantId, ids, ...idRangeOf(ids)],
  );
  return new Map(rows.map((row) => [row.id, runOf(row)]));
};

/**
 * The steps of these runs, in their order. The caller has the runs from {@link findRuns} or {@link listRuns}: a step knows
 * no tenant.
 */
export const findRunSteps = async (sql: Sql, ids: readonly string[]): Promise<Map<string, WorkflowRunStep[]>> => {
  const steps = new Map<string, WorkflowRunStep[]>();
  if (ids.length === 0) return steps;
  const rows = await sql.query<StepRow & { readonly position: number }>(
    `/*workflow_run_steps*/
     select s.id, s.position, s.name, s.status, s.output, s.error, s.attempts, epoch_ms(s.started_at) as started_at,
       epoch_ms(s.completed_at) as completed_at
     from workflow_run_step s where s.id = any($1::uuid[]) and s.id >= $2 and s.id < $3`,
    [ids, ...idRangeOf(ids)],
  );
  for (const row of rows.sort((a, b) => a.position - b.position)) {
    const known = steps.get(row.id);
    if (known) known.push(stepOf(row));
    else steps.set(row.id, [stepOf(row)]);
  }
  return steps;
};

/**
 * Newest first: in the order of their inbound deliveries. Walks an index backwards, (workflow_id, id) where the workflow is
 * given, else (tenant_id, id), newest partition first.
 */
export const listRuns = async (
  sql: Sql,
  tenantId: string,
  workflowId: string | null,
  page: PageRequest,
): Promise<Page<WorkflowRun>> => {
  const { where, values } = conditionOf(tenantId, workflowId);
  if (page.from !== null) where.push(`r.id < $${values.push(page.from)}`);
  const rows = await sql.query<RunRow>(
    `select ${COLUMNS} from workflow_run r where ${where.join(' and ')}
      order by r.id desc limit $${values.push(page.limit + 1)}`,
    values,
  );
  return pageOf(rows.map(runOf), page);
};

/** Exact up to 100,000, and 100,000 beyond. */
export const countRuns = async (sql: Sql, tenantId: string, workflowId: string | null): Promise<number> => {
  const { where, values } = conditionOf(tenantId, workflowId);
  const [row] = await sql.query<{ count: number }>(
    `select count(*)::integer as count
       from (select 1 from workflow_run r where ${where.join(' and ')} limit ${COUNT_LIMIT}) as counted`,
    values,
  );
  return row!.count;
};

const conditionOf = (tenantId: string, workflowId: string | null): { where: string[]; values: unknown[] } =>
  workflowId === null
    ? { where: ['r.tenant_id = $1'], values: [tenantId] }
    : { where: ['r.tenant_id = $1', 'r.workflow_id = $2'], values: [tenantId, workflowId] };

const dateOf = (epochMs: number | null): Date | null => (epochMs === null ? null : new Date(Math.round(epochMs)));

const runOf = (row: RunRow): WorkflowRun => ({
  id: row.id,
  workflowId: row.workflow_id,
  version: row.version,
  deliveryId: row.delivery_id,
  status: row.status,
  error: row.error,
  startedAt: dateOf(row.started_at)!,
  completedAt: dateOf(row.completed_at),
});

const stepOf = (row: StepRow): WorkflowRunStep => ({
  name: row.name,
  status: row.status,
  output: row.output,
  error: row.error,
  attempts: row.attempts,
  size: (row.output?.length ?? 0) + (row.error?.length ?? 0),
  startedAt: dateOf(row.started_at),
  completedAt: dateOf(row.completed_at),
});

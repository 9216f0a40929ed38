import type { Database, Sql } from '../../platform/database.ts';
import { newId } from '../../platform/ids.ts';
import { ConflictError, NotFoundError } from '../errors.ts';
import { pageOf } from '../page.ts';
import type { Page, PageRequest } from '../page.ts';
import type { Workflow } from './workflow.ts';
import { checkWorkflow } from './workflowInput.ts';
import type { WorkflowChecks, WorkflowInput } from './workflowInput.ts';

interface WorkflowRow {
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly version: number;
  readonly is_deleted: boolean;
  readonly created_at: number;
  readonly updated_at: number;
}

const SELECT = `select w.id, w.name, w.description, w.version, w.deleted_at is not null as is_deleted,
  epoch_ms(w.created_at) as created_at, epoch_ms(w.updated_at) as updated_at
from workflow w`;

/** Definitions of workflows. Every method takes the tenant first. */
export class Workflows {
  readonly #database: Database;
  readonly #checks: WorkflowChecks;

  constructor(database: Database, checks: WorkflowChecks) {
    this.#database = database;
    this.#checks = checks;
  }

  /**
   * Makes a workflow, or a new version of the one whose id is given; runs that have begun keep theirs. Throws ValidationError
   * with the path of what is wrong, NotFoundError for an id of nothing that can be changed.
   */
  async save(tenantId: string, input: WorkflowInput): Promise<Workflow> {
    const { name, description, steps } = await checkWorkflow(this.#checks, tenantId, input);
    const text = JSON.stringify(steps);
    return this.#database.transaction(async (sql) => {
      const id = input.id ?? (await insert(sql, tenantId));
      // A version is taken under the lock of the workflow's row: two that save at once get one each.
      const [row] = await sql.query<{ version: number }>(
        `update workflow set name = $3, description = $4, updated_at = now(), version = version + 1
         where tenant_id = $1 and id = $2 and deleted_at is null returning version`,
        [tenantId, id, name, description],
      );
      if (!row) throw unknownWorkflow(['input', 'id']);
      await sql.query(`update workflow_version set replaced_at = now() where workflow_id = $1 and version = $2`, [
        id,
        row.version - 1,
      ]);
      await sql.query(`insert into workflow_version (workflow_id, version, steps) values ($1, $2, $3)`, [
        id,
        row.version,
        text,
      ]);
      return (await find(sql, tenantId, [id]))[0]!;
    });
  }

  /** Runs it had stay. Throws NotFoundError, and ConflictError while an inbound webhook uses it. */
  async remove(tenantId: string, id: string): Promise<void> {
    await this.#database.transaction(async (sql) => {
      const rows = await sql.query(
        `update workflow set deleted_at = now() where tenant_id = $1 and id = $2 and deleted_at is null returning id`,
        [tenantId, id],
      );
      if (rows.length === 0) throw unknownWorkflow(['id']);
      const [user] = await sql.query<{ name: string }>(
        `select name from inbound_webhook where tenant_id = $1 and handler_workflow_id = $2 order by id limit 1`,
        [tenantId, id],
      );
      if (!user) return;
      throw new ConflictError(
        `The inbound webhook ${JSON.stringify(user.name)} uses it: give that another handler first.`,
        ['id'],
      );
    });
  }

  /** In no order, deleted ones too; those that never were are left out. */
  find(tenantId: string, ids: readonly string[]): Promise<Workflow[]> {
    return find(this.#database.sql, tenantId, ids);
  }

  /** The steps of these workflows as they are now, in their order, as JSON text. */
  async steps(tenantId: string, ids: readonly string[]): Promise<Map<string, string>> {
    const rows = await this.#database.sql.query<{ id: string; steps: string }>(
      `/*workflow_steps*/
       select w.id, (select v.steps from workflow_version v where v.workflow_id = w.id and v.version = w.version) as steps
       from workflow w where w.tenant_id = $1 and w.id = any($2::uuid[])`,
      [tenantId, ids],
    );
    return new Map(rows.map(({ id, steps }) => [id, steps]));
  }

  /** Whether there is such a workflow that can run. */
  async has(tenantId: string, id: string): Promise<boolean> {
    return (await this.find(tenantId, [id])).some(({ isDeleted }) => !isDeleted);
  }

  /** Newest first, without deleted ones. Walks `workflow_tenant` backwards. */
  async list(tenantId: string, page: PageRequest): Promise<Page<Workflow>> {
    const rows = await this.#database.sql.query<WorkflowRow>(
      `/*workflows*/
       ${SELECT} where w.tenant_id = $1 and w.deleted_at is null and ($2::uuid is null or w.id < $2)
       order by w.id desc limit $3`,
      [tenantId, page.from, page.limit + 1],
    );
    return pageOf(rows.map(workflowOf), page);
  }

  async count(tenantId: string): Promise<number> {
    const [row] = await this.#database.sql.query<{ count: number }>(
      `select count(*)::integer as count from workflow where tenant_id = $1 and deleted_at is null`,
      [tenantId],
    );
    return row?.count ?? 0;
  }
}

/** For an id of none, or of none that can be changed. */
export const unknownWorkflow = (path: readonly string[]): NotFoundError =>
  new NotFoundError('There is no such workflow.', path);

/** With the version before its first. */
const insert = async (sql: Sql, tenantId: string): Promise<string> => {
  const id = newId();
  await sql.query(`insert into workflow (id, tenant_id, name, version) values ($1, $2, '', 0)`, [id, tenantId]);
  return id;
};

const find = async (sql: Sql, tenantId: string, ids: readonly string[]): Promise<Workflow[]> => {
  if (ids.length === 0) return [];
  const rows = await sql.query<WorkflowRow>(
    `/*workflows_by_id*/
     ${SELECT} where w.tenant_id = $1 and w.id = any($2::uuid[])`,
    [tenantId, ids],
  );
  return rows.map(workflowOf);
};

const workflowOf = (row: WorkflowRow): Workflow => ({
  id: row.id,
  name: row.name,
  description: row.description,
  version: row.version,
  isDeleted: row.is_deleted,
  createdAt: new Date(Math.round(row.created_at)),
  updatedAt: new Date(Math.round(row.updated_at)),
});

import type { Database, Sql } from '../../platform/database.ts';
import { newId } from '../../platform/ids.ts';
import type { DeliveryStatus } from '../deliveries/delivery.ts';
import { OPEN_STATUSES } from '../deliveries/history.ts';
import type { DeliveryListFilter } from '../deliveries/history.ts';
import { RETRYABLE } from '../deliveries/reopening.ts';
import { ConflictError, NotFoundError, ValidationError } from '../errors.ts';
import type { WebhookStatus } from '../webhooks/webhook.ts';
import { BULK_COLUMNS, findOperations, parametersOf, workOf } from './bulkOperation.ts';
import type { BulkOperation, BulkRow, BulkTask } from './bulkOperation.ts';
import { advance } from './turn.ts';

const MOST_RUNNING = 20;

const INSERT = `/*bulk_insert*/
insert into bulk_operation (id, tenant_id, kind, parameters)
select $1, $2, $3, $4
where (select count(*) from bulk_operation where tenant_id = $2 and status = 'RUNNING') < ${MOST_RUNNING}
returning ${BULK_COLUMNS}`;

const CANCEL = `/*bulk_cancel*/
with cancelled as (
  update bulk_operation set status = 'CANCELLED', completed_at = clock_timestamp()
  where id = $2 and tenant_id = $1 and status = 'RUNNING' returning id
)
select pg_notify('hookgraph_bulk', id::text) from cancelled`;

/** Starts, finds and cancels operations on many deliveries. They run in workers, in slices; see `jobs/bulkOperations.ts`. */
export class BulkOperations {
  readonly #database: Database;
  readonly #retentionDays: number;
  readonly #onStarted: (id: string) => void;

  /** @param onStarted after the commit: there is something to work on. Neither throws nor waits */
  constructor(database: Database, retentionDays: number, onStarted: (id: string) => void) {
    this.#database = database;
    this.#retentionDays = retentionDays;
    this.#onStarted = onStarted;
  }

  /**
   * Sends again what has ended and fits the filter: ABANDONED ones where it names no status; tests are left out. Throws
   * ValidationError for a filter without any criterion, or for a status that can't be retried.
   */
  retry(tenantId: string, filter: DeliveryListFilter): Promise<BulkOperation> {
    assertNarrow(filter);
    assertStatuses(
      filter.status,
      (status) => RETRYABLE.includes(status),
      `Only ${RETRYABLE.join(', ')} can be retried.`,
    );
    if (filter.isTest === true) throw new ValidationError('Tests are not sent again.', ['filter', 'isTest']);
    return this.#start(tenantId, { kind: 'RETRY', filter });
  }

  /** Cancels what is open and fits the filter. Throws ValidationError for one without any criterion, or for a status that has ended. */
  cancelDeliveries(tenantId: string, filter: DeliveryListFilter): Promise<BulkOperation> {
    assertNarrow(filter);
    assertStatuses(
      filter.status,
      (status) => OPEN_STATUSES.has(status),
      `Only ${[...OPEN_STATUSES].join(', ')} can be cancelled.`,
    );
    return this.#start(tenantId, { kind: 'CANCEL', filter });
  }

  /**
   * Sends a webhook again what it failed to get since a moment, and what it never got though it wants it now. What is
   * not kept any more can't be sent again. Throws NotFoundError; ConflictError where the webhook is disabled;
   * ValidationError for a moment that has yet to come.
   */
  async recover(tenantId: string, webhookId: string, since: Date): Promise<BulkOperation> {
    const [webhook] = await this.#database.sql.query<{ status: WebhookStatus }>(
      `/*webhook_status*/ select status from webhook where id = $1 and tenant_id = $2`,
      [webhookId, tenantId],
    );
    if (!webhook) throw new NotFoundError('There is no such webhook.');
    if (since.getTime() > Date.now()) throw new ValidationError('This moment has yet to come.', ['since']);
    if (webhook.status === 'DISABLED') throw new ConflictError('This webhook is disabled: enable it first.', ['id']);
    return this.#start(tenantId, { kind: 'RECOVER', webhookId, since });
  }

  /** Those of these ids that the tenant has, in no order. */
  find(tenantId: string, ids: readonly string[]): Promise<BulkOperation[]> {
    return findOperations(this.#database.sql, tenantId, ids);
  }

  /** What was done stays; one that has ended stays as it ended. Throws NotFoundError. */
  async cancel(tenantId: string, id: string): Promise<BulkOperation> {
    await this.#database.sql.query(CANCEL, [tenantId, id]);
    const [operation] = await this.find(tenantId, [id]);
    if (!operation) throw new NotFoundError('There is no such operation.');
    return operation;
  }

  /** The first slice is counted with it, so that a small operation has its total, or is over, when it is answered. */
  async #start(tenantId: string, task: BulkTask): Promise<BulkOperation> {
    const operation = await this.#database.transaction(async (sql) => {
      const row = await insert(sql, tenantId, task);
      return (await advance(sql, workOf(row), this.#retentionDays)).operation;
    });
    if (operation.status === 'RUNNING') this.#onStarted(operation.id);
    return operation;
  }
}

const insert = async (sql: Sql, tenantId: string, task: BulkTask): Promise<BulkRow> => {
  const [row] = await sql.query<BulkRow>(INSERT, [newId(), tenantId, task.kind, parametersOf(task)]);
  if (row) return row;
  throw new ConflictError(`${MOST_RUNNING} operations run already: wait until one has ended, or cancel one.`);
};

const assertNarrow = (filter: DeliveryListFilter): void => {
  if (Object.values(filter).every((criterion) => criterion === undefined)) {
    throw new ValidationError('Say which deliveries: a filter needs at least one criterion.', ['filter']);
  }
};

const assertStatuses = (
  statuses: readonly DeliveryStatus[] | undefined,
  allows: (status: DeliveryStatus) => boolean,
  message: string,
): void => {
  if (statuses?.some((status) => !allows(status))) throw new ValidationError(message, ['filter', 'status']);
};

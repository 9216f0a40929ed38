import { lowestIdAt } from '../../platform/ids.ts';
import { criteriaOf } from '../deliveries/history.ts';
import type { DeliveryListFilter } from '../deliveries/history.ts';
import type { BulkWork } from './bulkOperation.ts';

/** How much later than the operation's start an id may be that was made before it: clocks, corrected ones too, differ. */
const CLOCKS_MS = 1_000;

/** How one kind of operation walks a table in the order of ids, and what it does there: parts of a statement. */
export interface Scan {
  readonly values: readonly unknown[];
  /**
   * Rows of at most `most` beyond the cursor, as `key` (the id that is walked by), `id` (of the delivery), `fits` (it is
   * one to work on), in order, bounded whether or not they fit, so that one that hardly matches costs no more.
   */
  readonly scanned: string;
  readonly most: number;
  /** CTEs that work on `wanted`, the first of those that fit. */
  readonly work: string;
  /**
   * What came of them, in one row: `succeeded`, `failed`, `rung` (webhooks whose lanes have something to send),
   * `cancelled_of` (webhooks of whose deliveries some were cancelled), `blocked` (the first key that has to wait, or null).
   */
  readonly outcome: string;
}

/** The ids that an operation looks at end here: what comes later is none of its business. */
export const scanEnd = ({ startedAt }: BulkWork): string => lowestIdAt(startedAt.getTime() + CLOCKS_MS);

/** A stretch of a table `d`, between two ids, and its order. */
export interface Walk {
  readonly where: string;
  readonly order: string;
}

/**
 * What an owner has between two ids, both exclusive, said so that one index alone serves it: (owner, id). With an equality the
 * planner could go by primary key too, past everybody else's rows, which it does for a range that it takes for small.
 *
 * @param owner a column; the others are placeholders or expressions
 */
export const walkOf = (owner: 'tenant_id' | 'webhook_id', value: string, after: string, end: string): Walk => ({
  where: `(d.${owner}, d.id) > (${value}, ${after}) and (d.${owner}, d.id) < (${value}, ${end})`,
  order: `d.${owner}, d.id`,
});

/** The deliveries above an id that an operation has yet to look at. */
export const walkDeliveries = (
  operation: BulkWork,
  filter: DeliveryListFilter,
  lowestId: string,
): Walk & DeliveryScan => {
  const values: unknown[] = [operation.tenantId];
  const { fromId, beforeId, checks } = criteriaOf(filter, values);
  const after = latestOf(operation.scanAfter, lowestId, fromId ?? lowestId);
  const latest = scanEnd(operation);
  const end = beforeId !== null && beforeId < latest ? beforeId : latest;
  const ids = [`$${values.push(after)}`, `$${values.push(end)}`] as const;
  if (filter.webhookId === undefined) return { values, checks, ...walkOf('tenant_id', '$1', ...ids) };
  const { where, order } = walkOf('webhook_id', `$${values.push(filter.webhookId)}`, ...ids);
  return { values, checks, where: `${where} and d.tenant_id = $1`, order };
};

/** The highest of these ids. */
export const latestOf = (...ids: [string, ...string[]]): string => ids.reduce((a, b) => (a > b ? a : b));

interface DeliveryScan {
  /** Of the statement; the tenant is the first. */
  readonly values: unknown[];
  /** What else the filter asks for. */
  readonly checks: string[];
}

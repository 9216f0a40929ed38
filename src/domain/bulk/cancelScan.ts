import { LOWEST_ID } from '../../platform/ids.ts';
import { cancelling } from '../deliveries/cancellation.ts';
import { OPEN_FROM, OPEN_STATUS } from '../deliveries/history.ts';
import type { DeliveryListFilter } from '../deliveries/history.ts';
import type { BulkWork } from './bulkOperation.ts';
import { walkDeliveries } from './scan.ts';
import type { Scan } from './scan.ts';

const MOST_SCANNED = 5_000;

/**
 * Walks what was open when the operation was started, by (webhook_id, id) or (tenant_id, id), and ends it. Under strict
 * order that may have been what the others waited for. A row that is
 * being settled right now is waited for by coming back to it: settles lock in another order, and a wait for one could be
 * a deadlock.
 */
export const cancelScan = (operation: BulkWork, filter: DeliveryListFilter): Scan => {
  const { values, checks, where, order } = walkDeliveries(operation, filter, LOWEST_ID);
  checks.push(`d.created_at <= from_epoch_ms($${values.push(operation.startedAt.getTime())})`);
  if (filter.status) checks.push(`${OPEN_STATUS} = any($${values.push(filter.status)}::text[])`);
  return {
    values,
    most: MOST_SCANNED,
    scanned: `
      select d.id as key, d.id, coalesce(${checks.join(' and ')}, false) as fits
      from ${OPEN_FROM} where ${where} order by ${order} limit ${MOST_SCANNED}`,
    work: `
      free as materialized (
        select o.id from delivery_open o where o.id = any (array(select id from wanted)) for update skip locked
      ), ${cancelling('free', '(select webhook_name from lane where lane.webhook_id = ended.webhook_id)')}`,
    outcome: `
      select (select count(*)::int from ended) as succeeded, 0 as failed,
        array(select id::text from webhook where id = any (array(select webhook_id from ended))
          and ordering = 'STRICT' and status = 'ACTIVE') as rung,
        array(select distinct webhook_id::text from ended) as cancelled_of,
        (select key from wanted where id not in (select id from free) order by key limit 1) as blocked`,
  };
};

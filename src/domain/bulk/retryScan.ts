import type { DeliveryListFilter } from '../deliveries/history.ts';
import { opening, takingAgain, tellingAgain } from '../deliveries/reopening.ts';
import type { BulkWork } from './bulkOperation.ts';
import { walkDeliveries } from './scan.ts';
import type { Scan } from './scan.ts';

const MOST_SCANNED = 20_000;

/**
 * Walks what had ended when the operation was started, by (webhook_id, id) or (tenant_id, id), and opens it again in
 * the band behind live work. What fails again meanwhile ended later, so it is not taken twice. Deliveries of disabled
 * and deleted webhooks fail: they stay as they are.
 */
export const retryScan = (operation: BulkWork, filter: DeliveryListFilter, lowestId: string): Scan => {
  const { values, checks, where, order } = walkDeliveries(operation, filter, lowestId);
  checks.push(
    'not d.is_test',
    `d.status = any($${values.push(filter.status ?? ['ABANDONED'])}::text[])`,
    `d.completed_at <= from_epoch_ms($${values.push(operation.startedAt.getTime())})`,
  );
  return {
    values,
    most: MOST_SCANNED,
    scanned: `
      select d.id as key, d.id, d.webhook_id, coalesce(${checks.join(' and ')}, false) as fits
      from delivery d where ${where} order by ${order} limit ${MOST_SCANNED}`,
    work: `
      ${takingAgain('wanted')}, ${opening('again', 'BULK', 1)}, ${tellingAgain()}`,
    outcome: `
      select (select count(*)::int from opened) as succeeded,
        (select count(*)::int from wanted where webhook_id not in (select id from target)) as failed,
        array(select distinct webhook_id::text from again where webhook_status = 'ACTIVE') as rung,
        '{}'::text[] as cancelled_of, null::uuid as blocked`,
  };
};

import { counting } from '../analytics/counting.ts';
import { lowestIdAt } from '../../platform/ids.ts';
import type { DeliveryStatus } from './delivery.ts';
import { MAX_OPEN_MS } from './schedule.ts';

/** An ended delivery with one of these may be sent again, unless it is a test. */
export const RETRYABLE: readonly DeliveryStatus[] = ['DELIVERED', 'ABANDONED', 'CANCELLED'];

const DAY_MS = 86_400_000;
/** Longer than it takes to drop a partition after looking for what is open. */
const DROPPING_MS = 3_600_000;

/**
 * The lowest id of a delivery, or of an event, that may be opened now. What is older may be dropped at any moment, and what is
 * open keeps its partitions only from its commit on.
 */
export const lowestReopenableId = (retentionDays: number, now: number): string =>
  lowestIdAt(now - retentionDays * DAY_MS + DROPPING_MS);

/** What an open delivery and one that has ended have in common. */
export const COLUMNS = `id, tenant_id, webhook_id, event_id, event_type, is_test, attempts, created_at, payload_fields,
  response_status, duration_ms, error_code, error_message, is_forward`;

/**
 * The part of a statement that takes ended deliveries out of the history to send them again: `again`, their rows with
 * `webhook_name` and `webhook_status`. Those of disabled and deleted webhooks stay, and so do tests, and what was filtered
 * or taken by somebody else meanwhile. A webhook, or the inbound one that forwards, is locked against its deletion until the
 * commit, so that whoever ends what is open of a deleted one finds these.
 *
 * @param wanted the name of a CTE with their `id` and `webhook_id`
 */
export const takingAgain = (wanted: string): string => `
outbound as materialized (
  select id, name, status from webhook
  where id = any (array(select webhook_id from ${wanted})) and status <> 'DISABLED'
  for key share
), inbound as materialized (
  select id, name from inbound_webhook
  where id = any (array(select webhook_id from ${wanted})) and status <> 'DISABLED' and url is not null
  for key share
), target as materialized (
  select id, name, status from outbound union all select id, name, 'ACTIVE' from inbound
), again as (
  delete from delivery d using ${wanted} wanted, target
  where d.id = wanted.id and target.id = wanted.webhook_id
    and d.status in (${RETRYABLE.map((status) => `'${status}'`).join(', ')}) and not d.is_test
  returning d.*, target.name as webhook_name, target.status as webhook_status
)`;

/**
 * The part that opens the rows of a CTE like `again`, in the order of their events: due at once, the schedule anew, the
 * attempts counted on, 7 days from now on. Of a paused webhook (`webhook_status`) they are held, and told so by `tellingAgain`.
 */
export const opening = (rows: string, trigger: 'MANUAL' | 'BULK', band: 0 | 1): string => `
opened as (
  insert into delivery_open (${COLUMNS}, band, trigger, next_at, expires_at, is_held)
  select ${COLUMNS}, ${band}, '${trigger}', now(), now() + ${MAX_OPEN_MS} * interval '1 ms',
    webhook_status = 'PAUSED'
  from ${rows} as rows order by event_id, id
  on conflict (id) do nothing
  returning webhook_id
)`;

/** The part that counts the rows of a CTE like `again` as open: what they had ended with, they have not any more. */
export const countingAgain = (rows: string): string =>
  counting(`
  select tenant_id, webhook_id, event_type, minute_of(id) as minute, status as was,
    case when attempts > 0 then 'RETRYING' end as becomes, attempts > 0 as tried, null::smallint as latency
  from ${rows} as rows`);

/**
 * The parts that tell the feed what became of the rows of `again`, and count it.
 *
 * @param told the name of a CTE of those that are told, where there are others
 */
export const tellingAgain = (told = 'again'): string => `
feed as (
  insert into feed_outbox (tenant_id, changes)
  select tenant_id, json_agg(json_build_object('at', floor(epoch_ms(clock_timestamp())), 'd', id, 'w', webhook_id,
    'e', event_id, 'n', webhook_name, 't', event_type, 's', case when webhook_status = 'PAUSED' then 'HELD'
      when attempts = 0 then 'PENDING' else 'RETRYING' end, 'a', attempts, 'f', is_forward::int) order by id)::text
  from ${told} as told group by tenant_id
), ${countingAgain('again')}`;

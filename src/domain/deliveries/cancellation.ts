import { counting } from '../analytics/counting.ts';

/**
 * The part of a statement that cancels open deliveries: `ended` (their rows as they were), `history`, `feed`
 * and what is counted.
 *
 * @param doomed the name of a CTE with their ids
 * @param webhookName an expression over `ended` for what the feed calls the webhook
 */
export const cancelling = (doomed: string, webhookName: string): string => `
ended as (
  delete from delivery_open o using ${doomed} doomed where o.id = doomed.id returning o.*
), history as (
  insert into delivery (id, tenant_id, webhook_id, event_id, event_type, status, is_test, attempts, created_at,
    completed_at, payload_fields, response_status, duration_ms, error_code, error_message, is_forward)
  select id, tenant_id, webhook_id, event_id, event_type, 'CANCELLED', is_test, attempts, created_at,
    clock_timestamp(), payload_fields, response_status, duration_ms, error_code, error_message, is_forward
  from ended
), feed as (
  insert into feed_outbox (tenant_id, changes)
  select tenant_id, json_agg(json_build_object('at', floor(epoch_ms(clock_timestamp())), 'd', id, 'w', webhook_id,
    'e', event_id, 'n', ${webhookName}, 't', event_type, 's', 'CANCELLED', 'a', attempts, 'f', is_forward::int) order by seq)::text
  from ended group by tenant_id
), ${counting(`
  select tenant_id, webhook_id, event_type, minute_of(id) as minute, case when attempts > 0 then 'RETRYING' end as was,
    'CANCELLED' as becomes, attempts > 0 as tried, null::smallint as latency
  from ended where not is_test`)}`;

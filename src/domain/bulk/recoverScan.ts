import type { Sql } from '../../platform/database.ts';
import { lowestIdAt } from '../../platform/ids.ts';
import { opening, takingAgain, tellingAgain } from '../deliveries/reopening.ts';
import { splitTypePatterns } from '../events/typePatterns.ts';
import type { WebhookStatus } from '../webhooks/webhook.ts';
import type { BulkTask, BulkWork } from './bulkOperation.ts';
import { latestOf, scanEnd, walkOf } from './scan.ts';
import type { Scan } from './scan.ts';

const MOST_SCANNED = 2_000;

interface WebhookRow {
  readonly status: WebhookStatus;
  readonly event_types: string[];
  readonly entity_ids: string[];
}

/*
 * One recovery of a webhook at a time: a delivery that another one opened, and a lane ended, between the look and the
 * insert would be in both tables. The statement after this one sees all that the one before it did.
 */
const LOCK = `/*recover_lock*/ select pg_advisory_xact_lock(4017005, hashtext($1))`;

/**
 * Walks the tenant's events since the moment, by (tenant_id, id). An event's delivery to the webhook has an id that
 * derives from both: one that failed is opened again, and where there is none it is made, if the webhook wants such
 * events now. What was delivered, filtered or is open stays as it is, so that doing it again changes nothing; so does what the
 * fan-out of an event has yet to make. The feed is told of what it makes only where that is held, as with publishing. Answers a sentence where there is nowhere to send to.
 */
export const recoverScan = async (
  sql: Sql,
  operation: BulkWork,
  { webhookId, since }: Extract<BulkTask, { kind: 'RECOVER' }>,
  lowestId: string,
): Promise<Scan | string> => {
  await sql.query(LOCK, [webhookId]);
  const [webhook] = await sql.query<WebhookRow>(
    `/*recover_webhook*/ select status, event_types, entity_ids from webhook where id = $1 and tenant_id = $2`,
    [webhookId, operation.tenantId],
  );
  if (!webhook) return 'The webhook was deleted.';
  if (webhook.status === 'DISABLED') return 'The webhook was disabled: enable it and recover again.';
  const { names, prefixes } = splitTypePatterns(webhook.event_types);
  const walk = walkOf('tenant_id', '$1', '$3', '$4');
  const after = latestOf(operation.scanAfter, lowestIdAt(since.getTime()), lowestId);
  return {
    values: [
      operation.tenantId,
      webhookId,
      after,
      scanEnd(operation),
      operation.startedAt.getTime(),
      names,
      prefixes,
      webhook.entity_ids,
    ],
    most: MOST_SCANNED,
    scanned: `
      select e.key, e.id, $2::uuid as webhook_id, e.type, d.id is null as is_missing,
        not e.is_test and case when d.id is not null
          then d.status in ('ABANDONED', 'CANCELLED') and d.completed_at <= from_epoch_ms($5)
          else e.is_wanted and not exists (select from delivery_open o where o.id = e.id)
            and not exists (select from fan_out f where f.event_id = e.key) end as fits
      from (
        select id as key, derive_id(id, $2::text) as id, type, is_test,
          (type = any($6::text[]) or exists (select from unnest($7::text[]) as prefix where starts_with(type, prefix)))
            and ($8::text[] = '{}' or coalesce(entity_id = any($8::text[]), false)) as is_wanted
        from event d where ${walk.where} order by ${walk.order} limit ${MOST_SCANNED}
      ) e left join delivery d on d.id = e.id`,
    work: `
      ${takingAgain('wanted')}, both_kinds as (
        select id, tenant_id, webhook_id, event_id, event_type, is_test, attempts, created_at, payload_fields,
          response_status, duration_ms, error_code, error_message, is_forward, webhook_name, webhook_status, false as is_made
        from again
        union all
        select wanted.id, $1::uuid, target.id, key, type, false, 0, now(), webhook.payload_fields, null, null, null, null, false,
          target.name, target.status, true
        from wanted, target, webhook where is_missing and webhook.id = target.id
      ), ${opening('both_kinds', 'BULK', 1)}, told as (
        select * from both_kinds where not is_made or webhook_status = 'PAUSED'
      ), ${tellingAgain('told')}`,
    outcome: `
      select (select count(*)::int from opened) as succeeded, 0 as failed,
        ${webhook.status === 'ACTIVE' ? 'array(select distinct webhook_id::text from opened)' : "'{}'::text[]"} as rung,
        '{}'::text[] as cancelled_of, null::uuid as blocked`,
  };
};

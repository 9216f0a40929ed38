import type { Sql } from '../../platform/database.ts';
import type { WebhookHealthChange } from './healthFeed.ts';
import type { WebhookHealth } from './webhookHealth.ts';

/*
 * A streak begins with the first failed attempt after a success, after enabling, or after nothing, and ends with the next
 * success. After 24 hours it ends the webhook: at the settle of a failure that comes so late, or, where none comes, by
 * the health watch, because time passes without attempts too (failures after 0 and 13 hours, and a retry schedule
 * that is used up). A streak counts from half a day on, when it has a failure 12 hours after its first, so that one bad
 * minute of a webhook with little to do is not a day of failures. It is announced long before: after three failures,
 * or after five minutes.
 */
const HOUR_MS = 3_600_000;
const LONG_MS = 12 * HOUR_MS;
const LETHAL_MS = 24 * HOUR_MS;
const TOLD_AFTER_FAILURES = 3;
const TOLD_AFTER = `interval '5 minutes'`;
const LONG = `interval '12 hours'`;
const LETHAL = `interval '24 hours'`;

/**
 * When an active webhook is disabled by itself unless it succeeds before, ms since the epoch; null where its streak is
 * too short for that, as that of a single failure is at any age. A time that is over means: now.
 */
export const disablesAt = ({
  consecutiveFailures,
  failingSince,
  lastFailureAt,
}: Pick<WebhookHealth, 'consecutiveFailures' | 'failingSince' | 'lastFailureAt'>): number | null => {
  if (consecutiveFailures < 2 || failingSince === null || lastFailureAt === null) return null;
  const isLong = lastFailureAt.getTime() - failingSince.getTime() >= LONG_MS;
  return isLong ? failingSince.getTime() + LETHAL_MS : null;
};

const FAILURES = `(k.failures + case when k.ok_at is null then h.consecutive_failures else 0 end)`;
const SINCE = `(case when k.ok_at is null then coalesce(h.failing_since, from_epoch_ms(k.failing_at)) else from_epoch_ms(k.failing_at) end)`;
const FAILED_AT = `from_epoch_ms(k.failed_at)`;

/**
 * What a settle makes of a streak: `h` is the row of health, `k` what the batch has of the webhook. The statement's own
 * time marks what it changed, because RETURNING tells only what is now. Told only by failures of other than operational
 * events, and once. A circuit that opened or closed, which `lane` has, is a change of health too.
 */
export const FAILING_SETTLED = {
  assignments: `consecutive_failures = ${FAILURES},
    failing_since = ${SINCE},
    disable_at = case when ${FAILED_AT} >= ${SINCE} + ${LONG} and ${FAILED_AT} < ${SINCE} + ${LETHAL}
      then ${SINCE} + ${LETHAL} end,
    failing_told_at = case when k.ok_at is null and h.failing_told_at is not null then h.failing_told_at
      when k.may_tell and (${FAILURES} >= ${TOLD_AFTER_FAILURES} or ${FAILED_AT} >= ${SINCE} + ${TOLD_AFTER})
      then statement_timestamp() end,
    changed_at = case when k.switches or (h.consecutive_failures > 0) <> (k.failures > 0) then statement_timestamp()
      else h.changed_at end`,
  facts: `h.failing_told_at is not distinct from statement_timestamp() as told,
    statement_timestamp() in (h.changed_at, h.failing_told_at) as changed,
    k.failures > 0 and ${FAILED_AT} >= h.failing_since + ${LETHAL} as overdue`,
};

/** Why, for whoever finds the webhook disabled; `h` is the row of health. */
export const OVERDUE_REASON_SQL = `'Every delivery failed for 24 hours: ' || h.consecutive_failures ||
  ' attempts in a row since ' || to_char(h.failing_since at time zone 'UTC', 'YYYY-MM-DD HH24:MI') ||
  ' UTC. Setting isActive to true enables it again and starts a fresh count.'`;

/**
 * Disables active webhooks whose streak has lasted for 24 hours and announces each. The row of health is locked before it
 * is judged, so a success that commits first saves its webhook. A paused one is left alone, because what it holds would be
 * cancelled; resuming it starts a fresh count. Walks webhook_health_disable, which has few rows.
 */
export const DISABLE_OVERDUE = `/*disable_overdue*/
with overdue as (
  update webhook_health h set disable_at = null, changed_at = statement_timestamp()
  where h.disable_at <= from_epoch_ms($1) and h.webhook_id = any (array(
    select webhook_id from webhook_health where disable_at <= from_epoch_ms($1) order by disable_at limit $2))
  returning h.webhook_id, h.consecutive_failures, h.failing_since
), disabled as (
  update webhook w set status = 'DISABLED', disabled_at = clock_timestamp(), version = w.version + 1,
    updated_at = clock_timestamp(), disabled_reason = ${OVERDUE_REASON_SQL}
  from overdue h
  where w.id = h.webhook_id and w.status = 'ACTIVE'
  returning w.tenant_id, w.id, w.disabled_reason, h.consecutive_failures, h.failing_since
), announced as (
  insert into operational_outbox (tenant_id, webhook_id, type, detail)
  select tenant_id, id, 'webhook.disabled', json_build_object('reason', disabled_reason,
    'failures', consecutive_failures, 'since', epoch_ms(failing_since))::text
  from disabled
)
select (select count(*) from overdue)::integer as looked_at, id as webhook_id, tenant_id
from disabled right join (values (1)) as always on true`;

/** Up to `limit` webhooks; `hasMore` where there may be others. */
export const disableOverdue = async (
  sql: Sql,
  now: number,
  limit: number,
): Promise<{ disabled: WebhookHealthChange[]; hasMore: boolean }> => {
  const rows = await sql.query<{ looked_at: number; webhook_id: string | null; tenant_id: string }>(DISABLE_OVERDUE, [
    now,
    limit,
  ]);
  return {
    disabled: rows.flatMap(({ webhook_id, tenant_id }) =>
      webhook_id === null ? [] : [{ tenantId: tenant_id, webhookId: webhook_id }],
    ),
    hasMore: rows[0]!.looked_at === limit,
  };
};

import type { Sql } from '../../platform/database.ts';
import type { WebhookStatus } from './webhook.ts';

export const HEALTH_STATUSES = ['HEALTHY', 'FAILING', 'DISABLED'] as const;
export type HealthStatus = (typeof HEALTH_STATUSES)[number];

/** What real deliveries of a webhook came to; tests count for nothing here. */
export interface WebhookHealth {
  readonly consecutiveFailures: number;
  readonly failingSince: Date | null;
  readonly lastDeliveryAt: Date | null;
  readonly lastSuccessAt: Date | null;
  readonly lastFailureAt: Date | null;
  /** Its circuit is open until then, and half open after; null: closed. */
  readonly circuitUntil: Date | null;
}

/** FAILING while the last real attempt failed and nothing has reset the count since; DISABLED only for that status. */
export const healthStatus = (
  status: WebhookStatus,
  { consecutiveFailures, lastFailureAt, lastSuccessAt }: Omit<WebhookHealth, 'circuitUntil'>,
): HealthStatus => {
  if (status === 'DISABLED') return 'DISABLED';
  const failedLast = lastFailureAt !== null && (lastSuccessAt === null || lastFailureAt > lastSuccessAt);
  return consecutiveFailures > 0 && failedLast ? 'FAILING' : 'HEALTHY';
};

interface HealthRow {
  readonly webhook_id: string;
  readonly consecutive_failures: number;
  readonly failing_since: number | null;
  readonly last_delivery_at: number | null;
  readonly last_success_at: number | null;
  readonly last_failure_at: number | null;
  readonly circuit_until: number | null;
}

/** The health of several webhooks in one statement, by webhook id. */
export const healthOf = async (
  sql: Sql,
  tenantId: string,
  webhookIds: readonly string[],
): Promise<Map<string, WebhookHealth>> => {
  const rows = await sql.query<HealthRow>(
    `/*webhook_health*/ select h.webhook_id, h.consecutive_failures, epoch_ms(h.failing_since) as failing_since,
            epoch_ms(h.last_delivery_at) as last_delivery_at, epoch_ms(h.last_success_at) as last_success_at,
            epoch_ms(h.last_failure_at) as last_failure_at, epoch_ms(l.circuit_until) as circuit_until
       from webhook_health h join webhook w on w.id = h.webhook_id join lane l on l.webhook_id = h.webhook_id
      where h.webhook_id = any($1::uuid[]) and w.tenant_id = $2`,
    [webhookIds, tenantId],
  );
  return new Map(
    rows.map((row) => [
      row.webhook_id,
      {
        consecutiveFailures: row.consecutive_failures,
        failingSince: dateOf(row.failing_since),
        lastDeliveryAt: dateOf(row.last_delivery_at),
        lastSuccessAt: dateOf(row.last_success_at),
        lastFailureAt: dateOf(row.last_failure_at),
        circuitUntil: dateOf(row.circuit_until),
      },
    ]),
  );
};

/** Counted exactly up to here. */
export const MOST_PENDING = 10_000;

/**
 * Walks `delivery_open_webhook` for as many entries as it counts at most: 2 ms for a backlog of any length.
 */
export const PENDING = `/*webhook_pending*/
select w.id as webhook_id, pending.count
from unnest($1::uuid[]) as given (id)
join webhook w on w.id = given.id and w.tenant_id = $2
cross join lateral (
  select count(*)::integer as count
  from (select from delivery_open o where o.webhook_id = w.id limit ${MOST_PENDING}) as counted
) as pending`;

/**
 * How many deliveries of each webhook wait for their first or next attempt: exact up to {@link MOST_PENDING}, and that beyond,
 * so that no backlog makes it slow.
 */
export const pendingOf = async (
  sql: Sql,
  tenantId: string,
  webhookIds: readonly string[],
): Promise<Map<string, number>> => {
  const rows = await sql.query<{ webhook_id: string; count: number }>(PENDING, [webhookIds, tenantId]);
  return new Map(rows.map((row) => [row.webhook_id, row.count]));
};

const dateOf = (ms: number | null): Date | null => (ms === null ? null : new Date(ms));

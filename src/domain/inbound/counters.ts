import type { Sql } from '../../platform/database.ts';

/** What an inbound webhook received, as of about a second ago. Tests and refused requests count for nothing here. */
export interface InboundCounts {
  readonly deliveries: number;
  readonly lastDeliveryAt: Date | null;
}

/** The counts of several webhooks in one statement, by webhook id. */
export const inboundCountsOf = async (
  sql: Sql,
  tenantId: string,
  webhookIds: readonly string[],
): Promise<Map<string, InboundCounts>> => {
  const rows = await sql.query<{ webhook_id: string; deliveries: number; last_delivery_at: number | null }>(
    `/*inbound_counts*/
     select c.webhook_id, c.deliveries::double precision as deliveries, epoch_ms(c.last_delivery_at) as last_delivery_at
       from inbound_counter c join inbound_webhook w on w.id = c.webhook_id
      where c.webhook_id = any($1::uuid[]) and w.tenant_id = $2`,
    [webhookIds, tenantId],
  );
  return new Map(
    rows.map((row) => [
      row.webhook_id,
      {
        deliveries: row.deliveries,
        lastDeliveryAt: row.last_delivery_at === null ? null : new Date(Math.round(row.last_delivery_at)),
      },
    ]),
  );
};

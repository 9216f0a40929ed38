import type { Sql } from '../../platform/database.ts';
import { REFUSAL_CAUSES } from './tally.ts';
import type { RefusalCause } from './tally.ts';

/** What an inbound webhook received, as of what receivers have written: a second ago. Tests and replays count for nothing here. */
export interface InboundCounts {
  /** Verified requests. */
  readonly deliveries: number;
  readonly lastDeliveryAt: Date | null;
  readonly refusals: Readonly<Record<RefusalCause, number>>;
}

/** The counts of several webhooks in one statement, by webhook id. */
export const inboundCountsOf = async (
  sql: Sql,
  tenantId: string,
  webhookIds: readonly string[],
): Promise<Map<string, InboundCounts>> => {
  const causes = REFUSAL_CAUSES.map((cause) => `c.${cause}::double precision as ${cause}`).join(', ');
  const rows = await sql.query<
    { webhook_id: string; deliveries: number; last_delivery_at: number | null } & Record<RefusalCause, number>
  >(
    `/*inbound_counts*/
     select c.webhook_id, c.deliveries::double precision as deliveries, epoch_ms(c.last_delivery_at) as last_delivery_at, ${causes}
       from inbound_counter c join inbound_webhook w on w.id = c.webhook_id
      where c.webhook_id = any($1::uuid[]) and w.tenant_id = $2`,
    [webhookIds, tenantId],
  );
  return new Map(
    rows.map(({ webhook_id: webhookId, deliveries, last_delivery_at: lastAt, ...refusals }) => [
      webhookId,
      { deliveries, lastDeliveryAt: lastAt === null ? null : new Date(Math.round(lastAt)), refusals },
    ]),
  );
};

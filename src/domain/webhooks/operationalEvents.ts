import type { Sql } from '../../platform/database.ts';
import { encodeId } from '../../platform/ids.ts';
import type { NewEvent, Publisher } from '../events/event.ts';
import type { OperationalType } from '../events/operationalTypes.ts';

/** What an event says it came from. */
const SOURCE = 'hookgraph';

/**
 * Of webhooks that are gone meanwhile name and host are null. An abandoned delivery hands on the hops of its event, so that
 * one which fails over and over on a way through hookgraph and back ends like any other. Walks the primary keys.
 */
export const TAKE_OPERATIONAL = `/*take_operational*/
with taken as (
  delete from operational_outbox where id = any (array(select id from operational_outbox order by id limit $1))
  returning id, tenant_id, webhook_id, type, at, detail
)
select t.tenant_id, t.webhook_id, t.type, epoch_ms(t.at) as at, t.detail, w.name, w.url, coalesce(e.hops, 0)::int as hops
from taken t left join webhook w on w.id = t.webhook_id left join event e on e.id = (t.detail::json ->> 'event')::uuid
order by t.id`;

interface OutboxRow {
  readonly tenant_id: string;
  readonly webhook_id: string;
  readonly type: OperationalType;
  readonly at: number;
  readonly detail: string;
  readonly name: string | null;
  readonly url: string | null;
  readonly hops: number;
}

interface StreakDetail {
  readonly reason?: string;
  readonly failures: number;
  readonly since: number | null;
}

interface AbandonedDetail {
  readonly delivery: string;
  readonly event: string;
  readonly type: string;
  readonly attempts: number;
  readonly status: number | null;
  readonly code: string | null;
  readonly message: string | null;
}

/**
 * Publishes up to `limit` rows of the operational outbox in the caller's transaction, which removes them: exactly once.
 * Answers how many, and what to call after the commit.
 */
export const publishOperational = async (
  sql: Sql,
  publisher: Pick<Publisher, 'publishIn'>,
  limit: number,
): Promise<{ taken: number; ring: () => void }> => {
  const rows = await sql.query<OutboxRow>(TAKE_OPERATIONAL, [limit]);
  const alike = Map.groupBy(rows, ({ tenant_id, hops }) => `${tenant_id} ${hops}`);
  const rings: (() => void)[] = [];
  for (const some of alike.values()) {
    const [{ tenant_id: tenantId, hops }] = some as [OutboxRow];
    const written = await publisher.publishIn(sql, tenantId, SOURCE, some.map(eventOf), { hops });
    rings.push(() => written.ring());
  }
  return {
    taken: rows.length,
    ring: () => {
      for (const ring of rings) ring();
    },
  };
};

const eventOf = (row: OutboxRow): NewEvent => {
  const webhook = encodeId('webhook', row.webhook_id);
  return {
    type: row.type,
    entityId: webhook,
    occurredAt: new Date(row.at),
    data: { webhook_id: webhook, webhook_name: row.name, host: hostOf(row.url), ...dataOf(row) },
  };
};

const dataOf = ({ type, at, detail }: OutboxRow): Record<string, unknown> => {
  switch (type) {
    case 'webhook.failing': {
      const { failures, since } = JSON.parse(detail) as StreakDetail;
      return { consecutive_failures: failures, failing_since: timeOf(since) };
    }
    case 'webhook.disabled': {
      const { reason, failures, since } = JSON.parse(detail) as StreakDetail;
      return {
        reason,
        disabled_at: timeOf(at),
        consecutive_failures: failures,
        failing_since: timeOf(since),
      };
    }
    case 'delivery.abandoned': {
      const {
        delivery,
        event,
        type: eventType,
        attempts,
        status,
        code,
        message,
      } = JSON.parse(detail) as AbandonedDetail;
      return {
        delivery_id: encodeId('delivery', delivery),
        event_id: encodeId('event', event),
        event_type: eventType,
        attempts,
        response_status: status,
        error: code === null ? null : { code, message },
        abandoned_at: timeOf(at),
      };
    }
    default:
      return type satisfies never;
  }
};

/** The host alone: a path or a query may be what keeps others from posting there, and these events go to others. */
const hostOf = (url: string | null): string | null => (url !== null && URL.canParse(url) ? new URL(url).host : null);

const timeOf = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

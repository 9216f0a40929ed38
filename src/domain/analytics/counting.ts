/*
 * A real delivery counts once, in the minute of its event, by the status that it has now: not while it waits for its first
 * attempt, RETRYING from its first failure on, and by what it ended with. FILTERED and tests never count. So whatever changes
 * a status adds what the change comes to, in the statement that makes it and from the rows that it changed; the counts are
 * then those of the lists, without anybody having counted. It only ever inserts: two that do so never wait for each other.
 */

/** Statuses under which a delivery is counted, each a column of the rollups. */
const COUNTED = ['DELIVERED', 'ABANDONED', 'CANCELLED', 'RETRYING'] as const;

const change = (condition: (when: 'was' | 'becomes') => string): string =>
  `(count(*) filter (where ${condition('becomes')}) - count(*) filter (where ${condition('was')}))`;

const isFailed = (when: 'was' | 'becomes'): string =>
  `${when} in ('ABANDONED', 'RETRYING') or ${when} = 'CANCELLED' and tried`;

/**
 * The part of a statement that counts changes of status: `counted`.
 *
 * @param changes a subquery of real deliveries that changed: tenant_id, webhook_id, event_type; `minute`, that of
 *   the delivery's id; `was` and `becomes`,
 *   statuses as lists show them, null where it is or was not attempted yet; `tried`, whether an attempt was ever made;
 *   `latency`, the bucket of an attempt that just ended, or null
 */
export const counting = (changes: string): string => `
counted as (
  insert into rollup_outbox (tenant_id, webhook_id, event_type, minute,
    ${COUNTED.map((status) => status.toLowerCase()).join(', ')}, failed, latencies)
  select tenant_id, webhook_id, event_type, minute,
    ${COUNTED.map((status) => change((when) => `${when} = '${status}'`)).join(',\n    ')},
    ${change(isFailed)},
    array_agg(latency) filter (where latency is not null)
  from (${changes}) as changes
  group by tenant_id, webhook_id, event_type, minute
)`;

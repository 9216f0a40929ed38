import type { Sql } from '../../platform/database.ts';
import { addCounts, COUNT_NAMES, noCounts } from './counts.ts';
import type { Counts } from './counts.ts';
import { DAY, floorTo, WHOLE_TENANT } from './grain.ts';
import { addTo } from './histogram.ts';
import { segmentsOf } from './window.ts';
import type { AnalyticsWindow, Segment } from './window.ts';

/** Counts, and what attempts took. */
export interface Rollup extends Counts {
  readonly latency: number[];
}

const COUNT_COLUMNS = COUNT_NAMES.map((name) => `r.${name}::double precision`).join(', ');

/*
 * Reads a handful of index ranges for each webhook, by primary key, and what is not folded yet, which is of some seconds: how
 * much was recorded before makes no difference. Whole keys are compared and ordered by: planned on empty tables, no other
 * index will do. Folded and not folded come from one snapshot, so nothing is missed or counted
 * twice while the fold moves it.
 */
const FOLDED = (table: 'rollup' | 'rollup_type'): string => `
  unnest($2::uuid[]) as given (webhook_id)
  cross join unnest($3::smallint[], $4::integer[], $5::integer[]) as segment (grain, first, beyond)
  cross join lateral (
    select * from ${table} r
    where (r.tenant_id, r.webhook_id, r.grain, r.minute) >= ($1::uuid, given.webhook_id, segment.grain, segment.first)
      and (r.tenant_id, r.webhook_id, r.grain, r.minute) < ($1, given.webhook_id, segment.grain, segment.beyond)
    order by r.tenant_id, r.webhook_id, r.grain, r.minute
  ) as r`;

const FRESH = (scope: Scope): string =>
  `rollup_outbox r where r.tenant_id = $1 ${scope === 'webhooks' ? 'and r.webhook_id = any($2::uuid[]) ' : ''}and r.minute >= $6 and r.minute < $7`;
const OWNER: Readonly<Record<Scope, string>> = { webhooks: 'r.webhook_id', tenant: `'${WHOLE_TENANT}'::uuid` };

type Scope = 'webhooks' | 'tenant';

const READ = (scope: Scope): string => `/*rollups_of_${scope}*/
select r.webhook_id, r.minute, ${COUNT_COLUMNS}, r.latency::text as latency, null as latencies
from ${FOLDED('rollup')}
union all
select ${OWNER[scope]}, r.minute, ${COUNT_COLUMNS}, null, r.latencies::text from ${FRESH(scope)}`;

const READ_TYPES = (scope: Scope): string => `/*type_rollups_of_${scope}*/
select webhook_id, event_type, ${COUNT_NAMES.map((name) => `sum(${name}) as ${name}`).join(', ')}
from (
  select r.webhook_id, r.event_type, ${COUNT_COLUMNS} from ${FOLDED('rollup_type')}
  union all
  select ${OWNER[scope]}, r.event_type, ${COUNT_COLUMNS} from ${FRESH(scope)}
) as counted (webhook_id, event_type, ${COUNT_NAMES.join(', ')})
group by webhook_id, event_type`;

const READ_RATES = `/*success_rates*/
select webhook_id, sum(delivered) as delivered, sum(failed) as failed
from (
  select r.webhook_id, r.delivered::double precision, r.failed::double precision from ${FOLDED('rollup')}
  union all
  select r.webhook_id, r.delivered, r.failed from ${FRESH('webhooks')}
) as counted
group by webhook_id`;

/** The statements, for the test of their plans. */
export const ROLLUP_READS = { READ_OF_WEBHOOKS: READ('webhooks'), READ_OF_TENANT: READ('tenant') } as const;

interface RollupRow extends Counts {
  readonly webhook_id: string;
  readonly minute: number;
  /** Attempts by bucket, folded; or a bucket for each attempt. As PostgreSQL writes arrays. */
  readonly latency: string | null;
  readonly latencies: string | null;
}

const scopeOf = (webhookIds: readonly string[]): Scope => (webhookIds[0] === WHOLE_TENANT ? 'tenant' : 'webhooks');

const valuesOf = (
  tenantId: string,
  webhookIds: readonly string[],
  { from, to }: AnalyticsWindow,
  segments: readonly Segment[],
): unknown[] => [
  tenantId,
  webhookIds,
  segments.map(({ grain }) => grain),
  segments.map((segment) => segment.from),
  segments.map((segment) => segment.to),
  from,
  to,
];

const numbersOf = (array: string): number[] => JSON.parse(`[${array.slice(1, -1)}]`) as number[];

const addRow = (sum: Rollup, row: RollupRow): void => {
  addCounts(sum, row);
  if (row.latency !== null) addTo(sum.latency, numbersOf(row.latency));
  if (row.latencies !== null) for (const bucket of numbersOf(row.latencies)) addTo(sum.latency, oneIn(bucket));
};

const oneIn = (bucket: number): number[] =>
  Object.assign(
    Array.from({ length: bucket + 1 }, () => 0),
    { [bucket]: 1 },
  );

const emptyRollup = (): Rollup => ({ ...noCounts(), latency: [] });

/** All of a window, by webhook; those without anything are left out. `WHOLE_TENANT` alone asks for the tenant. */
export const readTotals = async (
  sql: Sql,
  tenantId: string,
  webhookIds: readonly string[],
  window: AnalyticsWindow,
): Promise<Map<string, Rollup>> => {
  const totals = new Map<string, Rollup>();
  for (const row of await readRows(sql, tenantId, webhookIds, window, segmentsOf(window, DAY))) {
    addRow(totals.getOrInsertComputed(row.webhook_id, emptyRollup), row);
  }
  return totals;
};

/** The buckets of a window by webhook and by the minute that they begin at; those without anything are left out. */
export const readTimelines = async (
  sql: Sql,
  tenantId: string,
  webhookIds: readonly string[],
  window: AnalyticsWindow,
): Promise<Map<string, Map<number, Rollup>>> => {
  const timelines = new Map<string, Map<number, Rollup>>();
  for (const row of await readRows(sql, tenantId, webhookIds, window, segmentsOf(window, window.bucket))) {
    const timeline = timelines.getOrInsertComputed(row.webhook_id, () => new Map<number, Rollup>());
    addRow(timeline.getOrInsertComputed(floorTo(row.minute, window.bucket), emptyRollup), row);
  }
  return timelines;
};

const readRows = (
  sql: Sql,
  tenantId: string,
  webhookIds: readonly string[],
  window: AnalyticsWindow,
  segments: readonly Segment[],
): Promise<RollupRow[]> =>
  sql.query<RollupRow>(READ(scopeOf(webhookIds)), valuesOf(tenantId, webhookIds, window, segments));

/** What a webhook's deliveries of one event type came to. */
export interface TypeCounts extends Counts {
  readonly eventType: string;
}

/** By webhook, the most frequent types first. */
export const readTypes = async (
  sql: Sql,
  tenantId: string,
  webhookIds: readonly string[],
  window: AnalyticsWindow,
): Promise<Map<string, TypeCounts[]>> => {
  const rows = await sql.query<Counts & { webhook_id: string; event_type: string }>(
    READ_TYPES(scopeOf(webhookIds)),
    valuesOf(tenantId, webhookIds, window, segmentsOf(window, DAY)),
  );
  const types = new Map<string, TypeCounts[]>();
  for (const { webhook_id, event_type, ...counts } of rows) {
    types.getOrInsertComputed(webhook_id, () => [] as TypeCounts[]).push({ eventType: event_type, ...counts });
  }
  return types;
};

/** What succeeded and failed in a window, by webhook; those without anything are left out. */
export const readRates = async (
  sql: Sql,
  tenantId: string,
  webhookIds: readonly string[],
  window: AnalyticsWindow,
): Promise<Map<string, Pick<Counts, 'delivered' | 'failed'>>> => {
  const rows = await sql.query<Pick<Counts, 'delivered' | 'failed'> & { webhook_id: string }>(
    READ_RATES,
    valuesOf(tenantId, webhookIds, window, segmentsOf(window, DAY)),
  );
  return new Map(rows.map((row) => [row.webhook_id, row]));
};

const FIRST_MINUTE = `/*first_rollup*/
select least(
  (select minute from rollup where tenant_id = $1 and webhook_id = $2 and grain = ${DAY}
   order by tenant_id, webhook_id, grain, minute limit 1),
  (select min(minute) from rollup_outbox where tenant_id = $1 and (webhook_id = $2 or $2 = '${WHOLE_TENANT}'))
) as minute`;

/** The minute of the earliest delivery that is counted, or the first of its day; null without any. */
export const firstMinute = async (sql: Sql, tenantId: string, webhookId: string): Promise<number | null> =>
  (await sql.query<{ minute: number | null }>(FIRST_MINUTE, [tenantId, webhookId]))[0]!.minute;

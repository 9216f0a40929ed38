import type { Sql } from '../../platform/database.ts';
import { COUNT_NAMES, noCounts } from './counts.ts';
import type { Counts } from './counts.ts';
import { DAY, floorTo, FORTNIGHT, WHOLE_TENANT } from './grain.ts';
import { Latencies, packedEnd } from './histogram.ts';
import { segmentsOf } from './window.ts';
import type { AnalyticsWindow, Segment } from './window.ts';

/** Counts, and what attempts took. */
export interface Rollup extends Counts {
  readonly latency: Latencies;
}

const GIVEN = `unnest($2::uuid[]) as given (webhook_id)`;
const SEGMENTS = `unnest($3::smallint[], $4::integer[], $5::integer[]) as segment (grain, first, beyond)`;

/*
 * Reads a handful of index ranges for each webhook, by primary key, and what is not folded yet, which is of some seconds: how
 * much was recorded before makes no difference. Whole keys are compared and ordered by: planned on empty tables, no other
 * index will do. Folded and not folded come from one snapshot, so nothing is missed or counted
 * twice while the fold moves it.
 */
const FOLDED = (table: 'rollup' | 'rollup_type'): string => `
  select * from ${table} r
  where (r.tenant_id, r.webhook_id, r.grain, r.minute) >= ($1::uuid, given.webhook_id, segment.grain, segment.first)
    and (r.tenant_id, r.webhook_id, r.grain, r.minute) < ($1, given.webhook_id, segment.grain, segment.beyond)
  order by r.tenant_id, r.webhook_id, r.grain, r.minute`;

const FRESH = (scope: Scope): string =>
  `rollup_outbox r where r.tenant_id = $1 ${scope === 'webhooks' ? 'and r.webhook_id = given.webhook_id ' : ''}and r.minute >= $6 and r.minute < $7`;

type Scope = 'webhooks' | 'tenant';

const LISTS = ['minute', ...COUNT_NAMES].map((name) => `json_agg(r.${name}) as ${name}`).join(', ');

/** A stretch is one row of lists: 720 hours as rows took twice as long, here and there. */
const READ = (scope: Scope): string => `/*rollups_of_${scope}*/
select given.webhook_id, r.*
from ${GIVEN} cross join ${SEGMENTS}
cross join lateral (select ${LISTS}, string_agg(r.latency, '') as histograms, null::json as latencies from (${FOLDED('rollup')}) as r) as r
where r.minute is not null
union all
select given.webhook_id, r.*
from ${GIVEN} cross join lateral (select ${LISTS}, null::bytea, json_agg(r.latencies) from ${FRESH(scope)}) as r
where r.minute is not null`;

const COUNT_LIST = COUNT_NAMES.map((name) => `r.${name}`).join(', ');

const READ_TYPES = (scope: Scope): string => `/*type_rollups_of_${scope}*/
select given.webhook_id, counted.*
from ${GIVEN} cross join lateral (
  select r.event_type, ${COUNT_NAMES.map((name) => `sum(r.${name})::double precision as ${name}`).join(', ')}
  from (
    select r.event_type, ${COUNT_LIST} from ${SEGMENTS} cross join lateral (${FOLDED('rollup_type')}) as r
    union all
    select r.event_type, ${COUNT_LIST} from ${FRESH(scope)}
  ) as r
  group by r.event_type
) as counted`;

const READ_RATES = `/*success_rates*/
select given.webhook_id, counted.*
from ${GIVEN} cross join lateral (
  select sum(r.delivered)::double precision as delivered, sum(r.failed)::double precision as failed
  from (
    select r.delivered, r.failed from ${SEGMENTS} cross join lateral (${FOLDED('rollup')}) as r
    union all
    select r.delivered, r.failed from ${FRESH('webhooks')}
  ) as r
) as counted
where counted.delivered is not null`;

/** The statements, for the test of their plans. */
export const ROLLUP_READS = { READ_OF_WEBHOOKS: READ('webhooks'), READ_OF_TENANT: READ('tenant') } as const;

/** A stretch of one webhook: lists of the same length. */
interface RollupRow extends Readonly<Record<keyof Counts, readonly number[]>> {
  readonly webhook_id: string;
  readonly minute: readonly number[];
  /** Folded, packed. */
  readonly histograms: Buffer | null;
  /** Not folded: a bucket for each attempt. */
  readonly latencies: readonly (readonly number[] | null)[] | null;
}

const scopeOf = (webhookIds: readonly string[]): Scope => (webhookIds[0] === WHOLE_TENANT ? 'tenant' : 'webhooks');

const valuesOf = (tenantId: string, webhookIds: readonly string[], segments: readonly Segment[]): unknown[] => [
  tenantId,
  webhookIds,
  segments.map(({ grain }) => grain),
  segments.map((segment) => segment.from),
  segments.map((segment) => segment.to),
  segments[0]!.from,
  segments.at(-1)!.to,
];

const addRow = (row: RollupRow, sumOf: (minute: number) => Rollup): void => {
  let at = 0;
  for (const [index, minute] of row.minute.entries()) {
    const sum = sumOf(minute);
    for (const name of COUNT_NAMES) sum[name] += row[name][index]!;
    if (row.histograms) {
      sum.latency.addPacked(row.histograms, at);
      at = packedEnd(row.histograms, at);
    }
    for (const bucket of row.latencies?.[index] ?? []) sum.latency.countIn(bucket);
  }
};

export const emptyRollup = (): Rollup => ({ ...noCounts(), latency: new Latencies() });

/** All of a window, by webhook; those without anything are left out. `WHOLE_TENANT` alone asks for the tenant. */
export const readTotals = async (
  sql: Sql,
  tenantId: string,
  webhookIds: readonly string[],
  window: AnalyticsWindow,
): Promise<Map<string, Rollup>> => {
  const totals = new Map<string, Rollup>();
  for (const row of await readRows(sql, tenantId, webhookIds, segmentsOf(window, DAY))) {
    const total = totals.getOrInsertComputed(row.webhook_id, emptyRollup);
    addRow(row, () => total);
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
  for (const row of await readRows(sql, tenantId, webhookIds, segmentsOf(window, window.bucket))) {
    const timeline = timelines.getOrInsertComputed(row.webhook_id, () => new Map<number, Rollup>());
    addRow(row, (minute) => timeline.getOrInsertComputed(floorTo(minute, window.bucket), emptyRollup));
  }
  return timelines;
};

const readRows = (
  sql: Sql,
  tenantId: string,
  webhookIds: readonly string[],
  segments: readonly Segment[],
): Promise<RollupRow[]> => sql.query<RollupRow>(READ(scopeOf(webhookIds)), valuesOf(tenantId, webhookIds, segments));

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
    valuesOf(tenantId, webhookIds, segmentsOf(window, FORTNIGHT)),
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
    valuesOf(tenantId, webhookIds, segmentsOf(window, DAY)),
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

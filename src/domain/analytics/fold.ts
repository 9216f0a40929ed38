import type { Database, Sql } from '../../platform/database.ts';
import { addCounts, COUNT_NAMES, noCounts } from './counts.ts';
import type { Counts } from './counts.ts';
import { DAY, floorTo, GRAINS, KEPT, minuteOf, WHOLE_TENANT } from './grain.ts';

/** Event types that a webhook, or a tenant, has counts of its own for in one day. */
export const MOST_TYPES = 200;
/** What the others count as. No type can have this name. */
export const OTHER_TYPES = '(other)';

const ROWS_PER_FOLD = 2_000;
const REMOVED_AT_ONCE = 5_000;
/** Kept longer than they are answered, so that a reader with another clock finds them. */
const SLACK_MINUTES = 120;

/** Whoever holds it, for a transaction, folds. */
const FOLD_LOCK = 4_017_008;

const TAKE = `/*rollup_take*/
delete from rollup_outbox where id = any (array(select id from rollup_outbox order by id limit ${ROWS_PER_FOLD}))
returning tenant_id, webhook_id, event_type, minute, ${COUNT_NAMES.join(', ')}, latencies`;

const KNOWN_TYPES = `/*rollup_known_types*/
select r.tenant_id, r.webhook_id, r.minute, r.event_type
from unnest($1::uuid[], $2::uuid[], $3::integer[]) as given (tenant_id, webhook_id, minute)
join rollup_type r on r.tenant_id = given.tenant_id and r.webhook_id = given.webhook_id and r.grain = ${DAY}
  and r.minute = given.minute`;

const COUNT_LIST = COUNT_NAMES.join(', ');
const COUNT_TYPES = COUNT_NAMES.map((name) => `${name} bigint`).join(', ');
const addedTo = (table: string): string =>
  COUNT_NAMES.map((name) => `${name} = ${table}.${name} + excluded.${name}`).join(', ');

const ADD = `/*rollup_add*/
insert into rollup (tenant_id, webhook_id, grain, minute, ${COUNT_LIST}, latency)
select tenant_id, webhook_id, grain, minute, ${COUNT_LIST}, latency::bigint[]
from json_to_recordset($1::json) as given(tenant_id uuid, webhook_id uuid, grain smallint, minute integer, ${COUNT_TYPES}, latency text)
on conflict (tenant_id, webhook_id, grain, minute) do update
set ${addedTo('rollup')}, latency = add_latency(rollup.latency, excluded.latency)`;

const ADD_TYPES = `/*rollup_type_add*/
insert into rollup_type (tenant_id, webhook_id, grain, minute, event_type, ${COUNT_LIST})
select tenant_id, webhook_id, grain, minute, event_type, ${COUNT_LIST}
from json_to_recordset($1::json) as given(tenant_id uuid, webhook_id uuid, grain smallint, minute integer, event_type text, ${COUNT_TYPES})
on conflict (tenant_id, webhook_id, grain, minute, event_type) do update set ${addedTo('rollup_type')}`;

interface FreshRow extends Counts {
  readonly tenant_id: string;
  readonly webhook_id: string;
  readonly event_type: string;
  readonly minute: number;
  readonly latencies: number[] | null;
}

/**
 * Moves a slice of fresh counts into minutes, hours and days, of their webhooks and of their tenants, in one transaction: each
 * row counts once, whatever dies when. Counts for a past minute, of a delivery that was retried, are added to it like any
 * other; grains that are not kept that far back are left out.
 *
 * @returns how many rows were folded; null where another process is at it
 */
export const foldOnce = (database: Database, nowMs: number): Promise<number | null> =>
  database.transaction(async (sql) => {
    const [lock] = await sql.query<{ mine: boolean }>(`/*rollup_lock*/ select pg_try_advisory_xact_lock($1) as mine`, [
      FOLD_LOCK,
    ]);
    if (!lock?.mine) return null;
    const fresh = await sql.query<FreshRow>(TAKE);
    if (fresh.length === 0) return 0;
    const named = await boundedTypes(sql, fresh);
    const now = minuteOf(nowMs);
    const totals = new Map<string, Counts & { latency: number[] | string }>();
    const types = new Map<string, Counts>();
    for (const row of fresh) {
      for (const webhook_id of [row.webhook_id, WHOLE_TENANT]) {
        const event_type = named(row, webhook_id);
        for (const grain of GRAINS) {
          const minute = floorTo(row.minute, grain);
          if (minute < now - KEPT[grain] - SLACK_MINUTES) continue;
          const place = { tenant_id: row.tenant_id, webhook_id, grain, minute };
          const key = `${row.tenant_id} ${webhook_id} ${grain} ${minute}`;
          const total = totals.getOrInsertComputed(key, () => ({ ...place, ...noCounts(), latency: [] as number[] }));
          addCounts(total, row);
          for (const bucket of row.latencies ?? []) count(total.latency as number[], bucket);
          const ofType = types.getOrInsertComputed(`${key} ${event_type}`, () => ({
            ...place,
            event_type,
            ...noCounts(),
          }));
          addCounts(ofType, row);
        }
      }
    }
    for (const total of totals.values()) total.latency = `{${(total.latency as number[]).join(',')}}`;
    await sql.query(ADD, [JSON.stringify(inOrder(totals))]);
    await sql.query(ADD_TYPES, [JSON.stringify(inOrder(types))]);
    return fresh.length;
  });

/**
 * What each row counts as, of its own webhook and of the tenant: its type, or the others where the day has {@link MOST_TYPES} of
 * them already. All grains of a day agree, and go on to, so that what is taken out of a count is taken where it was put.
 */
const boundedTypes = async (
  sql: Sql,
  fresh: readonly FreshRow[],
): Promise<(row: FreshRow, webhookId: string) => string> => {
  const dayKey = (tenantId: string, webhookId: string, minute: number): string => `${tenantId} ${webhookId} ${minute}`;
  const days = new Map<string, { tenantId: string; webhookId: string; minute: number; types: Set<string> }>();
  for (const row of fresh) {
    for (const webhookId of [row.webhook_id, WHOLE_TENANT]) {
      const minute = floorTo(row.minute, DAY);
      days.getOrInsertComputed(dayKey(row.tenant_id, webhookId, minute), () => ({
        tenantId: row.tenant_id,
        webhookId,
        minute,
        types: new Set<string>(),
      }));
    }
  }
  const given = [...days.values()];
  const known = await sql.query<Omit<FreshRow, keyof Counts>>(KNOWN_TYPES, [
    given.map(({ tenantId }) => tenantId),
    given.map(({ webhookId }) => webhookId),
    given.map(({ minute }) => minute),
  ]);
  for (const row of known) days.get(dayKey(row.tenant_id, row.webhook_id, row.minute))!.types.add(row.event_type);
  return (row, webhookId) => {
    const { types } = days.get(dayKey(row.tenant_id, webhookId, floorTo(row.minute, DAY)))!;
    if (!types.has(row.event_type) && types.size >= MOST_TYPES) return OTHER_TYPES;
    types.add(row.event_type);
    return row.event_type;
  };
};

const count = (latency: number[], bucket: number): void => {
  while (latency.length <= bucket) latency.push(0);
  latency[bucket]!++;
};

const inOrder = (rows: ReadonlyMap<string, object>): object[] =>
  [...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);

const REMOVE = (table: 'rollup' | 'rollup_type'): string => `/*${table}_remove*/
delete from ${table} where ctid = any (array(
  select ctid from ${table} where grain = $1 and minute < $2 order by grain, minute limit ${REMOVED_AT_ONCE}))
returning 1`;

/** Removes what is not kept any more, in slices. @returns how many rows */
export const removeExpiredRollups = async (sql: Sql, nowMs: number): Promise<number> => {
  let removed = 0;
  for (const table of ['rollup', 'rollup_type'] as const) {
    for (const grain of GRAINS) {
      for (;;) {
        const slice = await sql.query(REMOVE(table), [grain, minuteOf(nowMs) - KEPT[grain] - SLACK_MINUTES - grain]);
        removed += slice.length;
        if (slice.length < REMOVED_AT_ONCE) break;
      }
    }
  }
  return removed;
};

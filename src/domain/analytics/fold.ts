import type { Database, Sql } from '../../platform/database.ts';
import { addCounts, COUNT_NAMES, noCounts } from './counts.ts';
import type { Counts } from './counts.ts';
import { DAY, floorTo, FORTNIGHT, GRAINS, KEPT, minuteOf, TYPE_GRAINS, WHOLE_TENANT } from './grain.ts';
import type { Grain } from './grain.ts';
import { addPacked, countIn, packed } from './histogram.ts';

/** Event types that a webhook, or a tenant, has counts of its own for in one day. */
export const MOST_TYPES = 200;
/** What the others count as. No type can have this name. */
export const OTHER_TYPES = '(other)';

const ROWS_PER_FOLD = 2_000;
const REMOVED_AT_ONCE = 5_000;
/** Kept longer than they are answered, so that a reader with another clock finds them. */
const SLACK_MINUTES = 120;

/** Days go with the fortnight that they are in: whichever of them is read, it comes to the same. */
const goesWith = (grain: Grain): Grain => (grain === DAY ? FORTNIGHT : grain);

/** The first minute of which anything of this grain is kept. */
const keptSince = (grain: Grain, now: number): number => floorTo(now - KEPT[grain] - SLACK_MINUTES, goesWith(grain));

/** Whoever holds it, for a transaction, folds. */
const FOLD_LOCK = 4_017_008;

const TAKE = `/*rollup_take*/
delete from rollup_outbox where id = any (array(select id from rollup_outbox order by id limit ${ROWS_PER_FOLD}))
returning tenant_id, webhook_id, event_type, minute, ${COUNT_NAMES.join(', ')}, latencies`;

/** What there is of given rows: whole keys are compared and ordered by, so that no other index will do. */
const AT_GIVEN = (table: 'rollup' | 'rollup_type'): string => `
  select * from ${table} r
  where (r.tenant_id, r.webhook_id, r.grain, r.minute) >= (given.tenant_id, given.webhook_id, given.grain, given.minute)
    and (r.tenant_id, r.webhook_id, r.grain, r.minute) <= (given.tenant_id, given.webhook_id, given.grain, given.minute)
  order by r.tenant_id, r.webhook_id, r.grain, r.minute`;
const GIVEN = `unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::integer[]) as given (tenant_id, webhook_id, grain, minute)`;

const READ_TYPES = `/*rollup_known_types*/
select r.tenant_id, r.webhook_id, r.minute, r.event_type from ${GIVEN} cross join lateral (${AT_GIVEN('rollup_type')}) as r`;

const READ_LATENCIES = `/*rollup_latencies*/
select r.tenant_id, r.webhook_id, r.grain, r.minute, r.latency from ${GIVEN} cross join lateral (${AT_GIVEN('rollup')}) as r`;

const COUNT_LIST = COUNT_NAMES.join(', ');
const COUNT_TYPES = COUNT_NAMES.map((name) => `${name} bigint`).join(', ');
const addedTo = (table: string): string =>
  COUNT_NAMES.map((name) => `${name} = ${table}.${name} + excluded.${name}`).join(', ');

const ADD = `/*rollup_add*/
insert into rollup (tenant_id, webhook_id, grain, minute, ${COUNT_LIST}, latency)
select tenant_id, webhook_id, grain, minute, ${COUNT_LIST}, decode(latency, 'hex')
from json_to_recordset($1::json) as given(tenant_id uuid, webhook_id uuid, grain smallint, minute integer, ${COUNT_TYPES}, latency text)
on conflict (tenant_id, webhook_id, grain, minute) do update
set ${addedTo('rollup')}, latency = excluded.latency`;

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

/** A row of the rollups. */
interface Place {
  readonly tenant_id: string;
  readonly webhook_id: string;
  readonly grain: Grain;
  readonly minute: number;
}

interface Total extends Place, Counts {
  readonly latency: number[];
}

const keyOf = ({ tenant_id, webhook_id, grain, minute }: Place): string =>
  `${tenant_id} ${webhook_id} ${grain} ${minute}`;

const dayOf = ({ tenant_id, minute }: Pick<Place, 'tenant_id' | 'minute'>, webhook_id: string): Place => ({
  tenant_id,
  webhook_id,
  grain: DAY,
  minute: floorTo(minute, DAY),
});

/**
 * Moves a slice of fresh counts into all grains, of their webhooks and of their tenants, in one transaction: each
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
    const totals = new Map<string, Total>();
    const types = new Map<string, Counts>();
    for (const row of fresh) {
      for (const webhook_id of [row.webhook_id, WHOLE_TENANT]) {
        const event_type = named(row, webhook_id);
        for (const grain of TYPE_GRAINS) {
          const minute = floorTo(row.minute, grain);
          if (minute < keptSince(grain, now)) continue;
          const place = { tenant_id: row.tenant_id, webhook_id, grain, minute };
          const key = keyOf(place);
          if (grain !== FORTNIGHT) {
            const total = totals.getOrInsertComputed(key, () => ({ ...place, ...noCounts(), latency: [] }));
            addCounts(total, row);
            for (const bucket of row.latencies ?? []) countIn(total.latency, bucket);
          }
          const ofType = types.getOrInsertComputed(`${key} ${event_type}`, () => ({
            ...place,
            event_type,
            ...noCounts(),
          }));
          addCounts(ofType, row);
        }
      }
    }
    await addStoredLatencies(sql, totals);
    await sql.query(ADD, [
      JSON.stringify(inOrder(totals).map((total) => ({ ...total, latency: packed(total.latency).toString('hex') }))),
    ]);
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
  const days = new Map<string, Place & { types: Set<string> }>();
  for (const row of fresh) {
    for (const webhookId of [row.webhook_id, WHOLE_TENANT]) {
      const day = dayOf(row, webhookId);
      days.getOrInsertComputed(keyOf(day), () => ({ ...day, types: new Set<string>() }));
    }
  }
  const known = await readAt<Omit<FreshRow, keyof Counts>>(sql, READ_TYPES, [...days.values()]);
  for (const row of known) days.get(keyOf(dayOf(row, row.webhook_id)))!.types.add(row.event_type);
  return (row, webhookId) => {
    const { types } = days.get(keyOf(dayOf(row, webhookId)))!;
    if (!types.has(row.event_type) && types.size >= MOST_TYPES) return OTHER_TYPES;
    types.add(row.event_type);
    return row.event_type;
  };
};

/** What is stored is written anew: nobody else writes it meanwhile, because only one process folds. */
const addStoredLatencies = async (sql: Sql, totals: ReadonlyMap<string, Total>): Promise<void> => {
  for (const stored of await readAt<Place & { latency: Buffer }>(sql, READ_LATENCIES, [...totals.values()])) {
    addPacked(totals.get(keyOf(stored))!.latency, stored.latency);
  }
};

const readAt = <Row>(sql: Sql, statement: string, places: readonly Place[]): Promise<Row[]> =>
  sql.query<Row>(statement, [
    places.map(({ tenant_id }) => tenant_id),
    places.map(({ webhook_id }) => webhook_id),
    places.map(({ grain }) => grain),
    places.map(({ minute }) => minute),
  ]);

/** The statements that read, for the test of their plans. */
export const FOLD_READS = { READ_TYPES, READ_LATENCIES } as const;

const inOrder = <Row>(rows: ReadonlyMap<string, Row>): Row[] =>
  [...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);

const REMOVE = (table: 'rollup' | 'rollup_type'): string => `/*${table}_remove*/
delete from ${table} where ctid = any (array(
  select ctid from ${table} where grain = $1 and minute < $2 order by grain, minute limit ${REMOVED_AT_ONCE}))
returning 1`;

/** Removes what is not kept any more, in slices. @returns how many rows */
export const removeExpiredRollups = async (sql: Sql, nowMs: number): Promise<number> => {
  let removed = 0;
  for (const [table, grains] of [
    ['rollup', GRAINS],
    ['rollup_type', TYPE_GRAINS],
  ] as const) {
    for (const grain of grains) {
      for (;;) {
        const slice = await sql.query(REMOVE(table), [grain, keptSince(grain, minuteOf(nowMs)) - goesWith(grain)]);
        removed += slice.length;
        if (slice.length < REMOVED_AT_ONCE) break;
      }
    }
  }
  return removed;
};

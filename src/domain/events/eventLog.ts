import type { Sql } from '../../platform/database.ts';
import { BEYOND_IDS, idTime, lowestIdAt, LOWEST_ID } from '../../platform/ids.ts';
import type { EventRecord } from './event.ts';
import { splitTypePatterns } from './typePatterns.ts';
import { COUNT_LIMIT } from '../page.ts';

/** Which events a list shows; what is left out does not narrow, and an empty list of types matches nothing. */
export interface EventListFilter {
  /** Names, or wildcards such as `ticket.*`. */
  readonly types?: readonly string[] | undefined;
  /** Published at or after. */
  readonly from?: Date | undefined;
  /** Published before. */
  readonly to?: Date | undefined;
  readonly entityId?: string | undefined;
}

export interface EventPage {
  /** Newest first. */
  readonly events: readonly EventRecord[];
  readonly hasMore: boolean;
}

interface EventRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly type: string;
  readonly entity_id: string | null;
  readonly source: string;
  readonly is_test: boolean;
  readonly hops: number;
  readonly occurred_at: number;
  readonly published_at: number;
  readonly body: string;
}

const COLUMNS = `id, tenant_id, type, entity_id, source, is_test, hops,
  epoch_ms(occurred_at) as occurred_at, epoch_ms(published_at) as published_at, body`;

/** The events with these ids, tests too; those of other tenants and those that are not kept any more are left out. */
export const findEvents = async (
  sql: Sql,
  tenantId: string,
  ids: readonly string[],
): Promise<Map<string, EventRecord>> => {
  if (ids.length === 0) return new Map();
  const times = ids.map(idTime);
  // The range lets PostgreSQL leave out partitions; it can't do that for the list.
  const rows = await sql.query<EventRow>(
    `/*events_by_id*/ select ${COLUMNS} from event
     where id = any($2::uuid[]) and id >= $3 and id < $4 and tenant_id = $1`,
    [tenantId, ids, lowestIdAt(Math.min(...times)), lowestIdAt(Math.max(...times) + 1)],
  );
  return new Map(rows.map((row) => [row.id, eventOf(row)]));
};

/** One event by its id, a test too; null where this tenant has none such. */
export const findEvent = async (sql: Sql, tenantId: string, id: string): Promise<EventRecord | null> =>
  (await findEvents(sql, tenantId, [id])).get(id) ?? null;

/*
 * As lists of deliveries are read (see deliveryList.ts): without a filter the end of an index; with one the newest two hundred
 * first, and where they hold no page, the end of an index for each type or for the entity. Whole keys are compared and ordered
 * by, so that the planner has no other index to walk. $1 tenant, $2 ids below, $3 ids from, $4 types, $5 prefixes of types,
 * of which null does not narrow; $6 and $7 by statement: an entity, most rows.
 */
const LOOKED_THROUGH = 200;

const IN_RANGE = `e.id < $2::uuid and e.id >= $3::uuid and not e.is_test`;
const OF_TENANT = `(e.tenant_id, e.id) < ($1::uuid, $2::uuid) and (e.tenant_id, e.id) >= ($1, $3::uuid) and ${IN_RANGE}`;
const typeFits = (type: string): string => `($4::text[] is null or ${type} = any($4)
  or exists (select from unnest($5::text[]) as prefix where starts_with(${type}, prefix)))`;
const FILTER = `${typeFits('e.type')} and ($6::text is null or e.entity_id = $6)`;

/** What fits of the newest $8. The floor says how far was looked; null: to the end. */
const LOOK = `/*events_of_tenant*/
with newest as materialized (
  select * from event e where ${OF_TENANT} order by e.tenant_id desc, e.id desc limit $8
)
select fitting.*, floors.floor
from (select (select id from newest offset $8 - 1 limit 1) as floor) as floors
left join (select ${COLUMNS} from newest e where ${FILTER} order by id desc limit $7) as fitting on true
order by fitting.id desc`;

/** All types that the tenant has events of, found by leaping from one to the next, of which those that fit; as an array. */
const TYPES = `unnest(array(
  with recursive known (type) as (
    (select e.type from event e where e.tenant_id = $1 and not e.is_test order by e.tenant_id, e.type limit 1)
    union all
    select (select e.type from event e where e.tenant_id = $1 and not e.is_test and e.type > known.type
      order by e.tenant_id, e.type limit 1)
    from known where known.type is not null
  )
  select type from known where type is not null and ${typeFits('known.type')}
)) as fitting (type)`;
const OF_TYPE = `e.tenant_id = $1 and e.type = fitting.type and ${IN_RANGE}`;
const OF_ENTITY = `(e.tenant_id, e.entity_id, e.id) < ($1::uuid, $6::text, $2::uuid)
  and (e.tenant_id, e.entity_id, e.id) >= ($1, $6, $3::uuid) and e.entity_id is not null and ${IN_RANGE}`;

const BY_TYPES = `/*events_by_type*/
with newest as materialized (
  select page.id from ${TYPES}
  cross join lateral (select e.id from event e where ${OF_TYPE} order by e.id desc limit $6) as page
  order by page.id desc limit $6
)
select ${COLUMNS} from newest join event e using (id) where e.id < $2 and e.id >= $3 order by id desc`;

const BY_ENTITY = `/*events_of_entity*/
select ${COLUMNS} from event e where ${OF_ENTITY} and ${typeFits('e.type')}
order by e.tenant_id desc, e.entity_id desc, e.id desc limit $7`;

const COUNT_ALL = `/*events_count*/
select count(*)::integer as count from (
  select from event e where ${OF_TENANT} order by e.tenant_id desc, e.id desc limit $4
) as counted`;
const COUNT_BY_TYPES = `/*events_count_by_type*/
select count(*)::integer as count from (
  select from ${TYPES} cross join lateral (
    select from event e where ${OF_TYPE} order by e.id desc limit $6
  ) as counted limit $6
) as counted`;
const COUNT_BY_ENTITY = `/*events_count_of_entity*/
select count(*)::integer as count from (
  select from event e where ${OF_ENTITY} and ${typeFits('e.type')}
  order by e.tenant_id desc, e.entity_id desc, e.id desc limit $7
) as counted`;

/** The statements, for the test of their plans. */
export const EVENT_LISTS = { LOOK, BY_TYPES, BY_ENTITY, COUNT_ALL, COUNT_BY_TYPES, COUNT_BY_ENTITY } as const;

/**
 * At most `first` events, newest first, after the event with the id `after` (null: from the newest). Tests are left out.
 */
export const listEvents = async (
  sql: Sql,
  tenantId: string,
  filter: EventListFilter,
  page: { readonly first: number; readonly after: string | null },
): Promise<EventPage> => {
  const asked = askedFor(filter, page.after);
  if (asked === null) return { events: [], hasMore: false };
  const { below, least, types, prefixes, entityId } = asked;
  const most = page.first + 1;
  const values = [tenantId, below, least, types, prefixes];
  const narrows = types !== null || entityId !== null;
  const look = narrows ? Math.max(LOOKED_THROUGH, most) : most;
  const looked = await sql.query<(EventRow | { readonly id: null }) & { readonly floor: string | null }>(LOOK, [
    ...values,
    entityId,
    most,
    look,
  ]);
  const rows = looked.filter((row): row is EventRow & { floor: string | null } => row.id !== null);
  if (looked[0]!.floor === null || rows.length === most) return pageOf(rows, page.first);
  const found =
    entityId === null
      ? await sql.query<EventRow>(BY_TYPES, [...values, most])
      : await sql.query<EventRow>(BY_ENTITY, [...values, entityId, most]);
  return pageOf(found, page.first);
};

const pageOf = (rows: readonly EventRow[], first: number): EventPage => ({
  events: rows.slice(0, first).map(eventOf),
  hasMore: rows.length > first,
});

/** How many events a list has in all: exact up to 100,000, and 100,000 beyond, so that counting never takes long. */
export const countEvents = async (sql: Sql, tenantId: string, filter: EventListFilter): Promise<number> => {
  const asked = askedFor(filter, null);
  if (asked === null) return 0;
  const { below, least, types, prefixes, entityId } = asked;
  const range = [tenantId, below, least];
  const count = (text: string, values: readonly unknown[]): Promise<{ count: number }[]> => sql.query(text, values);
  const [row] =
    entityId !== null
      ? await count(COUNT_BY_ENTITY, [...range, types, prefixes, entityId, COUNT_LIMIT])
      : types !== null
        ? await count(COUNT_BY_TYPES, [...range, types, prefixes, COUNT_LIMIT])
        : await count(COUNT_ALL, [...range, COUNT_LIMIT]);
  return row!.count;
};

interface Asked {
  readonly below: string;
  readonly least: string;
  readonly types: readonly string[] | null;
  readonly prefixes: readonly string[] | null;
  readonly entityId: string | null;
}

/** Null where nothing can fit. */
const askedFor = (filter: EventListFilter, after: string | null): Asked | null => {
  if (filter.types?.length === 0) return null;
  const below = [after ?? BEYOND_IDS, filter.to ? lowestIdAt(filter.to.getTime()) : BEYOND_IDS].sort()[0]!;
  const least = filter.from ? lowestIdAt(filter.from.getTime()) : LOWEST_ID;
  if (least >= below) return null;
  const types = filter.types && !filter.types.includes('*') ? splitTypePatterns(filter.types) : null;
  return {
    below,
    least,
    types: types?.names ?? null,
    prefixes: types?.prefixes ?? null,
    entityId: filter.entityId ?? null,
  };
};

const eventOf = (row: EventRow): EventRecord => ({
  id: row.id,
  tenantId: row.tenant_id,
  type: row.type,
  entityId: row.entity_id,
  source: row.source,
  isTest: row.is_test,
  hops: row.hops,
  occurredAt: dateOf(row.occurred_at),
  publishedAt: dateOf(row.published_at),
  body: row.body,
});

/** Rounded: a Date cuts off fractions, and 122.9999 stands for 123. */
const dateOf = (epochMs: number): Date => new Date(Math.round(epochMs));

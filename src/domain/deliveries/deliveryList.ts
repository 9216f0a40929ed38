import type { Sql } from '../../platform/database.ts';
import { BEYOND_IDS, idRangeOf, lowestIdAt, LOWEST_ID } from '../../platform/ids.ts';
import { WHOLE_TENANT } from '../analytics/grain.ts';
import { splitTypePatterns } from '../events/typePatterns.ts';
import type { DeliveryRecord, DeliveryStatus } from './delivery.ts';
import { deliveryOf, ENDED_COLUMNS, OPEN_COLUMNS, OPEN_STATUS, WITH_TARGET } from './history.ts';
import type { DeliveryListFilter, DeliveryRow } from './history.ts';
import { COUNT_LIMIT } from '../page.ts';

/*
 * A list is ordered by id, and ids are times. Without a filter a page is the end of an index, (tenant_id, id) or
 * (webhook_id, id). With one, the newest two hundred deliveries are looked through first: most filters find a page among them.
 * Where they don't, what ended is read by its facets (see the migration that made them): the end of one range of an index for
 * each facet that fits, merged. So a page costs the same whether its deliveries are the newest or rare among millions, and
 * whoever else has how many.
 *
 * The statements are few, prepared, and planned once for values that they don't know. Comparing whole index keys, and ordering by
 * them, leaves the planner no index but the one that is meant: with `tenant_id = $1` it walked the primary key of everybody's
 * deliveries where statistics said that a tenant has a good part of them (101 ms for a small tenant's page, against 2).
 */

export interface DeliveryPage {
  /** Newest first. */
  readonly deliveries: readonly DeliveryRecord[];
  readonly hasMore: boolean;
}

/** Looked through for a filter, of what is open and of what ended, before anything is read by facets. */
const LOOKED_THROUGH = 200;

type Owner = 'tenant' | 'webhook';

// $1 tenant, $2 owner, $3 ids below, $4 ids from. The filter, of which null does not narrow: $5 statuses, $6 types, $7 prefixes of
// types, $8 is_test, $9 response status. $10 most rows; more by statement.
const FILTER = (status: string): string => `d.tenant_id = $1
  and ($5::text[] is null or ${status} = any($5))
  and ${typeFits('d')}
  and ($8::boolean is null or d.is_test = $8)
  and ($9::integer is null or d.response_status = $9)`;
const typeFits = (of: string): string => `($6::text[] is null or ${of}.event_type = any($6)
    or exists (select from unnest($7::text[]) as prefix where starts_with(${of}.event_type, prefix)))`;
const IN_RANGE = `d.id < $3::uuid and d.id >= $4::uuid`;

const ofOwner = (owner: Owner, id: string): string =>
  `(d.${owner}_id, d.id) < (${id}::uuid, $3::uuid) and (d.${owner}_id, d.id) >= (${id}, $4::uuid) and ${IN_RANGE}`;
const newestFirst = (owner: Owner): string => `order by d.${owner}_id desc, d.id desc`;

/**
 * What fits of the newest $11 that ended and $12 that are open, of the owner $2. The floors say how far each of the two was
 * looked through; null: to its end.
 */
const LOOK = (owner: Owner): string => `/*deliveries_of_${owner}*/
with ended as materialized (
  select d.* from delivery d where ${ofOwner(owner, '$2')} ${newestFirst(owner)} limit $11
), open as materialized (
  select d.* from delivery_open d where ${ofOwner(owner, '$2')} ${newestFirst(owner)} limit $12
), fitting as (
  select ${ENDED_COLUMNS} from ended d where ${FILTER('d.status')}
  union all
  select ${OPEN_COLUMNS} from open d ${WITH_TARGET} where ${FILTER(OPEN_STATUS)}
  order by id desc limit $10
)
select fitting.*, floors.ended as ended_floor, floors.open as open_floor
from (
  select (select id from ended offset greatest($11, 1) - 1 limit 1) as ended,
    (select id from open offset greatest($12, 1) - 1 limit 1) as open
) as floors left join fitting on true
order by fitting.id desc`;

/** The tenant's facets that fit; a webhook ($2; zeros for the whole tenant) may have none of some. */
const FACETS = `unnest(array(
  select f.facet from delivery_facet f
  where f.tenant_id = $1 and $2::uuid is not null
    and ($5::text[] is null or f.status = any($5))
    and ${typeFits('f')}
    and ($8::boolean is null or f.is_test = $8)
    and ($9::integer is null or f.response_status = $9)
)) as fitting (facet)`;
const OWNER_ID: Readonly<Record<Owner, string>> = { tenant: '$1', webhook: '$2' };
/** The newest of each facet, which is one tenant's, by index alone. Ordered where it need not be, too: that is what settles the index. */
const ofFacets = (owner: Owner): string => `${FACETS}
  cross join lateral (
    select d.id from delivery d
    where ${owner === 'webhook' ? 'd.webhook_id = $2 and ' : ''}d.facet = fitting.facet and ${IN_RANGE}
    order by d.id desc limit $10
  ) as page`;
/**
 * $11: whether anything that is open can fit. Tests are recorded when they are over: nobody looks for them among all that is open.
 * OFFSET 0 keeps the filter's `tenant_id = $1` out of the walk, which with it would go by the primary key.
 */
const openOf = (owner: Owner): string => `from (
    select * from delivery_open d where ${ofOwner(owner, OWNER_ID[owner])} ${newestFirst(owner)} offset 0
  ) as d ${WITH_TARGET}
  where $11::boolean and ($8::boolean is not true or exists (select from delivery_open where is_test and tenant_id = $1))
    and ${FILTER(OPEN_STATUS)} ${newestFirst(owner)} limit $10`;

const BY_FACETS = (owner: Owner): string => `/*deliveries_of_${owner}_by_facet*/
with newest as materialized (select page.id from ${ofFacets(owner)} order by page.id desc limit $10)
(select ${ENDED_COLUMNS} from newest join delivery d on d.id = newest.id and d.tenant_id = $1 and ${IN_RANGE})
union all
(select ${OPEN_COLUMNS} ${openOf(owner)})
order by id desc limit $10`;

const COUNT = (owner: Owner): string => `/*deliveries_count_of_${owner}*/
select count(*)::integer as count from (
  (select from ${ofFacets(owner)} limit $10) union all (select ${openOf(owner)}) limit $10
) as counted`;

/** An event's deliveries have its millisecond in their ids: few rows, looked through one by one. $11: the event. */
const ofEvent = (columns: 'page' | 'count', order: string): string => {
  const of = `($2::uuid = '${WHOLE_TENANT}' or d.webhook_id = $2) and d.event_id = $11::uuid and ${IN_RANGE}`;
  const select = (all: string): string => (columns === 'page' ? all : '');
  return `(select ${select(ENDED_COLUMNS)} from delivery d where ${of} and ${FILTER('d.status')} ${order} limit $10)
  union all
  (select ${select(OPEN_COLUMNS)} from delivery_open d ${WITH_TARGET} where ${of} and ${FILTER(OPEN_STATUS)} ${order} limit $10)`;
};
const OF_EVENT = `/*deliveries_of_event*/ ${ofEvent('page', 'order by d.id desc')} order by id desc limit $10`;
const COUNT_OF_EVENT = `/*deliveries_count_of_event*/
select count(*)::integer as count from (${ofEvent('count', '')} limit $10) as counted`;

/** The statements, for the test of their plans. */
export const DELIVERY_LISTS = { LOOK, BY_FACETS, COUNT, OF_EVENT, COUNT_OF_EVENT } as const;

/**
 * At most `first` deliveries, newest first (of one millisecond: in the order of their ids), after the delivery with the
 * id `after` (null: from the newest). Open and ended are read in one statement, so in one snapshot, and a delivery that moves from
 * the one to the other is seen once.
 */
export const listDeliveries = async (
  sql: Sql,
  tenantId: string,
  filter: DeliveryListFilter,
  page: { readonly first: number; readonly after: string | null },
): Promise<DeliveryPage> => {
  const asked = askedFor(filter, page.after);
  const most = page.first + 1;
  if (asked === null) return { deliveries: [], hasMore: false };
  if (filter.eventId !== undefined) {
    return pageOf(
      await sql.query<DeliveryRow>(OF_EVENT, [...asked.values(tenantId), most, filter.eventId]),
      page.first,
    );
  }
  const look = asked.narrows ? Math.max(LOOKED_THROUGH, most) : most;
  const rows = await sql.query<DeliveryRow & Floors>(LOOK(asked.owner), [
    ...asked.values(tenantId, filter.webhookId ?? tenantId),
    most,
    asked.ended ? look : 0,
    asked.open ? look : 0,
  ]);
  const known = withinFloors(rows);
  if (known.isAll || known.rows.length === most) return pageOf(known.rows, page.first);
  return pageOf(
    await sql.query<DeliveryRow>(BY_FACETS(asked.owner), [...asked.values(tenantId), most, asked.open]),
    page.first,
  );
};

/** How many deliveries a list has in all: exact up to 100,000, and 100,000 beyond, so that counting never takes long. */
export const countDeliveries = async (sql: Sql, tenantId: string, filter: DeliveryListFilter): Promise<number> => {
  const asked = askedFor(filter, null);
  if (asked === null) return 0;
  const values = [...asked.values(tenantId), COUNT_LIMIT];
  const [row] =
    filter.eventId === undefined
      ? await sql.query<{ count: number }>(COUNT(asked.owner), [...values, asked.open])
      : await sql.query<{ count: number }>(COUNT_OF_EVENT, [...values, filter.eventId]);
  return row!.count;
};

interface Floors {
  readonly ended_floor: string | null;
  readonly open_floor: string | null;
}

/** Of what was looked through, that below which neither table was. */
const withinFloors = (
  rows: readonly ((DeliveryRow | { readonly id: null }) & Floors)[],
): { rows: DeliveryRow[]; isAll: boolean } => {
  const { ended_floor: ended, open_floor: open } = rows[0]!;
  const floor = [ended ?? LOWEST_ID, open ?? LOWEST_ID].sort().at(-1)!;
  return {
    rows: rows.filter((row): row is DeliveryRow & Floors => row.id !== null && row.id >= floor),
    isAll: ended === null && open === null,
  };
};

const pageOf = (rows: readonly DeliveryRow[], first: number): DeliveryPage => ({
  deliveries: rows.slice(0, first).map(deliveryOf),
  hasMore: rows.length > first,
});

interface Asked {
  readonly owner: Owner;
  /** Whether anything that ended, or is open, can fit. */
  readonly ended: boolean;
  readonly open: boolean;
  /** Whether not all of the owner's deliveries in the range fit. */
  readonly narrows: boolean;
  /** $1 to $9; $2 is the webhook, or zeros, where no owner is given. */
  values(tenantId: string, ownerId?: string): unknown[];
}

const OPEN_STATUSES: ReadonlySet<DeliveryStatus> = new Set<DeliveryStatus>(['PENDING', 'RETRYING', 'HELD']);

/** Null where nothing can fit. */
const askedFor = (filter: DeliveryListFilter, after: string | null): Asked | null => {
  const { webhookId, eventId, status, eventTypes, isTest, responseStatus, from, to } = filter;
  if (status?.length === 0 || eventTypes?.length === 0) return null;
  const [eventFrom, eventTo] = eventId === undefined ? [LOWEST_ID, BEYOND_IDS] : idRangeOf([eventId]);
  const below = [after ?? BEYOND_IDS, to ? lowestIdAt(to.getTime()) : BEYOND_IDS, eventTo].sort()[0]!;
  const least = [from ? lowestIdAt(from.getTime()) : LOWEST_ID, eventFrom].sort().at(-1)!;
  if (least >= below) return null;
  const types = eventTypes?.includes('*') ? undefined : eventTypes && splitTypePatterns(eventTypes);
  return {
    owner: webhookId === undefined ? 'tenant' : 'webhook',
    ended: !status || status.some((one) => !OPEN_STATUSES.has(one)),
    open: !status || status.some((one) => OPEN_STATUSES.has(one)),
    narrows: Boolean(status ?? types) || isTest !== undefined || responseStatus !== undefined,
    values: (tenantId, ownerId) => [
      tenantId,
      ownerId ?? webhookId ?? WHOLE_TENANT,
      below,
      least,
      status ?? null,
      types?.names ?? null,
      types?.prefixes ?? null,
      isTest ?? null,
      responseStatus ?? null,
    ],
  };
};

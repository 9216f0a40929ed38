import type { Sql } from '../../platform/database.ts';
import { idTime, lowestIdAt } from '../../platform/ids.ts';
import type { EventRecord } from './event.ts';
import { splitTypePatterns } from './typePatterns.ts';

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

/**
 * At most `first` events, newest first, after the event with the id `after` (null: from the newest). Tests are left
 * out. Served by the index (tenant_id, id), newest partition first; a filter on type or entity is checked row by row.
 */
export const listEvents = async (
  sql: Sql,
  tenantId: string,
  filter: EventListFilter,
  page: { readonly first: number; readonly after: string | null },
): Promise<EventPage> => {
  const { where, values } = conditionOf(tenantId, filter);
  if (page.after !== null) where.push(`id < $${values.push(page.after)}`);
  const rows = await sql.query<EventRow>(
    `select ${COLUMNS} from event where ${where.join(' and ')} order by id desc limit $${values.push(page.first + 1)}`,
    values,
  );
  return { events: rows.slice(0, page.first).map(eventOf), hasMore: rows.length > page.first };
};

/** How many events a list has in all: exact up to 100,000, and 100,000 beyond, so that counting never takes long. */
export const countEvents = async (sql: Sql, tenantId: string, filter: EventListFilter): Promise<number> => {
  const { where, values } = conditionOf(tenantId, filter);
  const [row] = await sql.query<{ count: number }>(
    `select count(*)::integer as count
     from (select 1 from event where ${where.join(' and ')} limit ${COUNT_LIMIT}) as counted`,
    values,
  );
  return row!.count;
};

const COUNT_LIMIT = 100_000;

const conditionOf = (tenantId: string, filter: EventListFilter): { where: string[]; values: unknown[] } => {
  const values: unknown[] = [tenantId];
  const where = ['tenant_id = $1', 'not is_test'];
  if (filter.from) where.push(`id >= $${values.push(lowestIdAt(filter.from.getTime()))}`);
  if (filter.to) where.push(`id < $${values.push(lowestIdAt(filter.to.getTime()))}`);
  if (filter.entityId !== undefined) where.push(`entity_id = $${values.push(filter.entityId)}`);
  if (filter.types) {
    const { names, prefixes } = splitTypePatterns(filter.types);
    where.push(
      `(type = any($${values.push(names)}::text[])
        or exists (select from unnest($${values.push(prefixes)}::text[]) as prefix where starts_with(type, prefix)))`,
    );
  }
  return { where, values };
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

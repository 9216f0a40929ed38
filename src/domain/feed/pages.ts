import type { Sql } from '../../platform/database.ts';

/** One row of the feed, parsed. */
export interface FeedRow<Change> {
  readonly seq: number;
  readonly changes: readonly Change[];
  /** Length of its text, as a measure of what it costs to keep. */
  readonly size: number;
}

/** Consecutive rows of one tenant and kind. */
export interface FeedPage<Change> {
  readonly rows: readonly FeedRow<Change>[];
  /** Where to read on: every such row before it is in this page or in an earlier one. */
  readonly next: number;
  /** The tenant had no more when this was read. */
  readonly exhausted: boolean;
}

/** A tenant and the first number that it has not read. */
export interface FeedPageRequest {
  readonly tenantId: string;
  readonly next: number;
}

interface PageRow {
  readonly tenant_id: string;
  readonly head: number | null;
  readonly seq: number | null;
  readonly changes: string | null;
  readonly candidates: number | null;
}

const MAX_ROWS = 100;

/*
 * Each tenant costs one descent of the index (tenant_id, kind, seq); partitions below `next` are pruned. A page ends where
 * 16 KiB as stored are reached (compressed texts are not opened to find out), that is after some hundred changes: a
 * reader keeps nothing but its position between two pages. The head is of the same snapshot as the rows, so it is how
 * far a tenant without news has read.
 */
const PAGES = `/*feed_pages*/
select t.tenant_id, head.seq as head, page.seq, page.changes, page.candidates
from (select max(seq)::double precision as seq from feed) as head
cross join unnest($1::uuid[], $2::bigint[]) as t (tenant_id, next)
left join lateral (
  select seq::double precision as seq, changes, candidates
  from (
    select seq, changes, (count(*) over ())::integer as candidates,
           sum(pg_column_size(changes)) over (order by seq) - pg_column_size(changes) as before
    from (select seq, changes from feed where tenant_id = t.tenant_id and kind = $3 and seq >= t.next order by seq limit ${MAX_ROWS}) as ahead
  ) as sized
  where before < 16384
) as page on true
order by t.tenant_id, page.seq`;

/** Reads one page for each tenant, in one statement and one snapshot. `Change` is what rows of this kind hold. */
export const readFeedPages = async <Change>(
  sql: Sql,
  kind: number,
  requests: readonly FeedPageRequest[],
): Promise<Map<string, FeedPage<Change>>> => {
  const found = await sql.query<PageRow>(PAGES, [requests.map((r) => r.tenantId), requests.map((r) => r.next), kind]);
  const byTenant = Map.groupBy(found, (row) => row.tenant_id);
  return new Map(requests.map(({ tenantId, next }) => [tenantId, pageOf<Change>(byTenant.get(tenantId) ?? [], next)]));
};

const pageOf = <Change>(found: readonly PageRow[], next: number): FeedPage<Change> => {
  const rows = found.flatMap(({ seq, changes }) =>
    seq === null || changes === null ? [] : [{ seq, changes: JSON.parse(changes) as Change[], size: changes.length }],
  );
  const candidates = found[0]?.candidates ?? 0;
  const exhausted = rows.length === candidates && candidates < MAX_ROWS;
  const head = found[0]?.head ?? 0;
  return { rows, exhausted, next: Math.max(next, exhausted ? head + 1 : rows.at(-1)!.seq + 1) };
};

import type { Sql } from '../../platform/database.ts';
import { BEYOND_IDS, LOWEST_ID } from '../../platform/ids.ts';
import type { PageRequest } from '../page.ts';
import { TICKET_STATUSES, isClosing } from './ticketStatus.ts';
import type { TicketStatus } from './ticketStatus.ts';

/** Which tickets a list shows; what is left out does not narrow, and an empty list of statuses matches nothing. */
export interface TicketFilter {
  readonly status?: readonly TicketStatus[] | undefined;
  readonly isClosed?: boolean | undefined;
  readonly assignedTo?: string | undefined;
  /** A UUID. */
  readonly clientId?: string | undefined;
}

/**
 * The ids of at most `limit` + 1 tickets beyond the page's start, in the direction of reading. By client or assignee
 * their own index is read; by status a page of each status, merged, because an index has an order only within one. Where
 * nothing narrows whole keys are compared, which no index but the tenant's serves.
 */
export const ticketIdsOf = async (
  sql: Pick<Sql, 'query'>,
  tenantId: string,
  filter: TicketFilter,
  { limit, from, backward }: PageRequest,
): Promise<string[]> => {
  const { where, values, statuses } = conditionOf(tenantId, filter);
  const direction = backward ? 'asc' : 'desc';
  if (where.length === 1 && statuses === null) {
    const [after, before] = backward ? [from ?? LOWEST_ID, BEYOND_IDS] : [LOWEST_ID, from ?? BEYOND_IDS];
    return idsOf(
      await sql.query(
        `select id from ticket where (tenant_id, id) > ($1, $2) and (tenant_id, id) < ($1, $3)
         order by tenant_id ${direction}, id ${direction} limit $4`,
        [tenantId, after, before, limit + 1],
      ),
    );
  }
  if (from !== null) where.push(`id ${backward ? '>' : '<'} $${values.push(from)}`);
  const order = `order by id ${direction} limit $${values.push(limit + 1)}`;
  const select = `select id from ticket where ${where.join(' and ')}`;
  const text =
    statuses === null || filter.clientId !== undefined || filter.assignedTo !== undefined
      ? `${select}${statuses === null ? '' : ` and status = any($${values.push(statuses)}::text[])`} ${order}`
      : `select id from unnest($${values.push(statuses)}::text[]) as wanted(status)
         cross join lateral (${select} and ticket.status = wanted.status ${order}) as page ${order}`;
  return idsOf(await sql.query(text, values));
};

const idsOf = (rows: readonly { readonly id: string }[]): string[] => rows.map(({ id }) => id);

/** Counts as far as `limit`. */
export const countTickets = async (
  sql: Pick<Sql, 'query'>,
  tenantId: string,
  filter: TicketFilter,
  limit: number,
): Promise<number> => {
  const { where, values, statuses } = conditionOf(tenantId, filter);
  if (statuses !== null) where.push(`status = any($${values.push(statuses)}::text[])`);
  const [row] = await sql.query<{ count: number }>(
    `select count(*)::integer as count
     from (select 1 from ticket where ${where.join(' and ')} limit $${values.push(limit)}) as counted`,
    values,
  );
  return row?.count ?? 0;
};

/** The last comments of each ticket, by `ticket_comment_ticket`. */
export const commentIdsOf = async (
  sql: Pick<Sql, 'query'>,
  tenantId: string,
  ticketIds: readonly string[],
  last: number,
): Promise<string[]> => {
  const rows = await sql.query<{ id: string }>(
    `/*comments_of_tickets*/ select page.id from unnest($2::uuid[]) as wanted(ticket_id)
     cross join lateral (
       select id from ticket_comment c where c.ticket_id = wanted.ticket_id and c.tenant_id = $1
       order by id desc limit $3) as page`,
    [tenantId, ticketIds, last],
  );
  return rows.map(({ id }) => id);
};

interface Condition {
  readonly where: string[];
  readonly values: unknown[];
  /** Null: any. */
  readonly statuses: readonly TicketStatus[] | null;
}

const conditionOf = (tenantId: string, { status, isClosed, assignedTo, clientId }: TicketFilter): Condition => {
  const values: unknown[] = [tenantId];
  const where = ['tenant_id = $1'];
  if (assignedTo !== undefined) where.push(`assigned_to = $${values.push(assignedTo)}`);
  if (clientId !== undefined) where.push(`client_id = $${values.push(clientId)}`);
  const named = [...new Set(status ?? TICKET_STATUSES)];
  const statuses = isClosed === undefined ? named : named.filter((one) => isClosing(one) === isClosed);
  return { where, values, statuses: status === undefined && isClosed === undefined ? null : statuses };
};

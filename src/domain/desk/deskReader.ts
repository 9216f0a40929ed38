import type { SqlEntityManager } from '@mikro-orm/postgresql';
import type { Database, Sql } from '../../platform/database.ts';
import { pageOf } from '../page.ts';
import type { Page, PageRequest } from '../page.ts';
import { Asset } from './asset.ts';
import { Client } from './client.ts';
import { Ticket } from './ticket.ts';
import { TicketComment } from './ticketComment.ts';
import { commentIdsOf, countTickets, ticketIdsOf } from './ticketList.ts';
import type { TicketFilter } from './ticketList.ts';

const COUNT_LIMIT = 100_000;

/** Reads the desk. Every method takes the tenant first; lists are newest first. */
export class DeskReader {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  get #sql(): Sql {
    return this.#database.sql;
  }

  #em(): SqlEntityManager {
    return this.#database.em();
  }

  /** In no order; those that do not exist are left out. The same of the other three. */
  tickets(tenantId: string, ids: readonly string[]): Promise<Ticket[]> {
    return this.#em().find(Ticket, { tenantId, id: { $in: [...ids] } }, { disableIdentityMap: true });
  }

  comments(tenantId: string, ids: readonly string[]): Promise<TicketComment[]> {
    return this.#em().find(TicketComment, { tenantId, id: { $in: [...ids] } }, { disableIdentityMap: true });
  }

  clients(tenantId: string, ids: readonly string[]): Promise<Client[]> {
    return this.#em().find(Client, { tenantId, id: { $in: [...ids] } }, { disableIdentityMap: true });
  }

  assets(tenantId: string, ids: readonly string[]): Promise<Asset[]> {
    return this.#em().find(Asset, { tenantId, id: { $in: [...ids] } }, { disableIdentityMap: true });
  }

  ticketByExternalId(tenantId: string, externalId: string): Promise<Ticket | null> {
    return this.#em().findOne(Ticket, { tenantId, externalId }, { disableIdentityMap: true });
  }

  clientByExternalId(tenantId: string, externalId: string): Promise<Client | null> {
    return this.#em().findOne(Client, { tenantId, externalId }, { disableIdentityMap: true });
  }

  assetByExternalId(tenantId: string, externalId: string): Promise<Asset | null> {
    return this.#em().findOne(Asset, { tenantId, externalId }, { disableIdentityMap: true });
  }

  /** Two statements, whatever the limit. */
  async listTickets(tenantId: string, filter: TicketFilter, page: PageRequest): Promise<Page<Ticket>> {
    const { items, hasMore } = pageOf(await ticketIdsOf(this.#sql, tenantId, filter, page), page);
    const found = new Map((await this.tickets(tenantId, items)).map((ticket) => [ticket.id, ticket]));
    return { items: items.map((id) => found.get(id)!), hasMore };
  }

  /** Exact up to 100,000, and 100,000 beyond. */
  countTickets(tenantId: string, filter: TicketFilter): Promise<number> {
    return countTickets(this.#sql, tenantId, filter, COUNT_LIMIT);
  }

  listClients(tenantId: string, page: PageRequest): Promise<Page<Client>> {
    return this.#list(Client, tenantId, page);
  }

  listAssets(tenantId: string, page: PageRequest): Promise<Page<Asset>> {
    return this.#list(Asset, tenantId, page);
  }

  /** Exact up to 100,000, and 100,000 beyond. */
  async count(tenantId: string, of: 'client' | 'asset'): Promise<number> {
    const [row] = await this.#sql.query<{ count: number }>(
      `select count(*)::integer as count
       from (select 1 from ${of} where tenant_id = $1 limit ${COUNT_LIMIT}) as counted`,
      [tenantId],
    );
    return row!.count;
  }

  /** The last comments of each ticket, at most `last` of one, oldest first. Two statements, whatever the tickets. */
  async commentsOf(
    tenantId: string,
    ticketIds: readonly string[],
    last: number,
  ): Promise<ReadonlyMap<string, TicketComment[]>> {
    const ids = await commentIdsOf(this.#sql, tenantId, ticketIds, last);
    const comments = await this.comments(tenantId, ids);
    comments.sort((a, b) => (a.id < b.id ? -1 : 1));
    return Map.groupBy(comments, ({ ticketId }) => ticketId);
  }

  async #list<Entity extends Client | Asset>(
    type: new () => Entity,
    tenantId: string,
    page: PageRequest,
  ): Promise<Page<Entity>> {
    const beyond = page.from === null ? {} : { id: { [page.backward ? '$gt' : '$lt']: page.from } };
    const rows = await this.#em().find(
      type as new () => Client | Asset,
      { tenantId, ...beyond },
      { orderBy: { id: page.backward ? 'asc' : 'desc' }, limit: page.limit + 1, disableIdentityMap: true },
    );
    return pageOf(rows as Entity[], page);
  }
}

import type { Database } from '../../platform/database.ts';
import { ValidationError } from '../errors.ts';
import type { Page, PageRequest } from '../page.ts';
import { pageOf } from '../page.ts';
import type { WebhookStatus } from '../webhooks/webhook.ts';
import { InboundWebhook } from './inboundWebhook.ts';

export interface InboundWebhookFilter {
  readonly status?: readonly WebhookStatus[] | null | undefined;
  readonly source?: string | null | undefined;
  /** Part of name, slug or description, in any case. */
  readonly search?: string | null | undefined;
}

const LONGEST_SEARCH = 255;

/** Reads inbound webhooks. Every method takes the tenant first. */
export class InboundWebhookList {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** In no order; those that do not exist are left out. Secrets and samples are not read. */
  async find(tenantId: string, ids: readonly string[]): Promise<InboundWebhook[]> {
    if (ids.length === 0) return [];
    return this.#database.em().find(InboundWebhook, { tenantId, id: { $in: [...ids] } }, { disableIdentityMap: true });
  }

  /** The samples of these webhooks, as JSON text; those that have none are left out. */
  async samples(tenantId: string, ids: readonly string[]): Promise<Map<string, string>> {
    const rows = await this.#database.sql.query<{ id: string; sample: string }>(
      `/*inbound_samples*/
       select w.id, w.sample from inbound_webhook w
        where w.id = any($2::uuid[]) and w.tenant_id = $1 and w.sample is not null`,
      [tenantId, ids],
    );
    return new Map(rows.map((row) => [row.id, row.sample]));
  }

  /** Newest first. Throws ValidationError for a filter that is malformed. Two statements, whatever the limit. */
  async list(tenantId: string, filter: InboundWebhookFilter, page: PageRequest): Promise<Page<InboundWebhook>> {
    const { conditions, values } = conditionsOf(tenantId, filter);
    if (page.from !== null) conditions.push(`w.id < $${values.push(page.from)}::uuid`);
    const rows = await this.#database.sql.query<{ id: string }>(
      `select w.id from inbound_webhook w where ${conditions.join(' and ')}
        order by w.id desc limit $${values.push(page.limit + 1)}`,
      values,
    );
    const { items, hasMore } = pageOf(rows, page);
    const ids = items.map(({ id }) => id);
    const found = new Map((await this.find(tenantId, ids)).map((webhook) => [webhook.id, webhook]));
    // One that was deleted between both statements is left out.
    return { items: ids.flatMap((id) => found.get(id) ?? []), hasMore };
  }

  async count(tenantId: string, filter: InboundWebhookFilter): Promise<number> {
    const { conditions, values } = conditionsOf(tenantId, filter);
    const [row] = await this.#database.sql.query<{ count: number }>(
      `select count(*)::integer as count from inbound_webhook w where ${conditions.join(' and ')}`,
      values,
    );
    return row?.count ?? 0;
  }
}

const conditionsOf = (tenantId: string, filter: InboundWebhookFilter): { conditions: string[]; values: unknown[] } => {
  const conditions = ['w.tenant_id = $1'];
  const values: unknown[] = [tenantId];
  if (filter.status) conditions.push(`w.status = any($${values.push(filter.status)}::text[])`);
  if (filter.source != null) conditions.push(`w.source = $${values.push(searchable(filter.source, 'source'))}::text`);
  if (filter.search) {
    const pattern = `%${searchable(filter.search, 'search').replaceAll(/[\\%_]/g, String.raw`\$&`)}%`;
    const at = `$${values.push(pattern)}`;
    conditions.push(`(w.name ilike ${at} or w.slug ilike ${at} or w.description ilike ${at})`);
  }
  return { conditions, values };
};

const searchable = (text: string, name: string): string => {
  if (text.length <= LONGEST_SEARCH && !text.includes('\0') && text.isWellFormed()) return text;
  throw new ValidationError(`This is nothing to search for: at most ${LONGEST_SEARCH} characters of plain text.`, [
    'filter',
    name,
  ]);
};

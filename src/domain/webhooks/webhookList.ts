import type { Database } from '../../platform/database.ts';
import { ValidationError } from '../errors.ts';
import { coveringPatterns } from '../events/patterns.ts';
import type { Page, PageRequest } from '../page.ts';
import { pageOf } from '../page.ts';
import { Webhook } from './webhook.ts';
import type { WebhookStatus } from './webhook.ts';
import type { HealthStatus } from './webhookHealth.ts';

export interface WebhookFilter {
  readonly status?: readonly WebhookStatus[] | null | undefined;
  readonly health?: readonly HealthStatus[] | null | undefined;
  /** Webhooks that get this type: by its name, or by a wildcard that covers it. */
  readonly eventType?: string | null | undefined;
  /** Part of name, URL or description, in any case. */
  readonly search?: string | null | undefined;
}

export type WebhookOrderField = 'CREATED_AT' | 'NAME' | 'LAST_DELIVERY_AT';

export interface WebhookOrder {
  readonly field: WebhookOrderField;
  readonly direction: 'ASC' | 'DESC';
}

/** Where a webhook stands in its list: the value that it is ordered by, as text, and its id. */
export interface WebhookPosition {
  readonly value: string;
  readonly id: string;
}

export interface ListedWebhook {
  readonly webhook: Webhook;
  readonly position: WebhookPosition;
}

const LONGEST_SEARCH = 255;

/** What each order sorts by, before the id; and the type that a position's text is read as. */
const SORT_KEYS: Record<WebhookOrderField, { readonly key: string; readonly type: string }> = {
  CREATED_AT: { key: `''`, type: 'text' }, // ids ascend with time
  NAME: { key: 'lower(w.name)', type: 'text' },
  LAST_DELIVERY_AT: { key: 'coalesce((extract(epoch from h.last_delivery_at) * 1e6)::bigint, 0)', type: 'bigint' },
};

/** A webhook fails while its last real attempt failed and nothing has reset the count since. */
const HEALTH_SQL = `case
  when w.status = 'DISABLED' then 'DISABLED'
  when h.consecutive_failures > 0 and h.last_failure_at > coalesce(h.last_success_at, '-infinity') then 'FAILING'
  else 'HEALTHY' end`;

/** Reads webhooks. Every method takes the tenant first. */
export class WebhookList {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** In no order; those that do not exist are left out. Secrets are not read. */
  async find(tenantId: string, ids: readonly string[]): Promise<Webhook[]> {
    if (ids.length === 0) return [];
    return this.#database.em().find(Webhook, { tenantId, id: { $in: [...ids] } }, { disableIdentityMap: true });
  }

  /** Throws ValidationError for a filter or position that is malformed. Two statements, whatever the limit. */
  async list(
    tenantId: string,
    filter: WebhookFilter,
    order: WebhookOrder,
    page: PageRequest<WebhookPosition>,
  ): Promise<Page<ListedWebhook>> {
    const { key, type } = SORT_KEYS[order.field];
    const ascending = (order.direction === 'ASC') !== page.backward;
    const direction = ascending ? 'asc' : 'desc';
    const { conditions, values } = conditionsOf(tenantId, filter);
    if (page.from) {
      if (type === 'bigint' && !/^\d{1,18}$/.test(page.from.value))
        throw new ValidationError('This cursor is malformed.');
      values.push(page.from.value, page.from.id);
      const [value, id] = [`$${values.length - 1}::${type}`, `$${values.length}::uuid`];
      conditions.push(`(${key}, w.id) ${ascending ? '>' : '<'} (${value}, ${id})`);
    }
    values.push(page.limit + 1);
    const rows = await this.#database.sql.query<WebhookPosition>(
      `select w.id, (${key})::text as value
         from webhook w join webhook_health h on h.webhook_id = w.id
        where ${conditions.join(' and ')}
        order by ${order.field === 'CREATED_AT' ? '' : `${key} ${direction},`} w.id ${direction}
        limit $${values.length}`,
      values,
    );
    const { items, hasMore } = pageOf(rows, page);
    const found = new Map(
      (
        await this.find(
          tenantId,
          items.map(({ id }) => id),
        )
      ).map((webhook) => [webhook.id, webhook]),
    );
    return {
      // One that was deleted between both statements is left out.
      items: items.flatMap((position) => {
        const webhook = found.get(position.id);
        return webhook ? [{ webhook, position }] : [];
      }),
      hasMore,
    };
  }

  async count(tenantId: string, filter: WebhookFilter): Promise<number> {
    const { conditions, values } = conditionsOf(tenantId, filter);
    const [row] = await this.#database.sql.query<{ count: number }>(
      `select count(*)::integer as count from webhook w join webhook_health h on h.webhook_id = w.id
        where ${conditions.join(' and ')}`,
      values,
    );
    return row?.count ?? 0;
  }
}

const conditionsOf = (tenantId: string, filter: WebhookFilter): { conditions: string[]; values: unknown[] } => {
  const conditions = ['w.tenant_id = $1'];
  const values: unknown[] = [tenantId];
  const add = (value: unknown, condition: (placeholder: string) => string): void => {
    values.push(value);
    conditions.push(condition(`$${values.length}`));
  };
  if (filter.status) add(filter.status, (at) => `w.status = any(${at}::text[])`);
  if (filter.health) add(filter.health, (at) => `${HEALTH_SQL} = any(${at}::text[])`);
  if (filter.eventType != null) {
    add(
      coveringPatterns(storable(filter.eventType, 'eventType')),
      (at) =>
        `exists (select from webhook_subscription s
                  where s.tenant_id = $1 and s.pattern = any(${at}::text[]) and s.webhook_id = w.id)`,
    );
  }
  if (filter.search) {
    const pattern = `%${storable(filter.search, 'search').replaceAll(/[\\%_]/g, String.raw`\$&`)}%`;
    add(pattern, (at) => `(w.name ilike ${at} or w.url ilike ${at} or w.description ilike ${at})`);
  }
  return { conditions, values };
};

const storable = (text: string, name: string): string => {
  if (text.length <= LONGEST_SEARCH && !text.includes('\0') && text.isWellFormed()) return text;
  throw new ValidationError(`This is nothing to search for: at most ${LONGEST_SEARCH} characters of plain text.`, [
    'filter',
    name,
  ]);
};

import type { SqlEntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import type { Database } from '../../platform/database.ts';
import { sqlOf } from '../../platform/database.ts';
import { newId } from '../../platform/ids.ts';
import { generateApiKey, hashApiKey } from '../../platform/secrets.ts';
import { NotFoundError } from '../errors.ts';
import type { Page, PageRequest } from '../page.ts';
import { pageOf } from '../page.ts';
import { parseInput, text } from '../text.ts';
import { ApiKey } from './apiKey.ts';
import { SCOPES } from './scopes.ts';
import type { Scope } from './scopes.ts';

export interface ApiKeyInput {
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly expiresAt?: Date | null | undefined;
}

/** A new key. `secret` is the key itself: shown once, kept nowhere. */
export interface CreatedApiKey {
  readonly apiKey: ApiKey;
  readonly secret: string;
}

const SHOWN_CHARACTERS = 7;

/** Keys of a tenant. Every method takes the tenant first and knows of no other. */
export class ApiKeys {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Throws ValidationError for scopes that `granter` does not have itself, and for an expiry in the past. */
  async create(tenantId: string, granter: readonly Scope[], input: ApiKeyInput): Promise<CreatedApiKey> {
    const checked = parseInput(inputSchema(granter, new Date()), input);
    const em = this.#database.em();
    const created = addKey(em, tenantId, { ...checked, secret: generateApiKey() });
    await em.flush();
    return created;
  }

  /** Stops the key for good, in every process within about a second. Revoking again changes nothing. */
  async revoke(tenantId: string, id: string): Promise<ApiKey> {
    return this.#database.em().transactional(async (em) => {
      const apiKey = await em.findOne(ApiKey, { id, tenantId });
      if (!apiKey) throw new NotFoundError('There is no such API key.');
      apiKey.revokedAt ??= new Date();
      await em.flush();
      // Sent with the commit; revoking is rare, so the lock that NOTIFY takes is of no account.
      await sqlOf(em).query(`select pg_notify('hookgraph_key', $1)`, [id]);
      return apiKey;
    });
  }

  /** In no order; those that do not exist are left out. */
  async find(tenantId: string, ids: readonly string[]): Promise<ApiKey[]> {
    return this.#database.em().find(ApiKey, { tenantId, id: { $in: [...ids] } }, { disableIdentityMap: true });
  }

  /** Newest first. */
  async list(tenantId: string, page: PageRequest): Promise<Page<ApiKey>> {
    const beyond = page.from === null ? {} : { id: page.backward ? { $gt: page.from } : { $lt: page.from } };
    const rows = await this.#database
      .em()
      .find(
        ApiKey,
        { tenantId, ...beyond },
        { orderBy: { id: page.backward ? 'asc' : 'desc' }, limit: page.limit + 1, disableIdentityMap: true },
      );
    return pageOf(rows, page);
  }

  async count(tenantId: string): Promise<number> {
    return this.#database.em().count(ApiKey, { tenantId });
  }
}

/** Adds a key to the unit of work; the caller flushes. */
export const addKey = (
  em: SqlEntityManager,
  tenantId: string,
  key: ApiKeyInput & { readonly secret: string; readonly prefix?: string },
): CreatedApiKey => {
  const apiKey = em.create(ApiKey, {
    id: newId(),
    tenantId,
    name: key.name,
    prefix: key.prefix ?? key.secret.slice(0, SHOWN_CHARACTERS),
    hash: hashApiKey(key.secret),
    scopes: key.scopes,
    createdAt: new Date(),
    lastUsedAt: null,
    expiresAt: key.expiresAt ?? null,
    revokedAt: null,
  });
  em.persist(apiKey);
  return { apiKey, secret: key.secret };
};

const inputSchema = (granter: readonly Scope[], now: Date) =>
  z.object({
    name: text(1, 120, 'The name'),
    scopes: z
      .array(z.enum(SCOPES))
      .min(1, 'Give the key at least one scope.')
      .transform((scopes) => [...new Set(scopes)])
      .refine(
        (scopes) => scopes.every((scope) => granter.includes(scope)),
        'A key can only grant scopes that it has itself.',
      ),
    expiresAt: z
      .date()
      .refine((at) => at > now, 'The expiry lies in the past.')
      .nullish(),
  });

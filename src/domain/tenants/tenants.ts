import { UniqueConstraintViolationException } from '@mikro-orm/core';
import { z } from 'zod';
import type { Database } from '../../platform/database.ts';
import { newId } from '../../platform/ids.ts';
import { generateApiKey } from '../../platform/secrets.ts';
import { ConflictError } from '../errors.ts';
import { parseInput, text } from '../text.ts';
import { addKey } from './apiKeys.ts';
import type { CreatedApiKey } from './apiKeys.ts';
import { TENANT_SCOPES } from './scopes.ts';
import { Tenant } from './tenant.ts';

/** 1 to 64 lower-case letters, digits and hyphens, alphanumeric at both ends. */
export const SLUG = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;

const tenantInput = z.object({
  slug: z
    .string()
    .regex(SLUG, 'A slug has 1 to 64 lower-case letters, digits and hyphens, and no hyphen at either end.'),
  name: text(1, 255, 'The name').nullish(),
});

export interface TenantInput {
  readonly slug: string;
  /** The slug, where it is left out. */
  readonly name?: string | null | undefined;
}

/** The tenants of this installation. */
export class Tenants {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** A tenant with its first key, both or neither. Throws ConflictError where the slug is taken. */
  async create(input: TenantInput): Promise<CreatedApiKey & { readonly tenant: Tenant }> {
    const { slug, name } = parseInput(tenantInput, input);
    try {
      return await this.#database.em().transactional(async (em) => {
        const tenant = em.create(Tenant, {
          id: newId(),
          slug,
          name: name ?? slug,
          isFirst: false,
          createdAt: new Date(),
        });
        em.persist(tenant);
        await em.flush(); // before its key: no relation tells the order
        return {
          tenant,
          ...addKey(em, tenant.id, { name: 'First key', scopes: TENANT_SCOPES, secret: generateApiKey() }),
        };
      });
    } catch (error) {
      if (!(error instanceof UniqueConstraintViolationException)) throw error;
      throw new ConflictError('This slug is taken: choose another one.', ['input', 'slug']);
    }
  }

  async find(id: string): Promise<Tenant | null> {
    return this.#database.em().findOne(Tenant, { id });
  }
}

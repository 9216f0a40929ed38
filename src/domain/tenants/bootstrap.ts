import type { SqlEntityManager } from '@mikro-orm/postgresql';
import type { Database } from '../../platform/database.ts';
import { sqlOf } from '../../platform/database.ts';
import { newId } from '../../platform/ids.ts';
import { generateApiKey, hashApiKey } from '../../platform/secrets.ts';
import { StartupError } from '../../platform/startupError.ts';
import { ApiKey } from './apiKey.ts';
import { addKey } from './apiKeys.ts';
import { SCOPES } from './scopes.ts';
import { Tenant } from './tenant.ts';

/** Held while the first tenant and key are made, so that processes that start at once make one of each. */
const BOOTSTRAP_LOCK = 4_017_002;
/** Of a key that the operator chose: enough to tell it apart, no more. */
const GIVEN_KEY_SHOWN_CHARACTERS = 4;

export interface Bootstrap {
  readonly tenant: Tenant;
  /** A key that was generated just now: to be printed this once. Null where one was given or existed. */
  readonly generatedKey: string | null;
}

/**
 * The first tenant and its first key. A given key is added, with all scopes, where the tenant lacks it, and never
 * comes back out; without one, and without any key yet, one is generated. Repeating changes nothing. Throws
 * StartupError where the installation began with another tenant, or the given key belongs to another one.
 */
export const bootstrapTenant = (database: Database, slug: string, givenKey: string | null): Promise<Bootstrap> =>
  database.em().transactional(async (em) => {
    await sqlOf(em).query(`select pg_advisory_xact_lock($1)`, [BOOTSTRAP_LOCK]);
    const tenant = await firstTenant(em, slug);
    if (givenKey !== null) {
      await addGivenKey(em, tenant, givenKey);
      return { tenant, generatedKey: null };
    }
    if ((await em.count(ApiKey, { tenantId: tenant.id })) > 0) return { tenant, generatedKey: null };
    const { secret } = addKey(em, tenant.id, { name: 'First key', scopes: SCOPES, secret: generateApiKey() });
    return { tenant, generatedKey: secret };
  });

const firstTenant = async (em: SqlEntityManager, slug: string): Promise<Tenant> => {
  const first = await em.findOne(Tenant, { isFirst: true });
  if (first?.slug === slug) return first;
  if (first) {
    throw new StartupError(
      `HOOKGRAPH_TENANT is ${slug}, but this installation's first tenant is ${first.slug}: set it to that.`,
    );
  }
  const tenant = em.create(Tenant, { id: newId(), slug, name: slug, isFirst: true, createdAt: new Date() });
  em.persist(tenant);
  await em.flush();
  return tenant;
};

const addGivenKey = async (em: SqlEntityManager, tenant: Tenant, secret: string): Promise<void> => {
  const present = await em.findOne(ApiKey, { hash: hashApiKey(secret) });
  if (present?.tenantId === tenant.id) return;
  if (present) throw new StartupError('HOOKGRAPH_API_KEY is a key of another tenant already: choose another value.');
  const prefix = secret.slice(0, GIVEN_KEY_SHOWN_CHARACTERS);
  addKey(em, tenant.id, { name: 'HOOKGRAPH_API_KEY', scopes: SCOPES, secret, prefix });
};

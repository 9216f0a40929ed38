import type { ReceiverAddress } from '../domain/inbound/directory.ts';
import { decodeId } from '../platform/ids.ts';

export const SLUG_PREFIX = '/api/inbound/';
export const ID_PREFIX = '/api/v1/webhooks/receive/';
export const LINEAR_PATH = '/api/v1/webhooks/linear';

const SLUG = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;

/**
 * Whom a path addresses: null where it has the form of an address and nobody can have it, undefined where it has not.
 *
 * @param builtInTenant slug of the tenant whose webhook `linear` the built-in path serves
 */
export const addressOf = (path: string, builtInTenant: string): ReceiverAddress | null | undefined => {
  if (path === LINEAR_PATH) return { tenantSlug: builtInTenant, slug: 'linear' };
  if (path.startsWith(ID_PREFIX)) {
    const text = path.slice(ID_PREFIX.length);
    if (text === '' || text.includes('/')) return undefined;
    const id = decodeId('inboundWebhook', text);
    return id === null ? null : { id };
  }
  if (!path.startsWith(SLUG_PREFIX)) return undefined;
  const between = path.indexOf('/', SLUG_PREFIX.length);
  const tenantSlug = path.slice(SLUG_PREFIX.length, between);
  const slug = path.slice(between + 1);
  if (between === -1 || tenantSlug === '' || slug === '' || slug.includes('/')) return undefined;
  return SLUG.test(tenantSlug) && SLUG.test(slug) ? { tenantSlug, slug } : null;
};

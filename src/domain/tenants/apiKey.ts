import { defineEntity, p } from '@mikro-orm/core';
import { TextList } from '../../platform/textList.ts';
import type { Scope } from './scopes.ts';

const ApiKeySchema = defineEntity({
  name: 'ApiKey',
  tableName: 'api_key',
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    name: p.text(),
    /** The first characters of the key, by which people tell keys apart. */
    prefix: p.text(),
    /** SHA-256 of the key; the key itself is kept nowhere. */
    hash: p.blob().lazy(),
    scopes: p.type(TextList).$type<readonly Scope[]>(),
    createdAt: p.datetime(),
    lastUsedAt: p.datetime().nullable(),
    expiresAt: p.datetime().nullable(),
    revokedAt: p.datetime().nullable(),
  },
});

/** A key of one tenant with its scopes. */
export class ApiKey extends ApiKeySchema.class {}
ApiKeySchema.setClass(ApiKey);

/** Whether the key opens anything at this moment. */
export const isUsable = (key: Pick<ApiKey, 'revokedAt' | 'expiresAt'>, now: Date): boolean =>
  key.revokedAt == null && (key.expiresAt == null || key.expiresAt > now);

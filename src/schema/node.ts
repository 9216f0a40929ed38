import { brandWithType } from '@pothos/core';
import { findAttempt } from '../domain/deliveries/attemptLog.ts';
import { ValidationError } from '../domain/errors.ts';
import type { Scope } from '../domain/tenants/scopes.ts';
import { decodeAnyId } from '../platform/ids.ts';
import type { IdKind } from '../platform/ids.ts';
import { builder, callerOf, tenantOf } from './builder.ts';
import type { Context } from './builder.ts';
import { ApiKeyType } from './apiKey.ts';
import { BulkOperationType } from './bulkOperation.ts';
import { AttemptType, DeliveryType } from './delivery.ts';
import { EventType } from './event.ts';
import { TenantType } from './tenant.ts';
import { forbidden } from './topLevelErrors.ts';
import { WebhookType } from './webhook.ts';

/** How an object of each kind is found, and the scope that it takes to see one. */
export interface NodeKind {
  readonly scope: Scope | null;
  readonly type: Parameters<typeof brandWithType>[1];
  readonly find: (context: Context, id: string) => Promise<object | null>;
  /** Whether there is any such thing here; left out: always. */
  readonly isOn?: (context: Context) => boolean;
}

const MAX_IDS = 100;

const KINDS: Partial<Record<IdKind, NodeKind>> = {
  webhook: { scope: 'WEBHOOKS_READ', type: WebhookType, find: ({ loaders }, id) => loaders.webhook.load(id) },
  event: { scope: 'DELIVERIES_READ', type: EventType, find: ({ loaders }, id) => loaders.event.load(id) },
  delivery: { scope: 'DELIVERIES_READ', type: DeliveryType, find: ({ loaders }, id) => loaders.delivery.load(id) },
  attempt: {
    scope: 'DELIVERIES_READ',
    type: AttemptType,
    find: (context, id) => findAttempt(context.services.sql, tenantOf(context), id),
  },
  bulkOperation: {
    scope: 'DELIVERIES_RETRY',
    type: BulkOperationType,
    find: async (context, id) => (await context.services.bulk.find(tenantOf(context), [id]))[0] ?? null,
  },
  apiKey: {
    scope: 'KEYS_MANAGE',
    type: ApiKeyType,
    find: async (context, id) => (await context.services.apiKeys.find(tenantOf(context), [id]))[0] ?? null,
  },
  // A tenant sees itself, and no other.
  tenant: {
    scope: null,
    type: TenantType,
    find: async (context, id) => (callerOf(context).tenant.id === id ? callerOf(context).tenant : null),
  },
};

/** Makes objects of a module's kind findable by id. */
export const addNodeKind = (kind: IdKind, how: NodeKind): void => {
  KINDS[kind] = how;
};

const findNode = async (context: Context, text: string): Promise<object | null> => {
  const id = decodeAnyId(text);
  const kind = id === null ? undefined : KINDS[id.kind];
  if (id === null || kind === undefined || kind.isOn?.(context) === false) return null;
  if (kind.scope !== null && !callerOf(context).apiKey.scopes.includes(kind.scope)) throw forbidden([kind.scope]);
  const found = await kind.find(context, id.uuid);
  if (found !== null) brandWithType(found, kind.type);
  return found;
};

builder.queryFields((t) => ({
  node: t.field({
    type: builder.nodeInterfaceRef(),
    nullable: true,
    description: 'Any object by its id; null for what is not there, and for text that is no id.',
    args: { id: t.arg.id({ required: true, description: 'A TypeID of any kind.' }) },
    resolve: (_root, { id }, context) => findNode(context, id),
  }),
  nodes: t.field({
    type: [builder.nodeInterfaceRef()],
    nullable: { list: false, items: true },
    description: 'Several objects by their ids, at most 100, in the order asked for; null for each that is not there.',
    args: { ids: t.arg.idList({ required: true, description: 'TypeIDs of any kinds.' }) },
    complexity: ({ ids }) => ({ field: 1, multiplier: ids.length }),
    resolve: (_root, { ids }, context) => {
      if (ids.length > MAX_IDS) throw new ValidationError(`At most ${MAX_IDS} ids at once.`, ['ids']);
      return ids.map((id) => findNode(context, id));
    },
  }),
}));

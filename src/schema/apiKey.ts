import { NotFoundError, ValidationError } from '../domain/errors.ts';
import type { ApiKey } from '../domain/tenants/apiKey.ts';
import type { Scope } from '../domain/tenants/scopes.ts';
import { decodeId, encodeId } from '../platform/ids.ts';
import { builder, callerOf, tenantOf } from './builder.ts';
import { forwardArgs, idConnection, idCursor, pageCost, pageRequest } from './connection.ts';

const ScopeType = builder.enumType('Scope', {
  description: 'What an API key may do.',
  values: {
    WEBHOOKS_READ: { description: 'See webhooks, their health and the event types.' },
    WEBHOOKS_WRITE: { description: 'Create, change, delete and test webhooks, and rotate their secrets.' },
    EVENTS_PUBLISH: { description: 'Publish events and register event types.' },
    DELIVERIES_READ: { description: 'See events, deliveries and attempts, and follow their feeds.' },
    DELIVERIES_RETRY: { description: 'Send deliveries again, recover and cancel them.' },
    INBOUND_READ: { description: 'See inbound webhooks, what they received, and workflows.' },
    INBOUND_WRITE: { description: 'Change inbound webhooks and workflows.' },
    INBOUND_REPLAY: { description: 'Handle a received request once more.' },
    DESK_READ: { description: 'See the tickets, clients and assets of the service desk.' },
    DESK_WRITE: { description: 'Change the tickets, clients and assets of the service desk.' },
    KEYS_MANAGE: { description: 'See, create and revoke API keys.' },
    TENANTS_MANAGE: { description: 'Create tenants; only for keys of the first one.' },
  } satisfies Record<Scope, { description: string }>,
});

export const ApiKeyType = builder.objectRef<ApiKey>('ApiKey').implement({
  description: 'A key of a tenant. The key itself is shown when it is created, and never again.',
  interfaces: [builder.nodeInterfaceRef()],
  fields: (t) => ({
    id: t.id({ description: 'TypeID, `key_…`.', resolve: ({ id }) => encodeId('apiKey', id) }),
    name: t.exposeString('name', { description: 'What it is for.' }),
    prefix: t.exposeString('prefix', { description: 'Its first characters, to tell it apart from others.' }),
    scopes: t.field({ type: [ScopeType], description: 'What it may do.', resolve: ({ scopes }) => scopes }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
    lastUsedAt: t.expose('lastUsedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was last used, to the minute; null for one that never was.',
    }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it stops by itself; null for one that does not.',
    }),
    revokedAt: t.expose('revokedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was revoked; null for one that was not.',
    }),
  }),
});

const ApiKeyConnection = builder.connectionObject(
  { type: ApiKeyType, name: 'ApiKeyConnection', description: 'A page of API keys.' },
  { name: 'ApiKeyEdge', description: 'An API key in its list.' },
);

builder.queryField('apiKeys', (t) =>
  t.field({
    type: ApiKeyConnection,
    description: 'The keys of the tenant, newest first, revoked and expired ones too.',
    authScopes: { scope: 'KEYS_MANAGE' },
    args: forwardArgs,
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const { apiKeys } = context.services;
      const page = pageRequest(args, idCursor('apiKey'));
      const tenantId = tenantOf(context);
      return idConnection('apiKey', await apiKeys.list(tenantId, page), page, () => apiKeys.count(tenantId));
    },
  }),
);

const ApiKeyInput = builder.inputType('ApiKeyInput', {
  description: 'A new API key.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'What it is for: 1 to 120 characters.' }),
    scopes: t.field({
      type: [ScopeType],
      required: true,
      description: 'What it may do: at least one scope, and none that the asking key lacks.',
    }),
    expiresAt: t.field({ type: 'DateTime', description: 'When it stops by itself; never where it is left out.' }),
  }),
});

const ApiKeyCreateSuccess = builder.objectRef<{ apiKey: ApiKey; secret: string }>('ApiKeyCreateSuccess').implement({
  description: 'The key exists.',
  fields: (t) => ({
    apiKey: t.expose('apiKey', { type: ApiKeyType, description: 'What is known of the new key.' }),
    secret: t.exposeString('secret', { description: 'The key itself. Shown this once; only a hash of it is kept.' }),
  }),
});

const ApiKeyRevokeSuccess = builder.objectRef<{ apiKey: ApiKey }>('ApiKeyRevokeSuccess').implement({
  description: 'The key opens nothing any more, connections that it had opened included.',
  fields: (t) => ({
    apiKey: t.expose('apiKey', { type: ApiKeyType, description: 'The revoked key.' }),
  }),
});

builder.mutationFields((t) => ({
  apiKeyCreate: t.field({
    type: ApiKeyCreateSuccess,
    description: 'Creates a key of this tenant. It grants only scopes that the asking key has itself.',
    authScopes: { scope: 'KEYS_MANAGE' },
    args: { input: t.arg({ type: ApiKeyInput, required: true, description: 'The key.' }) },
    errors: { types: [ValidationError], union: { description: 'The new key, or why there is none.' } },
    resolve: (_root, { input }, context) =>
      context.services.apiKeys.create(tenantOf(context), callerOf(context).apiKey.scopes, input),
  }),
  apiKeyRevoke: t.field({
    type: ApiKeyRevokeSuccess,
    description: 'Revokes a key for good. Revoking it again changes nothing.',
    authScopes: { scope: 'KEYS_MANAGE' },
    args: { id: t.arg.id({ required: true, description: 'The key, `key_…`.' }) },
    errors: { types: [NotFoundError], union: { description: 'The revoked key, or that there is none such.' } },
    resolve: async (_root, { id }, context) => {
      const uuid = decodeId('apiKey', id);
      if (uuid === null) throw new NotFoundError('There is no such API key.');
      return { apiKey: await context.services.apiKeys.revoke(tenantOf(context), uuid) };
    },
  }),
}));

import { ConflictError, ValidationError } from '../domain/errors.ts';
import type { Caller } from '../domain/tenants/authenticator.ts';
import type { ApiKey } from '../domain/tenants/apiKey.ts';
import type { Tenant } from '../domain/tenants/tenant.ts';
import { encodeId } from '../platform/ids.ts';
import { ApiKeyType } from './apiKey.ts';
import { builder, callerOf } from './builder.ts';

export const TenantType = builder.objectRef<Tenant>('Tenant').implement({
  description: 'Whose everything is. No tenant sees anything of another.',
  interfaces: [builder.nodeInterfaceRef()],
  fields: (t) => ({
    id: t.id({ description: 'TypeID, `ten_…`.', resolve: ({ id }) => encodeId('tenant', id) }),
    slug: t.exposeString('slug', { description: 'Its name in addresses, unique in the installation.' }),
    name: t.exposeString('name', { description: 'Its name for people.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
  }),
});

const Viewer = builder.objectRef<Caller>('Viewer').implement({
  description: 'Who asks.',
  fields: (t) => ({
    tenant: t.expose('tenant', { type: TenantType, description: 'The tenant that the key belongs to.' }),
    apiKey: t.expose('apiKey', { type: ApiKeyType, description: 'The key that this request carries.' }),
  }),
});

builder.queryField('viewer', (t) =>
  t.field({
    type: Viewer,
    description: 'The API key that asks, and its tenant. Any key may.',
    resolve: (_root, _args, context) => callerOf(context),
  }),
);

const TenantInput = builder.inputType('TenantInput', {
  description: 'A new tenant.',
  fields: (t) => ({
    slug: t.string({
      required: true,
      description: '1 to 64 lower-case letters, digits and hyphens, no hyphen at either end; unique.',
    }),
    name: t.string({ description: 'A name for people; the slug where it is left out.' }),
  }),
});

const TenantCreateSuccess = builder
  .objectRef<{ tenant: Tenant; apiKey: ApiKey; secret: string }>('TenantCreateSuccess')
  .implement({
    description: 'The tenant exists, and its first key with it.',
    fields: (t) => ({
      tenant: t.expose('tenant', { type: TenantType, description: 'The new tenant.' }),
      apiKey: t.expose('apiKey', { type: ApiKeyType, description: 'Its first key, with every scope of a tenant.' }),
      secret: t.exposeString('secret', { description: 'The key itself. Shown this once; only a hash of it is kept.' }),
    }),
  });

builder.mutationField('tenantCreate', (t) =>
  t.field({
    type: TenantCreateSuccess,
    description:
      'Creates a tenant with its first key. Needs TENANTS_MANAGE, which only keys of the first tenant can have.',
    authScopes: { scope: 'TENANTS_MANAGE' },
    args: { input: t.arg({ type: TenantInput, required: true, description: 'The tenant.' }) },
    errors: {
      types: [ValidationError, ConflictError],
      union: { description: 'The new tenant, or why there is none.' },
    },
    resolve: (_root, { input }, { services }) => services.tenants.create(input),
  }),
);

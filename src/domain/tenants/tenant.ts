import { defineEntity, p } from '@mikro-orm/core';

const TenantSchema = defineEntity({
  name: 'Tenant',
  tableName: 'tenant',
  properties: {
    id: p.uuid().primary(),
    slug: p.text(),
    name: p.text(),
    /** The tenant that the installation began with: only its keys may create others. */
    isFirst: p.boolean(),
    createdAt: p.datetime(),
  },
});

/** Whose everything is: no query crosses from one tenant to another. */
export class Tenant extends TenantSchema.class {}
TenantSchema.setClass(Tenant);

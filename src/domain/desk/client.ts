import { defineEntity, p } from '@mikro-orm/core';

const ClientSchema = defineEntity({
  name: 'Client',
  tableName: 'client',
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    name: p.text(),
    externalId: p.text().nullable(),
    isActive: p.boolean(),
    /** A JSON object, as text. */
    properties: p.text(),
    createdAt: p.datetime(),
    updatedAt: p.datetime(),
  },
});

/** Whom tickets and assets are for. */
export class Client extends ClientSchema.class {}
ClientSchema.setClass(Client);

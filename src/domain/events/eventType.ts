import { defineEntity, p } from '@mikro-orm/core';

const RegisteredEventTypeSchema = defineEntity({
  name: 'RegisteredEventType',
  tableName: 'event_type',
  properties: {
    tenantId: p.uuid().primary(),
    name: p.text().primary(),
    description: p.text(),
    /** JSON Schema of `data`, as JSON text: PostgreSQL would put its keys into another order. */
    schema: p.text().nullable(),
    /** As JSON text. */
    example: p.text().nullable(),
    deprecated: p.boolean(),
    createdAt: p.datetime(),
    updatedAt: p.datetime(),
  },
});

/** An event type of a tenant's own, or a reserved one that it brought to life. */
export class RegisteredEventType extends RegisteredEventTypeSchema.class {}
RegisteredEventTypeSchema.setClass(RegisteredEventType);

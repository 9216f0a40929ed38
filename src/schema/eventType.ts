import { ConflictError, ValidationError } from '../domain/errors.ts';
import type { EventTypeStatus } from '../domain/events/catalogue.ts';
import type { EventType } from '../domain/events/eventTypes.ts';
import { builder, tenantOf } from './builder.ts';

const EventTypeStatusType = builder.enumType('EventTypeStatus', {
  description: 'Whether an event type is in use.',
  values: {
    LIVE: { description: 'It is published.' },
    RESERVED: { description: 'It can be subscribed to, but nothing publishes it yet.' },
    DEPRECATED: { description: 'It is published, but nothing new should build on it.' },
  } satisfies Record<EventTypeStatus, { description: string }>,
});

const EventTypeType = builder.objectRef<EventType>('EventType').implement({
  description: 'A kind of event.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Lower-case words joined by dots.' }),
    description: t.exposeString('description', { description: 'When it is published.' }),
    status: t.expose('status', { type: EventTypeStatusType, description: 'Whether it is in use.' }),
    schema: t.field({
      type: 'JSON',
      nullable: true,
      description: 'JSON Schema that `data` has to fit; null where any object does.',
      resolve: ({ schema }) => schema,
    }),
    example: t.field({
      type: 'JSON',
      nullable: true,
      description: 'An example of `data`, which is what tests send.',
      resolve: ({ example }) => example,
    }),
    builtIn: t.exposeBoolean('builtIn', { description: 'False for those that the tenant registered.' }),
  }),
});

const EventTypeFilter = builder.inputType('EventTypeFilter', {
  description: 'Which event types a list has: those that fit everything that is given.',
  fields: (t) => ({
    status: t.field({ type: EventTypeStatusType, description: 'With this status.' }),
    search: t.string({ description: 'With this text in name or description, in any case.' }),
  }),
});

builder.queryField('eventTypes', (t) =>
  t.field({
    type: [EventTypeType],
    description: 'The vocabulary: what is built in, then what the tenant registered.',
    authScopes: { anyOf: ['WEBHOOKS_READ', 'EVENTS_PUBLISH'] },
    args: { filter: t.arg({ type: EventTypeFilter, description: 'Which of them.' }) },
    complexity: { field: 1, multiplier: 50 },
    resolve: (_root, { filter }, context) => context.services.eventTypes.list(tenantOf(context), filter ?? {}),
  }),
);

const EventTypeInput = builder.inputType('EventTypeInput', {
  description: 'An event type of the tenant. Its own name again replaces it; a reserved one comes to life.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'Lower-case words joined by dots, at most 128 characters.' }),
    description: t.string({ required: true, description: 'When it is published: 1 to 2,000 characters.' }),
    schema: t.field({
      type: 'JSON',
      description: 'JSON Schema 2020-12 of `data`, at most 64 KiB, without remote references.',
    }),
    example: t.field({ type: 'JSON', description: 'An example of `data`; it has to fit the schema.' }),
    deprecated: t.boolean({ description: 'True where nothing new should build on it.' }),
  }),
});

const EventTypeRegisterSuccess = builder.objectRef<{ eventType: EventType }>('EventTypeRegisterSuccess').implement({
  description: 'The type can be published.',
  fields: (t) => ({ eventType: t.expose('eventType', { type: EventTypeType, description: 'The type as it is now.' }) }),
});

builder.mutationField('eventTypeRegister', (t) =>
  t.field({
    type: EventTypeRegisterSuccess,
    description: 'Registers an event type, so that it can be published.',
    authScopes: { scope: 'EVENTS_PUBLISH' },
    args: { input: t.arg({ type: EventTypeInput, required: true, description: 'The type.' }) },
    errors: {
      types: [ValidationError, ConflictError],
      union: { description: 'The registered type, or why it is not.' },
    },
    resolve: async (_root, { input }, context) => ({
      eventType: await context.services.eventTypes.register(tenantOf(context), input),
    }),
  }),
);

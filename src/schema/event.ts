import { envelopeData } from '../domain/deliveries/envelope.ts';
import { ConflictError, ValidationError } from '../domain/errors.ts';
import type { EventRecord, PublishedEvent } from '../domain/events/event.ts';
import { countEvents, listEvents } from '../domain/events/eventLog.ts';
import type { EventListFilter } from '../domain/events/eventLog.ts';
import { assertStorable } from '../domain/text.ts';
import { decodeId, encodeId } from '../platform/ids.ts';
import { builder, tenantOf } from './builder.ts';
import { forwardArgs, idConnection, idCursor, pageCost, pageRequest } from './connection.ts';
import { deliveriesOf, DeliveryConnection, DeliveryType } from './delivery.ts';
import { TimeRangeInput } from './time.ts';

/** What `source` says of events that came through this API. */
const SOURCE = 'api';
const MAX_EVENTS = 1_000;

export const EventType = builder.objectRef<EventRecord>('Event').implement({
  description: 'Something that happened, as it was published.',
  interfaces: [builder.nodeInterfaceRef()],
  fields: (t) => ({
    id: t.id({
      description: 'TypeID, `evt_…`: the same in every delivery, so that receivers recognise repetitions.',
      resolve: ({ id }) => encodeId('event', id),
    }),
    type: t.exposeString('type', { description: 'The name of its event type.' }),
    occurredAt: t.expose('occurredAt', { type: 'DateTime', description: 'When it happened, as its publisher says.' }),
    publishedAt: t.expose('publishedAt', { type: 'DateTime', description: 'When it was published.' }),
    data: t.field({ type: 'JSON', description: 'What it says.', resolve: ({ body }) => envelopeData(body) }),
    entityId: t.exposeString('entityId', { nullable: true, description: 'What it is about.' }),
    source: t.exposeString('source', { description: 'Where it came from: `api`, or the module that published it.' }),
    deliveries: t.field({
      type: DeliveryConnection,
      description: 'Where it was sent, or is to be.',
      authScopes: { scope: 'DELIVERIES_READ' },
      args: forwardArgs,
      complexity: pageCost,
      resolve: ({ id }, args, context) => deliveriesOf(context, args, { eventId: id }),
    }),
  }),
});

builder.objectField(DeliveryType, 'event', (t) =>
  t.field({
    type: EventType,
    nullable: true,
    description: 'What is sent; null where the event is not kept any more.',
    resolve: ({ eventId }, _args, { loaders }) => loaders.event.load(eventId),
  }),
);

const EventConnection = builder.connectionObject(
  { type: EventType, name: 'EventConnection', description: 'A page of events.' },
  { name: 'EventEdge', description: 'An event in its list.' },
);

const EventFilter = builder.inputType('EventFilter', {
  description: 'Which events a list has: those that fit everything that is given.',
  fields: (t) => ({
    types: t.stringList({ description: 'Of one of these types; wildcards such as `ticket.*` work.' }),
    range: t.field({ type: TimeRangeInput, description: 'Published in this time.' }),
    entityId: t.string({ description: 'About this entity.' }),
  }),
});

builder.queryFields((t) => ({
  event: t.field({
    type: EventType,
    nullable: true,
    description: 'One event; null for one that this tenant does not have, or that is not kept any more.',
    authScopes: { scope: 'DELIVERIES_READ' },
    args: { id: t.arg.id({ required: true, description: 'The event, `evt_…`.' }) },
    resolve: (_root, { id }, { loaders }) => {
      const uuid = decodeId('event', id);
      return uuid === null ? null : loaders.event.load(uuid);
    },
  }),
  events: t.field({
    type: EventConnection,
    description: 'The events of the tenant, tests left out, newest first.',
    authScopes: { scope: 'DELIVERIES_READ' },
    args: { ...forwardArgs, filter: t.arg({ type: EventFilter, description: 'Which of them.' }) },
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const { sql } = context.services;
      const tenantId = tenantOf(context);
      const request = pageRequest(args, idCursor('event'));
      const filter = listFilter(args.filter ?? {});
      const page = await listEvents(sql, tenantId, filter, { first: request.limit, after: request.from });
      return idConnection('event', { items: page.events, hasMore: page.hasMore }, request, () =>
        countEvents(sql, tenantId, filter),
      );
    },
  }),
}));

const listFilter = ({ types, range, entityId }: typeof EventFilter.$inferInput): EventListFilter => {
  assertStorable(types ?? [], ['filter', 'types']);
  assertStorable([entityId ?? ''], ['filter', 'entityId']);
  return {
    types: types ?? undefined,
    from: range?.from ?? undefined,
    to: range?.to ?? undefined,
    entityId: entityId ?? undefined,
  };
};

const EventInput = builder.inputType('EventInput', {
  description: 'An event to publish.',
  fields: (t) => ({
    type: t.string({ required: true, description: 'A live built-in type, or one that this tenant registered.' }),
    data: t.field({
      type: 'JSON',
      required: true,
      description: 'What happened: a JSON object of at most 256 KiB that fits the schema of the type.',
    }),
    idempotencyKey: t.string({
      description: 'Makes the call idempotent for 24 hours: 1 to 255 characters, unique in the tenant.',
    }),
    occurredAt: t.field({ type: 'DateTime', description: 'When it happened; now where it is left out.' }),
    entityId: t.string({ description: 'What it is about, 1 to 255 characters; webhooks can narrow on it.' }),
  }),
});

const EventPublishSuccess = builder.objectRef<PublishedEvent>('EventPublishSuccess').implement({
  description: 'The event is stored, and on its way to whoever subscribes to it.',
  fields: (t) => ({
    event: t.expose('event', { type: EventType, description: 'The event.' }),
    matchedCount: t.exposeInt('matchedCount', { description: 'Webhooks that subscribe to its type and entity.' }),
    duplicate: t.exposeBoolean('duplicate', {
      description: 'Whether an earlier call with this idempotency key published it.',
    }),
  }),
});

const EventPublishManySuccess = builder
  .objectRef<{ results: readonly PublishedEvent[] }>('EventPublishManySuccess')
  .implement({
    description: 'All of the events are stored.',
    fields: (t) => ({
      results: t.field({
        type: [EventPublishSuccess],
        description: 'What came of each, in the order of the input.',
        resolve: ({ results }) => results,
      }),
    }),
  });

/** The publisher knows indexes, a caller knows paths. */
const atInput = async <T>(publish: Promise<T>, pathOf: (index: string) => readonly string[]): Promise<T> => {
  try {
    return await publish;
  } catch (error) {
    if (!(error instanceof ConflictError) || error.path === null) throw error;
    const [index = '0', ...rest] = error.path;
    throw new ConflictError(error.message, [...pathOf(index), ...rest]);
  }
};

builder.mutationFields((t) => ({
  eventPublish: t.field({
    type: EventPublishSuccess,
    description: 'Publishes an event: once it is answered, the event and its deliveries are stored.',
    authScopes: { scope: 'EVENTS_PUBLISH' },
    args: { input: t.arg({ type: EventInput, required: true, description: 'The event.' }) },
    errors: {
      types: [ValidationError, ConflictError],
      union: { description: 'The published event, or why there is none.' },
    },
    resolve: async (_root, { input }, context) => {
      const tenantId = tenantOf(context);
      const { eventTypes, publisher } = context.services;
      const event = await eventTypes.checkEvent(tenantId, input);
      const [published] = await atInput(publisher.publish(tenantId, SOURCE, [event]), () => ['input']);
      return published!;
    },
  }),
  eventPublishMany: t.field({
    type: EventPublishManySuccess,
    description: 'Publishes 1 to 1,000 events, all of them or none.',
    authScopes: { scope: 'EVENTS_PUBLISH' },
    args: { input: t.arg({ type: [EventInput], required: true, description: 'The events, in their order.' }) },
    errors: {
      types: [ValidationError, ConflictError],
      union: { description: 'The published events, or why there is none of them.' },
    },
    resolve: async (_root, { input }, context) => {
      if (input.length === 0 || input.length > MAX_EVENTS) {
        throw new ValidationError(`Publish from 1 to ${MAX_EVENTS} events at once.`, ['input']);
      }
      const tenantId = tenantOf(context);
      const { eventTypes, publisher } = context.services;
      const events = await eventTypes.checkEvents(tenantId, input);
      return {
        results: await atInput(publisher.publish(tenantId, SOURCE, events), (index) => ['input', index]),
      };
    },
  }),
}));

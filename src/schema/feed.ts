import type { AttemptErrorCode, DeliveryStatus } from '../domain/deliveries/delivery.ts';
import { ValidationError } from '../domain/errors.ts';
import type { FeedBatch, FeedEvent } from '../domain/feed/feedReader.ts';
import type { FeedFilter } from '../domain/feed/filter.ts';
import { decodeId, encodeId } from '../platform/ids.ts';
import { builder, tenantOf } from './builder.ts';
import { AttemptErrorType, DeliveryStatusType, DeliveryType } from './delivery.ts';

const DEFAULT_EVENTS = 100;
const MAX_EVENTS = 100;
/** The webhook of a filter that names none that can exist: nothing matches, and the feed goes on all the same. */
const NO_WEBHOOK = '00000000-0000-0000-0000-000000000000';

const DeliveryFeedEvent = builder.objectRef<FeedEvent>('DeliveryFeedEvent').implement({
  description:
    'One finished attempt, or one change without an attempt, such as held, resumed or cancelled. Enough to draw a row without another query.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: 'Continues right after this event.' }),
    at: t.field({ type: 'DateTime', description: 'When it happened.', resolve: ({ at }) => new Date(at) }),
    deliveryId: t.id({ description: 'The delivery, `dlv_…`.', resolve: ({ d }) => encodeId('delivery', d) }),
    webhookId: t.id({
      description: 'Its webhook, `wh_…`, or the inbound webhook that forwards, `iwh_…`.',
      resolve: ({ w, f }) => encodeId(f === 1 ? 'inboundWebhook' : 'webhook', w),
    }),
    webhookName: t.string({ description: 'The name that the webhook had then.', resolve: ({ n }) => n }),
    eventId: t.id({
      description: 'Its event, `evt_…`, or the inbound delivery that is forwarded, `idl_…`.',
      resolve: ({ e, f }) => encodeId(f === 1 ? 'inboundDelivery' : 'event', e),
    }),
    eventType: t.string({ description: 'The type of the event.', resolve: (event) => event.t }),
    status: t.field({
      type: DeliveryStatusType,
      description: 'How far the delivery was after it.',
      resolve: ({ s }) => s as DeliveryStatus,
    }),
    isTest: t.boolean({ description: 'Whether it is a test.', resolve: ({ x }) => x === 1 }),
    attemptNumber: t.int({ description: 'Attempts made until then; 0 before the first.', resolve: ({ a }) => a }),
    responseStatus: t.int({
      nullable: true,
      description: 'The HTTP status that the attempt got; null where there was no answer.',
      resolve: ({ r }) => r ?? null,
    }),
    durationMs: t.int({
      nullable: true,
      description: 'How long the attempt took, in milliseconds; null where there was none.',
      resolve: ({ m }) => m ?? null,
    }),
    error: t.field({
      type: AttemptErrorType,
      nullable: true,
      description: 'Why the attempt failed; null where it did not.',
      resolve: ({ c, g }) => (c === undefined ? null : { code: c as AttemptErrorCode, message: g ?? '' }),
    }),
    delivery: t.field({
      type: DeliveryType,
      nullable: true,
      description: 'The delivery as it is now; null where it is not kept any more.',
      resolve: ({ d }, _args, { loaders }) => loaders.delivery.load(d),
    }),
  }),
});

const DeliveryFeedBatch = builder.objectRef<FeedBatch>('DeliveryFeedBatch').implement({
  description: 'A stretch of the feed, in order.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', {
      description: 'Continues after this batch, and after everything that the filter left out before its end.',
    }),
    events: t.field({
      type: [DeliveryFeedEvent],
      description: 'What happened; may be empty.',
      resolve: ({ events }) => events,
    }),
    hasMore: t.exposeBoolean('hasMore', { description: 'Whether more is there already.' }),
  }),
});

const DeliveryFeedFilter = builder.inputType('DeliveryFeedFilter', {
  description: 'Which changes a feed has: those that fit everything that is given.',
  fields: (t) => ({
    webhookId: t.id({ description: 'Of this webhook, or of what this inbound webhook forwards.' }),
    status: t.field({ type: [DeliveryStatusType], description: 'That led to one of these statuses.' }),
    eventTypes: t.stringList({ description: 'Of one of these event types; wildcards such as `ticket.*` work.' }),
    isTest: t.boolean({ description: 'Of tests only, or of real deliveries only.' }),
  }),
});

const idOf = (webhookId: string): string =>
  decodeId('webhook', webhookId) ?? decodeId('inboundWebhook', webhookId) ?? NO_WEBHOOK;

const feedFilter = (filter: typeof DeliveryFeedFilter.$inferInput | null | undefined): FeedFilter => ({
  webhookId: filter?.webhookId == null ? undefined : idOf(filter.webhookId),
  status: filter?.status ?? undefined,
  eventTypes: filter?.eventTypes ?? undefined,
  isTest: filter?.isTest ?? undefined,
});

builder.queryField('deliveryEvents', (t) =>
  t.field({
    type: DeliveryFeedBatch,
    description: 'The delivery feed by polling. Its cursors are those of the subscription.',
    authScopes: { scope: 'DELIVERIES_READ' },
    args: {
      after: t.arg.string({ description: 'Where to go on; from the oldest that is kept where it is left out.' }),
      first: t.arg.int({
        description: `How many events at most, from 1 to ${MAX_EVENTS}; ${DEFAULT_EVENTS} where it is left out.`,
      }),
      filter: t.arg({ type: DeliveryFeedFilter, description: 'Which of them.' }),
    },
    complexity: ({ first }) => ({ field: 1, multiplier: Math.max(1, Math.min(first ?? DEFAULT_EVENTS, MAX_EVENTS)) }),
    resolve: (_root, { after, first, filter }, context) => {
      if (first != null && (first < 1 || first > MAX_EVENTS)) {
        throw new ValidationError(`A batch has from 1 to ${MAX_EVENTS} events.`, ['first']);
      }
      const { feed } = context.services;
      return feed.read(tenantOf(context), after ?? null, first ?? DEFAULT_EVENTS, feedFilter(filter));
    },
  }),
);

builder.subscriptionField('deliveryFeed', (t) =>
  t.field({
    type: DeliveryFeedBatch,
    description:
      'Every change of every delivery of the tenant, in order, at least once. The first batch comes at once, perhaps empty: the subscription stands from its cursor on. A batch with a newer cursor comes at least every 15 seconds. After a reconnect, `after` goes on with nothing missed.',
    authScopes: { scope: 'DELIVERIES_READ' },
    args: {
      after: t.arg.string({ description: 'Where to go on; from now on where it is left out.' }),
      filter: t.arg({ type: DeliveryFeedFilter, description: 'Which of them.' }),
    },
    complexity: { field: 1, multiplier: MAX_EVENTS },
    subscribe: (_root, { after, filter }, context) =>
      context.services.feed.subscribe(tenantOf(context), after ?? null, feedFilter(filter), context.signal),
    resolve: (batch) => batch,
  }),
);

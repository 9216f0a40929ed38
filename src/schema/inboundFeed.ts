import { ValidationError } from '../domain/errors.ts';
import type { FeedBatch, FeedEvent } from '../domain/feed/feedReader.ts';
import type { DispatchStatus } from '../domain/inbound/inboundDelivery.ts';
import type { InboundChange, InboundFeedFilter } from '../domain/inbound/inboundFeed.ts';
import type { AuthStatus } from '../domain/inbound/verification/verification.ts';
import { decodeId, encodeId } from '../platform/ids.ts';
import { builder, tenantOf } from './builder.ts';
import { AuthStatusType, DispatchStatusType, InboundDeliveryType } from './inboundDelivery.ts';
import { inboundLoaders } from './inboundLoaders.ts';

const MAX_EVENTS = 100;
const DEFAULT_EVENTS = 100;
/** The webhook of a filter that names none that can exist. */
const NO_WEBHOOK = '00000000-0000-0000-0000-000000000000';
/** It is a feed, and of the inbound direction. */
const READERS = { anyOf: ['INBOUND_READ', 'DELIVERIES_READ'] } as const;

const InboundFeedEvent = builder.objectRef<FeedEvent<InboundChange>>('InboundFeedEvent').implement({
  description: 'That a request came in, or what became of one that waited. Enough to draw a row without another query.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: 'Continues right after this event.' }),
    at: t.field({ type: 'DateTime', description: 'When it happened.', resolve: ({ at }) => new Date(at) }),
    inboundDeliveryId: t.id({
      description: 'The inbound delivery, `idl_…`.',
      resolve: ({ d }) => encodeId('inboundDelivery', d),
    }),
    inboundWebhookId: t.id({
      nullable: true,
      description: 'The inbound webhook, `iwh_…`.',
      resolve: ({ w }) => encodeId('inboundWebhook', w),
    }),
    inboundWebhookName: t.string({
      nullable: true,
      description: 'The name that the inbound webhook had then.',
      resolve: ({ n }) => n,
    }),
    eventType: t.string({
      nullable: true,
      description: 'The type of its event; null where there is none.',
      resolve: (event) => event.t ?? null,
    }),
    authStatus: t.field({
      type: AuthStatusType,
      description: 'How its verification ended.',
      resolve: ({ u }) => u as AuthStatus,
    }),
    dispatchStatus: t.field({
      type: DispatchStatusType,
      description: 'What had become of it by then.',
      resolve: ({ s }) => s as DispatchStatus,
    }),
    responseStatus: t.int({ description: 'The HTTP status that it was answered with.', resolve: ({ r }) => r }),
    durationMs: t.int({
      description: 'How long it took until it was judged, in milliseconds.',
      resolve: ({ m }) => m,
    }),
    isTest: t.boolean({ description: 'Whether it is a test.', resolve: ({ x }) => x === 1 }),
    inboundDelivery: t.field({
      type: InboundDeliveryType,
      nullable: true,
      description: 'The inbound delivery as it is now; null where it is not kept any more.',
      authScopes: { scope: 'INBOUND_READ' },
      resolve: ({ d }, _args, context) => inboundLoaders(context).delivery.load(d),
    }),
  }),
});

const InboundFeedBatch = builder.objectRef<FeedBatch<InboundChange>>('InboundFeedBatch').implement({
  description: 'A stretch of the inbound feed, in order.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', {
      description: 'Continues after this batch, and after everything that the filter left out before its end.',
    }),
    events: t.field({
      type: [InboundFeedEvent],
      description: 'What happened; may be empty.',
      resolve: ({ events }) => events,
    }),
    hasMore: t.exposeBoolean('hasMore', { description: 'Whether more is there already.' }),
  }),
});

const InboundFeedFilterInput = builder.inputType('InboundFeedFilter', {
  description: 'Which changes a feed has: those that fit everything that is given.',
  fields: (t) => ({
    inboundWebhookId: t.id({ description: 'Of this inbound webhook.' }),
    authStatus: t.field({ type: [AuthStatusType], description: 'Whose verification ended in one of these ways.' }),
    dispatchStatus: t.field({ type: [DispatchStatusType], description: 'That led to one of these statuses.' }),
  }),
});

const feedFilter = (filter: typeof InboundFeedFilterInput.$inferInput | null | undefined): InboundFeedFilter => ({
  webhookId:
    filter?.inboundWebhookId == null ? undefined : (decodeId('inboundWebhook', filter.inboundWebhookId) ?? NO_WEBHOOK),
  authStatus: filter?.authStatus ?? undefined,
  dispatchStatus: filter?.dispatchStatus ?? undefined,
});

builder.queryField('inboundEvents', (t) =>
  t.field({
    type: InboundFeedBatch,
    description: 'The inbound feed by polling. Its cursors are those of the subscription.',
    authScopes: READERS,
    args: {
      after: t.arg.string({ description: 'Where to go on; from the oldest that is kept where it is left out.' }),
      first: t.arg.int({
        description: `How many events at most, from 1 to ${MAX_EVENTS}; ${DEFAULT_EVENTS} where it is left out.`,
      }),
      filter: t.arg({ type: InboundFeedFilterInput, description: 'Which of them.' }),
    },
    complexity: ({ first }) => ({ field: 1, multiplier: Math.max(1, Math.min(first ?? DEFAULT_EVENTS, MAX_EVENTS)) }),
    resolve: (_root, { after, first, filter }, context) => {
      if (first != null && (first < 1 || first > MAX_EVENTS)) {
        throw new ValidationError(`A batch has from 1 to ${MAX_EVENTS} events.`, ['first']);
      }
      const { feed } = context.services.inbound;
      return feed.read(tenantOf(context), after ?? null, first ?? DEFAULT_EVENTS, feedFilter(filter));
    },
  }),
);

builder.subscriptionField('inboundFeed', (t) =>
  t.field({
    type: InboundFeedBatch,
    description:
      'Every request that the tenant’s inbound webhooks record, and what becomes of it, in order, at least once. The first batch comes at once, perhaps empty: the subscription stands from its cursor on. A batch with a newer cursor comes at least every 15 seconds. After a reconnect, `after` goes on with nothing missed.',
    authScopes: READERS,
    args: {
      after: t.arg.string({ description: 'Where to go on; from now on where it is left out.' }),
      filter: t.arg({ type: InboundFeedFilterInput, description: 'Which of them.' }),
    },
    complexity: { field: 1, multiplier: MAX_EVENTS },
    subscribe: (_root, { after, filter }, context) =>
      context.services.inbound.feed.subscribe(tenantOf(context), after ?? null, feedFilter(filter), context.signal),
    resolve: (batch) => batch,
  }),
);

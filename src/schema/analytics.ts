import { addCounts, noCounts, successRate, totalOf } from '../domain/analytics/counts.ts';
import type { Counts } from '../domain/analytics/counts.ts';
import { MOST_TYPES, OTHER_TYPES } from '../domain/analytics/fold.ts';
import { DAY, floorTo, HOUR, MINUTE, WHOLE_TENANT } from '../domain/analytics/grain.ts';
import type { Bucket } from '../domain/analytics/grain.ts';
import { emptyRollup, firstMinute } from '../domain/analytics/rollups.ts';
import type { Rollup, TypeCounts } from '../domain/analytics/rollups.ts';
import { MOST_BUCKETS, windowOf } from '../domain/analytics/window.ts';
import type { DeliveryStatus } from '../domain/deliveries/delivery.ts';
import { builder, tenantOf } from './builder.ts';
import type { Context } from './builder.ts';
import { DeliveryStatusType } from './delivery.ts';
import type { AnalyticsKey } from './loaders.ts';
import { TimeRangeInput } from './time.ts';
import { WebhookType } from './webhook.ts';

const TimeBucket = builder.enumType('TimeBucket', {
  description: 'What a timeline is divided into, in UTC.',
  values: {
    MINUTE: { value: MINUTE, description: 'Minutes; kept for 2 days.' },
    HOUR: { value: HOUR, description: 'Hours; kept for 90 days.' },
    DAY: { value: DAY, description: 'Days; kept for 400 days.' },
  },
});

const STATUSES = {
  DELIVERED: 'delivered',
  ABANDONED: 'abandoned',
  CANCELLED: 'cancelled',
  RETRYING: 'retrying',
} as const;
const MOST_INT = 2_147_483_647;

/** A count that an Int can hold. */
const whole = (count: number): number => Math.min(Math.max(count, 0), MOST_INT);

const StatusCount = builder.objectRef<{ status: DeliveryStatus; count: number }>('StatusCount').implement({
  description: 'How many deliveries have a status.',
  fields: (t) => ({
    status: t.expose('status', { type: DeliveryStatusType, description: 'The status that they have now.' }),
    count: t.int({ description: 'How many have it.', resolve: ({ count }) => whole(count) }),
  }),
});

const EventTypeCount = builder.objectRef<TypeCounts>('EventTypeCount').implement({
  description: 'What the deliveries of one event type came to.',
  fields: (t) => ({
    eventType: t.exposeString('eventType', {
      description: `The name of the type. Beyond ${MOST_TYPES} types in one day the others count together, as \`${OTHER_TYPES}\`.`,
    }),
    count: t.int({ description: 'How many there are.', resolve: (counts) => whole(totalOf(counts)) }),
    succeeded: t.int({ description: 'Those that were delivered.', resolve: ({ delivered }) => whole(delivered) }),
    failed: t.int({
      description: 'Those that failed so far: abandoned, retrying, or cancelled after an attempt.',
      resolve: ({ failed }) => whole(failed),
    }),
  }),
});

const TimelinePoint = builder.objectRef<{ minute: number; rollup: Rollup | undefined }>('TimelinePoint').implement({
  description: 'One bucket of a timeline.',
  fields: (t) => ({
    at: t.field({
      type: 'DateTime',
      description: 'When it begins, in UTC; the first one may begin before the range, and counts what is in the range.',
      resolve: ({ minute }) => new Date(minute * 60_000),
    }),
    succeeded: t.int({
      description: 'Deliveries of its time that were delivered.',
      resolve: ({ rollup }) => whole(rollup?.delivered ?? 0),
    }),
    failed: t.int({
      description: 'Deliveries of its time that failed so far.',
      resolve: ({ rollup }) => whole(rollup?.failed ?? 0),
    }),
    p95Ms: t.int({
      nullable: true,
      description: 'What 95 % of their attempts took at most, in milliseconds; null without any.',
      resolve: ({ rollup }) => latencyOf(rollup, 0.95),
    }),
  }),
});

const LatencyStats = builder.objectRef<Rollup | undefined>('LatencyStats').implement({
  description:
    'What attempts took, in milliseconds, failed ones too: within 6 %, and exact up to 15 ms. Null without any attempt.',
  fields: (t) => ({
    p50Ms: t.int({ nullable: true, description: 'The median.', resolve: (rollup) => latencyOf(rollup, 0.5) }),
    p95Ms: t.int({ nullable: true, description: 'Of 95 %, the most.', resolve: (rollup) => latencyOf(rollup, 0.95) }),
    p99Ms: t.int({ nullable: true, description: 'Of 99 %, the most.', resolve: (rollup) => latencyOf(rollup, 0.99) }),
  }),
});

const latencyOf = (rollup: Rollup | undefined, share: number): number | null =>
  rollup?.latency.percentile(share) ?? null;

const AnalyticsType = builder.objectRef<AnalyticsKey>('Analytics').implement({
  description:
    'What real deliveries came to. Each counts once, at the time of its event, by the status that it has now, from its first attempt on. Tests and filtered ones count nowhere.',
  fields: (t) => ({
    total: t.int({
      description: 'How many there are.',
      resolve: async (key, _args, { loaders }) => whole(totalOf((await loaders.totals.load(key)) ?? noCounts())),
    }),
    byStatus: t.field({
      type: [StatusCount],
      description: 'The same by status; those that none has are left out.',
      resolve: async (key, _args, { loaders }) => {
        const counts = (await loaders.totals.load(key)) ?? noCounts();
        return Object.entries(STATUSES)
          .map(([status, name]) => ({ status: status as DeliveryStatus, count: counts[name] }))
          .filter(({ count }) => count > 0);
      },
    }),
    byEventType: t.field({
      type: [EventTypeCount],
      description: `The same by event type, the most frequent first; at most ${MOST_TYPES} and \`${OTHER_TYPES}\`.`,
      complexity: { field: 5, multiplier: 10 },
      resolve: async (key, _args, { loaders }) => mostFrequent((await loaders.types.load(key)) ?? []),
    }),
    timeline: t.field({
      type: [TimelinePoint],
      description: 'The same by time: every bucket of the range in order, those without deliveries too.',
      complexity: { field: 5, multiplier: 50 },
      resolve: async (key, _args, { loaders }) => {
        const { from, to, bucket } = key.window;
        const timeline = await loaders.timelines.load(key);
        const first = floorTo(from, bucket);
        return Array.from({ length: Math.ceil((to - first) / bucket) }, (_, index) => {
          const minute = first + index * bucket;
          return { minute, rollup: timeline?.get(minute) };
        });
      },
    }),
    latency: t.field({
      type: LatencyStats,
      description: 'What their attempts took.',
      resolve: async (key, _args, { loaders }) => (await loaders.totals.load(key)) ?? emptyRollup(),
    }),
    successRate: t.float({
      nullable: true,
      description: '0 to 1, of those that succeeded or failed; null without any.',
      resolve: async (key, _args, { loaders }) => successRate((await loaders.totals.load(key)) ?? noCounts()),
    }),
  }),
});

const mostFrequent = (types: readonly TypeCounts[]): TypeCounts[] => {
  const named = types.filter(({ eventType }) => eventType !== OTHER_TYPES);
  const ordered = named.sort((a, b) => totalOf(b) - totalOf(a) || (a.eventType < b.eventType ? -1 : 1));
  const others: Counts = noCounts();
  for (const one of types) if (one.eventType === OTHER_TYPES) addCounts(others, one);
  for (const one of ordered.splice(MOST_TYPES)) addCounts(others, one);
  const shown = ordered.filter((counts) => totalOf(counts) > 0);
  return totalOf(others) > 0 ? [...shown, { eventType: OTHER_TYPES, ...others }] : shown;
};

const analyticsArgs = builder.args((t) => ({
  range: t.field({
    type: TimeRangeInput,
    description:
      'Of events published in this time, in whole minutes; whole hours beyond 2 days ago, whole days beyond 90. The last 30 days where it is left out.',
  }),
  bucket: t.field({
    type: TimeBucket,
    required: true,
    defaultValue: HOUR,
    description: `What the timeline is divided into: at most ${MOST_BUCKETS} buckets, more is BAD_REQUEST.`,
  }),
}));

interface AnalyticsArgs {
  readonly range?: typeof TimeRangeInput.$inferInput | null | undefined;
  readonly bucket: Bucket;
}

const analyticsOf = async (context: Context, webhookId: string, { range, bucket }: AnalyticsArgs) => {
  const isOpen = range && !range.from;
  const first = isOpen ? await firstMinute(context.services.sql, tenantOf(context), webhookId) : null;
  return { webhookId, window: windowOf(range, bucket, Date.now(), first) };
};

builder.queryField('analytics', (t) =>
  t.field({
    type: AnalyticsType,
    description: 'What the deliveries of the tenant came to, those of deleted webhooks too.',
    authScopes: { scope: 'DELIVERIES_READ' },
    args: analyticsArgs,
    complexity: { field: 10 },
    resolve: (_root, args, context) => analyticsOf(context, WHOLE_TENANT, args),
  }),
);

builder.objectField(WebhookType, 'analytics', (t) =>
  t.field({
    type: AnalyticsType,
    description: 'What its deliveries came to.',
    authScopes: { scope: 'DELIVERIES_READ' },
    args: analyticsArgs,
    complexity: { field: 10 },
    resolve: ({ id }, args, context) => analyticsOf(context, id, args),
  }),
);

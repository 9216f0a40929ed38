import type DataLoader from 'dataloader';
import { inboundCountsOf } from '../domain/inbound/counters.ts';
import type { InboundCounts } from '../domain/inbound/counters.ts';
import type { InboundDeliveryRecord } from '../domain/inbound/inboundDelivery.ts';
import { findInboundBodies, findInboundDeliveries } from '../domain/inbound/inboundHistory.ts';
import type { InboundWebhook } from '../domain/inbound/inboundWebhook.ts';
import { tenantOf } from './builder.ts';
import type { Context } from './builder.ts';
import { loaderBy, loadersBeside } from './loading.ts';

/** What one operation asks of the inbound direction, many at a time. */
interface InboundLoaders {
  readonly webhook: DataLoader<string, InboundWebhook | null>;
  readonly counts: DataLoader<string, InboundCounts | null>;
  /** JSON as text. */
  readonly sample: DataLoader<string, string | null>;
  readonly delivery: DataLoader<string, InboundDeliveryRecord | null>;
  readonly body: DataLoader<string, Buffer | null>;
}

/** Of at most 1 MiB each. */
const BODIES_AT_ONCE = 50;

export const inboundLoaders = loadersBeside((context: Context): InboundLoaders => {
  const { sql, inbound } = context.services;
  const { large } = context.loaders;
  const tenantId = tenantOf(context);
  return {
    webhook: loaderBy(
      async (ids) => new Map((await inbound.list.find(tenantId, ids)).map((webhook) => [webhook.id, webhook])),
    ),
    counts: loaderBy(async (ids) => {
      await inbound.written();
      return inboundCountsOf(sql, tenantId, ids);
    }),
    sample: large.loaderBy(
      (ids) => inbound.list.samples(tenantId, ids),
      ({ length }) => length,
      BODIES_AT_ONCE,
    ),
    delivery: loaderBy((ids) => findInboundDeliveries(sql, tenantId, ids)),
    body: large.loaderBy(
      (ids) => findInboundBodies(sql, tenantId, ids),
      ({ length }) => length,
      BODIES_AT_ONCE,
    ),
  };
});

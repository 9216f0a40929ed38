import DataLoader from 'dataloader';
import { inboundCountsOf } from '../domain/inbound/counters.ts';
import type { InboundCounts } from '../domain/inbound/counters.ts';
import type { InboundDeliveryRecord } from '../domain/inbound/inboundDelivery.ts';
import { findInboundBodies, findInboundDeliveries } from '../domain/inbound/inboundHistory.ts';
import type { InboundWebhook } from '../domain/inbound/inboundWebhook.ts';
import { tenantOf } from './builder.ts';
import type { Context } from './builder.ts';
import type { Loaders } from './loaders.ts';
import { topLevelError } from './topLevelErrors.ts';

/** What one operation asks of the inbound direction, many at a time. */
interface InboundLoaders {
  readonly webhook: DataLoader<string, InboundWebhook | null>;
  readonly counts: DataLoader<string, InboundCounts | null>;
  /** JSON as text. */
  readonly sample: DataLoader<string, string | null>;
  readonly delivery: DataLoader<string, InboundDeliveryRecord | null>;
  readonly body: DataLoader<string, Buffer | null>;
}

/** Bodies and samples are large and pages nest: this much of them in one operation, read so many at a time. */
const MAX_BYTES = 67_108_864;
const LARGE_AT_ONCE = 50;

const loadersOf = new WeakMap<Loaders, InboundLoaders>();

export const inboundLoaders = (context: Context): InboundLoaders => {
  const known = loadersOf.get(context.loaders);
  if (known) return known;
  const made = createInboundLoaders(context, tenantOf(context));
  loadersOf.set(context.loaders, made);
  return made;
};

/** They batch and do not cache: an operation may be a subscription that lives for days. */
const createInboundLoaders = ({ services }: Context, tenantId: string): InboundLoaders => {
  const { sql, inbound } = services;
  const by = <Value>(load: (ids: readonly string[]) => Promise<ReadonlyMap<string, Value>>, maxBatchSize = 1_000) =>
    new DataLoader<string, Value | null>(
      async (ids) => {
        const found = await load([...new Set(ids)]);
        return ids.map((id) => found.get(id) ?? null);
      },
      { cache: false, maxBatchSize },
    );

  let bytes = 0;
  let lastRead: Promise<unknown> = Promise.resolve();
  const large = <Value extends { readonly length: number }>(
    load: (ids: readonly string[]) => Promise<ReadonlyMap<string, Value>>,
  ) =>
    by<Value>((ids) => {
      const read = lastRead.then(async () => {
        if (bytes > MAX_BYTES) {
          throw topLevelError('QUERY_TOO_COMPLEX', 'These bodies are too large for one answer: ask for fewer.');
        }
        const found = await load(ids);
        for (const { length } of found.values()) bytes += length;
        return found;
      });
      lastRead = read.catch(() => undefined); // whoever asked for those hears of it
      return read;
    }, LARGE_AT_ONCE);

  return {
    webhook: by(
      async (ids) => new Map((await inbound.list.find(tenantId, ids)).map((webhook) => [webhook.id, webhook])),
    ),
    counts: by((ids) => inboundCountsOf(sql, tenantId, ids)),
    sample: large((ids) => inbound.list.samples(tenantId, ids)),
    delivery: by((ids) => findInboundDeliveries(sql, tenantId, ids)),
    body: large((ids) => findInboundBodies(sql, tenantId, ids)),
  };
};

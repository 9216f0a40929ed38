import DataLoader from 'dataloader';
import { WHOLE_TENANT } from '../domain/analytics/grain.ts';
import { successRate } from '../domain/analytics/counts.ts';
import { readRates, readTimelines, readTotals, readTypes } from '../domain/analytics/rollups.ts';
import type { Rollup, TypeCounts } from '../domain/analytics/rollups.ts';
import { lastDay } from '../domain/analytics/window.ts';
import type { AnalyticsWindow } from '../domain/analytics/window.ts';
import { findAttempts } from '../domain/deliveries/attemptLog.ts';
import type { AttemptRecord, DeliveryRecord } from '../domain/deliveries/delivery.ts';
import { findDeliveries } from '../domain/deliveries/history.ts';
import type { EventRecord } from '../domain/events/event.ts';
import { findEvents } from '../domain/events/eventLog.ts';
import type { Webhook } from '../domain/webhooks/webhook.ts';
import { healthOf, pendingOf } from '../domain/webhooks/webhookHealth.ts';
import type { WebhookHealth } from '../domain/webhooks/webhookHealth.ts';
import type { Services } from './builder.ts';
import { LargeReads, loaderBy } from './loading.ts';

/** Whose counts, and of when. */
export interface AnalyticsKey {
  /** A webhook's id, or `WHOLE_TENANT`. */
  readonly webhookId: string;
  readonly window: AnalyticsWindow;
}

/** Looks up what many objects of one page point at, in one statement. */
export interface Loaders {
  readonly webhook: DataLoader<string, Webhook | null>;
  readonly health: DataLoader<string, WebhookHealth | null>;
  readonly pending: DataLoader<string, number>;
  /** Over the last 24 hours. */
  readonly successRate: DataLoader<string, number | null>;
  readonly totals: DataLoader<AnalyticsKey, Rollup | null>;
  readonly timelines: DataLoader<AnalyticsKey, ReadonlyMap<number, Rollup> | null>;
  readonly types: DataLoader<AnalyticsKey, TypeCounts[] | null>;
  readonly delivery: DataLoader<string, DeliveryRecord | null>;
  readonly attempts: DataLoader<DeliveryRecord, AttemptRecord[]>;
  readonly event: DataLoader<string, EventRecord | null>;
  /** For other loaders of what is large. */
  readonly large: LargeReads;
}

/** Of at most 256 KiB each. */
const EVENTS_AT_ONCE = 100;

/** Loaders of one operation of one tenant. Those that are made here batch and do not cache, as those of `loading.ts`. */
export const createLoaders = ({ sql, webhookList }: Services, tenantId: string): Loaders => {
  /** A statement for all that ask about the same time. */
  const byWindow = <Value>(
    read: (
      db: typeof sql,
      tenant: string,
      ids: readonly string[],
      window: AnalyticsWindow,
    ) => Promise<ReadonlyMap<string, Value>>,
  ) =>
    new DataLoader<AnalyticsKey, Value | null>(
      async (keys) => {
        const nameOf = ({ webhookId, window: { from, to, bucket } }: AnalyticsKey): string =>
          [webhookId === WHOLE_TENANT, from, to, bucket].join();
        const found = new Map<string, ReadonlyMap<string, Value>>();
        for (const [name, group] of Map.groupBy(keys, nameOf)) {
          const ids = new Set(group.map(({ webhookId }) => webhookId));
          found.set(name, await read(sql, tenantId, [...ids], group[0]!.window));
        }
        return keys.map((key) => found.get(nameOf(key))?.get(key.webhookId) ?? null);
      },
      { cache: false, maxBatchSize: 1_000 },
    );

  const large = new LargeReads();
  return {
    webhook: loaderBy(
      async (ids) => new Map((await webhookList.find(tenantId, ids)).map((webhook) => [webhook.id, webhook])),
    ),
    health: loaderBy((ids) => healthOf(sql, tenantId, ids)),
    pending: new DataLoader<string, number>(
      async (ids) => {
        const counts = await pendingOf(sql, tenantId, [...new Set(ids)]);
        return ids.map((id) => counts.get(id) ?? 0);
      },
      { cache: false },
    ),
    successRate: loaderBy(async (ids) => {
      const rates = await readRates(sql, tenantId, ids, lastDay(Date.now()));
      return new Map([...rates].map(([id, counts]) => [id, successRate(counts)]));
    }),
    totals: byWindow(readTotals),
    timelines: byWindow(readTimelines),
    types: byWindow(readTypes),
    delivery: loaderBy((ids) => findDeliveries(sql, tenantId, ids)),
    attempts: new DataLoader<DeliveryRecord, AttemptRecord[]>(
      async (deliveries) => {
        const found = await findAttempts(sql, tenantId, deliveries);
        return deliveries.map(({ id }) => found.get(id) ?? []);
      },
      { cache: false, maxBatchSize: 500 },
    ),
    event: large.loaderBy(
      (ids) => findEvents(sql, tenantId, ids),
      ({ body }) => body.length,
      EVENTS_AT_ONCE,
    ),
    large,
  };
};

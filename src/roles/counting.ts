import type { Settlement } from '../domain/deliveries/settlement.ts';
import type { PublishedEvent, Publisher } from '../domain/events/event.ts';
import type { DeliveryOutcome, Metrics } from '../platform/metrics.ts';

/** The publisher, counted; repetitions by idempotency key are not. */
export const counting = (publisher: Publisher, metrics: Metrics): Publisher => {
  const count = (published: readonly PublishedEvent[]): void =>
    metrics.publishes.inc(published.filter((one) => !one.duplicate).length);
  return {
    publish: async (tenantId, source, events) => {
      const published = await publisher.publish(tenantId, source, events);
      count(published);
      return published;
    },
    publishIn: async (...args) => {
      const written = await publisher.publishIn(...args);
      return {
        published: written.published,
        ring: () => {
          count(written.published);
          written.ring();
        },
      };
    },
  };
};

const OUTCOMES: Readonly<Partial<Record<Settlement['status'], DeliveryOutcome>>> = {
  DELIVERED: 'delivered',
  RETRYING: 'retrying',
  ABANDONED: 'abandoned',
  CANCELLED: 'cancelled',
};

/** Counts a batch of results by their outcome. */
export const countSettled = (metrics: Metrics, batch: readonly Settlement[]): void => {
  if (batch.length > 0) metrics.settleBatchSize.observe(batch.length);
  for (const { status } of batch) {
    const outcome = OUTCOMES[status];
    if (outcome) metrics.deliveries.inc({ outcome });
  }
};

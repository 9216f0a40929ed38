import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

/** How an attempt to deliver ended for its delivery. */
export type DeliveryOutcome = 'delivered' | 'retrying' | 'abandoned' | 'cancelled' | 'filtered';

/**
 * What one process counts, for Prometheus. Labels are of few values by construction: never an id, a URL or a name that a
 * user gives. Made once per process and handed to whoever counts.
 */
export interface Metrics {
  readonly registry: Registry;
  readonly deliveries: Counter<'outcome'>;
  /** From the first byte out to the last one in, or to the failure. */
  readonly attemptSeconds: Histogram;
  readonly publishes: Counter;
  readonly bulkDeliveries: Counter<'kind'>;
  readonly settleBatchSize: Histogram;
  readonly lanesHeld: Gauge;
  readonly feedSubscribers: Gauge;
  readonly inboundRequests: Counter<'outcome'>;
  /** JSONata expressions by how their evaluation ended. */
  readonly expressions: Counter<'outcome'>;
  /** How long a request waited for a process that evaluates its expressions. */
  readonly expressionWaitSeconds: Histogram;
  readonly httpRequests: Counter<'route' | 'method' | 'status'>;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  return {
    registry,
    deliveries: new Counter({
      name: 'hookgraph_deliveries_total',
      help: 'Settled attempts by what became of their delivery.',
      labelNames: ['outcome'],
      registers,
    }),
    attemptSeconds: new Histogram({
      name: 'hookgraph_attempt_duration_seconds',
      help: 'Duration of attempts to deliver.',
      // Webhooks may take 30 s at most; the budget for fast ones ends at 0.25.
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    }),
    publishes: new Counter({
      name: 'hookgraph_publish_total',
      help: 'Events published, without duplicates.',
      registers,
    }),
    bulkDeliveries: new Counter({
      name: 'hookgraph_bulk_deliveries_total',
      help: 'Deliveries that operations on many queued again or cancelled.',
      labelNames: ['kind'],
      registers,
    }),
    settleBatchSize: new Histogram({
      name: 'hookgraph_settle_batch_size',
      help: 'Attempts settled in one transaction.',
      buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000],
      registers,
    }),
    lanesHeld: new Gauge({ name: 'hookgraph_lanes_held', help: 'Lanes whose lease this process holds.', registers }),
    feedSubscribers: new Gauge({
      name: 'hookgraph_feed_subscribers',
      help: 'Open subscriptions to the live feed.',
      registers,
    }),
    inboundRequests: new Counter({
      name: 'hookgraph_inbound_requests_total',
      help: 'Requests to the receivers by how they were answered.',
      labelNames: ['outcome'],
      registers,
    }),
    expressions: new Counter({
      name: 'hookgraph_expressions_total',
      help: 'JSONata expressions evaluated, by how it ended.',
      labelNames: ['outcome'],
      registers,
    }),
    expressionWaitSeconds: new Histogram({
      name: 'hookgraph_expression_wait_seconds',
      help: 'Time that requests waited for a process that evaluates expressions.',
      buckets: [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers,
    }),
    httpRequests: new Counter({
      name: 'hookgraph_http_requests_total',
      help: 'HTTP requests answered, by route, method and status.',
      labelNames: ['route', 'method', 'status'],
      registers,
    }),
  };
}

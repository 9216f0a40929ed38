import type { CatalogueEntry } from './catalogue.ts';

const WEBHOOK = {
  webhook_id: 'wh_01jd8m4r5vf0ttb7s3q9w2x6ye',
  webhook_name: 'Billing',
  host: 'hooks.acme.example',
};

/**
 * Events about hookgraph's own work, which any webhook of the tenant may subscribe to. Only hookgraph publishes them. A
 * delivery of one never causes another, whatever comes of it, so that no webhook can keep itself busy.
 */
export const OPERATIONAL_EVENT_TYPES = [
  {
    name: 'webhook.failing',
    description:
      'A webhook keeps failing: three attempts in a row, or any for 5 minutes. Once until a delivery succeeds or the webhook is enabled again.',
    status: 'LIVE',
    example: { ...WEBHOOK, consecutive_failures: 3, failing_since: '2026-03-02T09:15:00.000Z' },
  },
  {
    name: 'webhook.disabled',
    description:
      'A webhook was disabled by itself: its receiver answered 410, or everything failed for 24 hours. Not for those that somebody disables.',
    status: 'LIVE',
    example: {
      ...WEBHOOK,
      reason: 'The receiver answered 410 Gone: it does not want this webhook any more.',
      disabled_at: '2026-03-02T09:15:00.000Z',
      consecutive_failures: 1,
      failing_since: '2026-03-02T09:15:00.000Z',
    },
  },
  {
    name: 'delivery.abandoned',
    description:
      'A delivery was given up: its retries are used up, its receiver is gone, or it is too old. Published while some webhook subscribes to it.',
    status: 'LIVE',
    example: {
      ...WEBHOOK,
      delivery_id: 'dlv_01jd8m5b2ce4fvjq6r8t0w1xyz',
      event_id: 'evt_01jd8m5a7df1gvb3n5p7r9t2wx',
      event_type: 'ticket.created',
      attempts: 6,
      response_status: 503,
      error: { code: 'HTTP_STATUS', message: 'The receiver answered 503.' },
      abandoned_at: '2026-03-02T23:50:00.000Z',
    },
  },
] as const satisfies readonly CatalogueEntry[];

export type OperationalType = (typeof OPERATIONAL_EVENT_TYPES)[number]['name'];

const NAMES: ReadonlySet<string> = new Set(OPERATIONAL_EVENT_TYPES.map(({ name }) => name));

export const isOperationalType = (type: string): boolean => NAMES.has(type);

/** The same as a list of SQL literals. */
export const OPERATIONAL_TYPES_SQL = [...NAMES].map((name) => `'${name}'`).join(', ');

import type { SigningKey } from './signature.ts';
import { standardWebhooksSignature, timestampedSignature } from './signature.ts';

/** Of every event. */
export const JSON_TYPE = 'application/json';

export interface SignedRequestInput {
  /** Such as `X-Alga-`. */
  readonly headerPrefix: string;
  readonly userAgent: string;
  readonly contentType: string;
  /** TypeIDs, as receivers see them. */
  readonly webhookId: string;
  readonly deliveryId: string;
  readonly eventId: string;
  /** Empty where a forwarded request had none. */
  readonly eventType: string;
  /** 1 for the first. */
  readonly attempt: number;
  /** How often what led to the event had passed through hookgraph before: told, so that a loop can be cut. */
  readonly hops: number;
  /** Static headers of the webhook, a flat list of names and values. */
  readonly customHeaders: readonly string[];
  /** Oldest first. */
  readonly keys: readonly SigningKey[];
  readonly body: Buffer;
  /** Ms since the epoch; each attempt signs its own. */
  readonly now: number;
}

/** The headers of one attempt as a flat list of names and values, signed in both schemes with one timestamp. */
export const signedHeaders = (input: SignedRequestInput): string[] => {
  const { headerPrefix: prefix, keys, body } = input;
  const t = Math.floor(input.now / 1000);
  const { eventId } = input;
  return [
    'Content-Type',
    input.contentType,
    'User-Agent',
    input.userAgent,
    `${prefix}Signature`,
    timestampedSignature(keys, t, body),
    `${prefix}Event-Id`,
    eventId,
    ...(input.eventType === '' ? [] : [`${prefix}Event-Type`, input.eventType]),
    `${prefix}Webhook-Id`,
    input.webhookId,
    `${prefix}Delivery-Id`,
    input.deliveryId,
    `${prefix}Delivery-Attempt`,
    String(input.attempt),
    'webhook-id',
    eventId,
    'webhook-timestamp',
    String(t),
    'webhook-signature',
    standardWebhooksSignature(keys, eventId, t, body),
    ...(input.hops > 0 ? [`${prefix}Hops`, String(input.hops)] : []),
    ...input.customHeaders,
  ];
};

/** The headers of one attempt as they are recorded: the values of static ones are secrets. */
export const recordedHeaders = (headers: readonly string[], customHeaders: readonly string[]): readonly string[] => {
  if (customHeaders.length === 0) return headers;
  const own = headers.length - customHeaders.length;
  return headers.map((text, index) => (index >= own && (index - own) % 2 === 1 ? '***' : text));
};

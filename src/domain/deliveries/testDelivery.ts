import type { Database } from '../../platform/database.ts';
import { deriveId, encodeId } from '../../platform/ids.ts';
import type { Logger } from '../../platform/logs.ts';
import type { Sender } from '../../platform/outbound/sender.ts';
import type { SecretBox } from '../../platform/secrets.ts';
import { NotFoundError, ValidationError } from '../errors.ts';
import { newEventRecord } from '../events/publisher.ts';
import type { DeliveryRecord, TestDeliveries } from './delivery.ts';
import { readDestinations } from './destination.ts';
import { bodyFor } from './envelope.ts';
import { JSON_TYPE, recordedHeaders, signedHeaders } from './request.ts';
import { PLAIN_END, recordFinished, settledAttempt } from './settlement.ts';

export interface TestDeliveriesOptions {
  readonly database: Database;
  readonly sender: Sender;
  readonly box: SecretBox;
  readonly log: Logger;
  readonly headerPrefix: string;
  readonly userAgent: string;
  readonly now: () => number;
  /** The example of a type that the tenant knows: null without one, undefined for an unknown type. */
  readonly exampleOf: (tenantId: string, eventType: string) => Promise<Record<string, unknown> | null | undefined>;
  readonly find: (tenantId: string, deliveryId: string) => Promise<DeliveryRecord | null>;
  /** A change was written to the outbox. */
  readonly onRecorded: () => void;
}

/** The type of a test where the webhook names none but wildcards. */
const TEST_TYPE = 'webhook.test';

const READ_SUBSCRIPTION = `
select event_types, payload_fields from webhook where tenant_id = $1 and id = $2`;

/**
 * A test is sent right here, by the process that was asked, past every lane: it waits for nobody, is never retried,
 * and works whatever the webhook's status. It is recorded once the receiver has answered or failed to; a crash before
 * that leaves nothing behind, as the caller got no answer either.
 */
export const createTestDeliveries = (options: TestDeliveriesOptions): TestDeliveries => ({
  send: async (tenantId, webhookId, wantedType) => {
    const { database, sender, now } = options;
    const [webhook] = await database.sql.query<{ event_types: string[]; payload_fields: string[] | null }>(
      READ_SUBSCRIPTION,
      [tenantId, webhookId],
    );
    const destination =
      webhook && (await readDestinations(database.sql, options.box, [webhookId], options.log)).get(webhookId);
    if (!webhook || !destination || destination.tenantId !== tenantId || destination.status === 'DELETED') {
      throw new NotFoundError('There is no such webhook.');
    }
    const type = wantedType ?? webhook.event_types.find((name) => !name.includes('*')) ?? TEST_TYPE;
    const example = await options.exampleOf(tenantId, type);
    if (example === undefined && wantedType !== null && type !== TEST_TYPE) {
      throw new ValidationError(
        `There is no event type ${JSON.stringify(type)}: eventTypes lists those that there are.`,
        ['eventType'],
      );
    }
    const startedAt = now();
    const event = newEventRecord(tenantId, 'test', { type, data: example ?? {} }, startedAt, true);
    const deliveryId = deriveId(event.id, webhookId);
    const body = Buffer.from(bodyFor(event.body, webhook.payload_fields));
    const headers = signedHeaders({
      headerPrefix: options.headerPrefix,
      userAgent: options.userAgent,
      contentType: JSON_TYPE,
      webhookId: destination.publicId,
      deliveryId: encodeId('delivery', deliveryId),
      eventId: encodeId('event', event.id),
      eventType: type,
      attempt: 1,
      hops: 0,
      customHeaders: destination.customHeaders,
      keys: destination.keys(startedAt),
      body,
      now: startedAt,
    });
    const { url, timeoutMs, verifySsl } = destination;
    const exchange = await sender.send({ url, headers, body, timeoutMs, verifySsl });
    await recordFinished(database, event, webhook.payload_fields, {
      deliveryId,
      webhookId,
      webhookName: destination.webhookName,
      eventId: event.id,
      eventType: type,
      isTest: true,
      isForward: false,
      attemptsBefore: 0,
      status: exchange.error === null ? 'DELIVERED' : 'ABANDONED',
      ...PLAIN_END,
      attempt: settledAttempt('TEST', recordedHeaders(headers, destination.customHeaders), exchange),
      error: exchange.error,
    });
    options.onRecorded();
    const delivery = await options.find(tenantId, deliveryId);
    if (!delivery) throw new Error(`test delivery ${deliveryId} was recorded and cannot be found`);
    return delivery;
  },
});

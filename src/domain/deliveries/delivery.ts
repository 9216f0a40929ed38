import type { FailureCode } from '../../platform/outbound/failures.ts';

/** Statuses of a delivery as stored or derived: PENDING, RETRYING and HELD are open, the others have ended. */
export type DeliveryStatus = 'PENDING' | 'RETRYING' | 'DELIVERED' | 'ABANDONED' | 'HELD' | 'CANCELLED' | 'FILTERED';

export type AttemptTrigger = 'INITIAL' | 'RETRY' | 'MANUAL' | 'BULK' | 'RESUME' | 'TEST';

/** What a request can fail with, or its webhook's condition before it. */
export type AttemptErrorCode = FailureCode | 'CONDITION_FAILED';

export interface AttemptError {
  readonly code: AttemptErrorCode;
  readonly message: string;
}

/** One delivery, open or ended. */
export interface DeliveryRecord {
  readonly id: string;
  readonly tenantId: string;
  /** The webhook it was made for, which may be gone. */
  readonly webhookId: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly status: DeliveryStatus;
  readonly isTest: boolean;
  /** It forwards an inbound request: `webhookId` is the inbound webhook and `eventId` the inbound delivery. */
  readonly isForward: boolean;
  readonly attemptCount: number;
  readonly nextAttemptAt: Date | null;
  readonly payloadFields: readonly string[] | null;
  /** Of the last attempt. */
  readonly responseStatus: number | null;
  readonly durationMs: number | null;
  readonly error: AttemptError | null;
  readonly createdAt: Date;
  readonly completedAt: Date | null;
}

export interface AttemptRecord {
  readonly id: string;
  readonly tenantId: string;
  readonly deliveryId: string;
  readonly number: number;
  readonly trigger: AttemptTrigger;
  readonly startedAt: Date;
  readonly durationMs: number;
  readonly requestHeaders: Readonly<Record<string, string>>;
  readonly responseStatus: number | null;
  readonly responseHeaders: Readonly<Record<string, string | string[]>> | null;
  /** Its first 8 KiB, read as UTF-8. */
  readonly responseBody: string | null;
  readonly responseTruncated: boolean;
  readonly error: AttemptError | null;
}

/** Sends signed tests; implemented by `testDelivery.ts`. */
export interface TestDeliveries {
  /**
   * Sends one signed test with the live secret and records it, whatever the webhook's status; resolves when the
   * receiver has answered or failed to. Throws NotFoundError, or ValidationError for an unknown event type.
   */
  send(tenantId: string, webhookId: string, eventType: string | null): Promise<DeliveryRecord>;
}

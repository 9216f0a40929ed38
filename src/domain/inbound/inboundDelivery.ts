import type { AuthStatus } from './verification/verification.ts';

/**
 * What became of a request. PENDING waits for its handler (a row in `inbound_open`), DISPATCHED has been handled or asked
 * for nothing but a record, FAILED was refused by its handler for good. DUPLICATE, IGNORED and HANDSHAKE were answered
 * with success and do nothing; REJECTED and RATE_LIMITED were refused.
 */
export const DISPATCH_STATUSES = [
  'PENDING',
  'DISPATCHED',
  'DUPLICATE',
  'IGNORED',
  'FAILED',
  'REJECTED',
  'RATE_LIMITED',
  'HANDSHAKE',
] as const;
export type DispatchStatus = (typeof DISPATCH_STATUSES)[number];

/** One request as it is kept. Credentials are in none of its fields. */
export interface InboundDeliveryRecord {
  readonly id: string;
  readonly tenantId: string;
  /** The webhook that received it, which may be gone. */
  readonly webhookId: string;
  readonly receivedAt: Date;
  readonly eventType: string | null;
  readonly authStatus: AuthStatus;
  readonly dispatchStatus: DispatchStatus;
  readonly idempotencyKey: string | null;
  readonly duplicateOf: string | null;
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly contentType: string | null;
  readonly hasBody: boolean;
  readonly sourceIp: string | null;
  readonly responseStatus: number;
  readonly durationMs: number;
  /** JSON; null until the handler ran. */
  readonly handlerOutcome: unknown;
  readonly attemptCount: number;
  readonly isTest: boolean;
  readonly isReplay: boolean;
  readonly replayedFrom: string | null;
  readonly workflowRunId: string | null;
  /** How often it had passed through hookgraph before. */
  readonly hops: number;
}

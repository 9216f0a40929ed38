import type { EventRecord } from '../events/event.ts';

/** Open deliveries of a webhook that became due, by a commit that is over. */
export interface Ring {
  readonly tenantId: string;
  readonly webhookId: string;
  /** The earliest `next_at` among them, ms since the epoch: where the lane's holder has to read again from. */
  readonly dueAt: number;
  /** What was just published, where that is all that this ring is about: the holder need not read it. */
  readonly fresh?: Fresh;
}

/** Events that a webhook has its first deliveries of since a moment ago. */
export interface Fresh {
  /** Of the webhook, as it was matched. */
  readonly version: number;
  /** In the order in which they are to be sent. */
  readonly events: readonly EventRecord[];
}

/**
 * How the domain tells whoever delivers. Both are hints, sent after the commit, never in it; the row is the truth, and
 * the clock finds what a crash left between commit and ring. Neither throws nor waits.
 */
export interface LaneBell {
  /** There is something to deliver (or, for a disabled or deleted webhook, to cancel). */
  ring(rings: readonly Ring[]): void;
  /** The webhook's row changed, or is gone: the lane's holder reads it again before its next send. */
  configurationChanged(webhookId: string): void;
}

/** Open deliveries of a webhook that became due, by a commit that is over. */
export interface Ring {
  readonly tenantId: string;
  readonly webhookId: string;
  /** The earliest `next_at` among them, ms since the epoch: where the lane's holder has to read again from. */
  readonly dueAt: number;
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

/** Deliveries of an inbound webhook that wait for their handler, by a commit that is over. */
export interface DispatchRing {
  readonly tenantId: string;
  readonly webhookId: string;
  /** The `next_at` of the earliest, ms since the epoch: where the lane's holder has to read again from. */
  readonly dueAt: number;
}

/**
 * How the receivers tell whoever dispatches. A hint, sent after the commit, never in it; the rows of `inbound_open` are the
 * truth. Neither throws nor waits.
 */
export interface DispatchBell {
  /** There is something to dispatch (or, for a webhook that was disabled or deleted, to give up). */
  ring(rings: readonly DispatchRing[]): void;
  /** Where it forwards to, by which key, or whether at all, is another now, by a commit that is over. */
  configurationChanged(webhookId: string): void;
}

import type { FeedStream } from '../feed/stream.ts';

/**
 * One change of one inbound delivery, as it is written into `feed_outbox.changes` with kind 1 (a JSON array of these) by
 * the transaction that makes the change: that it came in, and what became of it. Keys are short, because millions are
 * kept.
 */
export interface InboundChange {
  /** When, ms since the epoch. */
  readonly at: number;
  /** Delivery and inbound webhook, as UUIDs. */
  readonly d: string;
  readonly w: string;
  /** Name of the webhook, and event type where there is one. */
  readonly n: string;
  readonly t?: string;
  /** Authentication status and dispatch status after the change. */
  readonly u: string;
  readonly s: string;
  /** Response status, and how long the answer took in ms. */
  readonly r: number;
  readonly m: number;
  /** 1 for a test; left out otherwise. */
  readonly x?: 1;
}

/** Which changes a reader wants; what is left out does not narrow, and an empty list matches nothing. */
export interface InboundFeedFilter {
  /** UUID of the inbound webhook. */
  readonly webhookId?: string | undefined;
  readonly authStatus?: readonly string[] | undefined;
  readonly dispatchStatus?: readonly string[] | undefined;
}

/** The feed of inbound deliveries. */
export const INBOUND_STREAM: FeedStream<InboundChange, InboundFeedFilter> = {
  kind: 1,
  matcher: ({ webhookId, authStatus, dispatchStatus }) => {
    const ofAuth = authStatus === undefined ? null : new Set(authStatus);
    const ofDispatch = dispatchStatus === undefined ? null : new Set(dispatchStatus);
    return (change) =>
      (webhookId === undefined || change.w === webhookId) &&
      (ofAuth === null || ofAuth.has(change.u)) &&
      (ofDispatch === null || ofDispatch.has(change.s));
  },
};

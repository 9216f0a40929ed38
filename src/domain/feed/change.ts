/**
 * One change of one delivery, as it is written into `feed_outbox.changes` and `feed.changes` (a JSON array of these) by
 * the transaction that makes the change. Keys are short, because millions are kept.
 */
export interface FeedChange {
  /** When, ms since the epoch. */
  readonly at: number;
  /** Delivery, webhook and event, as UUIDs. */
  readonly d: string;
  readonly w: string;
  readonly e: string;
  /** Webhook name and event type. */
  readonly n: string;
  readonly t: string;
  /** Delivery status after the change. */
  readonly s: string;
  /** 1 for a test delivery; left out otherwise. */
  readonly x?: 1;
  /** 1 where it forwards an inbound request: then `w` is the inbound webhook and `e` the inbound delivery. */
  readonly f?: 0 | 1;
  /** Number of the attempt; 0 before the first. */
  readonly a: number;
  /** Response status, duration in ms, error code and message of the attempt, where there was one. */
  readonly r?: number;
  readonly m?: number;
  readonly c?: string;
  readonly g?: string;
}

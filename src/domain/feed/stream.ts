/**
 * What a feed tells of: one tenant's changes of one kind. All kinds share the outbox, the sequencer, the sequence and the
 * tables, and so the cursors and what they promise; a reader walks the rows of its own kind alone.
 */
export interface FeedStream<Change, Filter> {
  /** As in `feed_outbox.kind` and `feed.kind`. */
  readonly kind: number;
  /** Prepares a filter once per reader. */
  readonly matcher: (filter: Filter) => (change: Change) => boolean;
}

import { typeMatcher } from '../events/typePatterns.ts';
import type { FeedChange } from './change.ts';
import type { FeedStream } from './stream.ts';

/** Which changes a reader wants; what is left out does not narrow, and an empty list matches nothing. */
export interface FeedFilter {
  /** UUID of the webhook. */
  readonly webhookId?: string | undefined;
  readonly status?: readonly string[] | undefined;
  /** Names, or wildcards such as `ticket.*`. */
  readonly eventTypes?: readonly string[] | undefined;
  readonly isTest?: boolean | undefined;
}

/** The filter as a test on a change, prepared once per reader. */
export const changeMatcher = ({
  webhookId,
  status,
  eventTypes,
  isTest,
}: FeedFilter): ((change: FeedChange) => boolean) => {
  const statuses = status === undefined ? null : new Set(status);
  const typeMatches = eventTypes === undefined ? null : typeMatcher(eventTypes);
  return (change) =>
    (webhookId === undefined || change.w === webhookId) &&
    (statuses === null || statuses.has(change.s)) &&
    (typeMatches === null || typeMatches(change.t)) &&
    (isTest === undefined || (change.x === 1) === isTest);
};

/** The feed of outbound deliveries. */
export const DELIVERY_STREAM: FeedStream<FeedChange, FeedFilter> = { kind: 0, matcher: changeMatcher };

import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { API_KEY } from './program.ts';
import type { TestProgram } from './program.ts';

export interface FeedBatch {
  readonly cursor: string;
  readonly events: readonly FeedEvent[];
  readonly hasMore: boolean;
}

export interface FeedEvent {
  readonly cursor: string;
  readonly deliveryId: string;
  readonly status: string;
  readonly attemptNumber: number;
  readonly webhookId: string;
  readonly webhookName: string;
  readonly eventType: string;
}

const BATCH = `cursor hasMore events { cursor deliveryId status attemptNumber webhookId webhookName eventType }`;
const FOLLOW_MS = 20_000;

/** Everything in the feed from a cursor on (null: from the oldest that is kept), by polling. */
export const pollFeed = async (program: TestProgram, after: string | null, key = API_KEY): Promise<FeedEvent[]> => {
  const events: FeedEvent[] = [];
  for (let cursor = after, more = true; more;) {
    const { deliveryEvents } = await program.graphql(
      `query ($after: String) { deliveryEvents(after: $after, first: 100) { ${BATCH} } }`,
      { after: cursor },
      key,
    );
    events.push(...deliveryEvents.events);
    ({ cursor, hasMore: more } = deliveryEvents);
  }
  return events;
};

/**
 * Subscribes over a WebSocket with the client that users have, and reads until `enough`; fails where that never comes.
 *
 * @param more asked of each event besides
 */
export const followFeed = async (
  program: TestProgram,
  after: string | null,
  enough: (events: readonly FeedEvent[]) => boolean,
  key = API_KEY,
  more = '',
): Promise<{ batches: FeedBatch[]; events: FeedEvent[] }> => {
  const client = createClient({
    url: `${program.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { 'X-API-Key': key },
    retryAttempts: 0,
  });
  const batches: FeedBatch[] = [];
  const events: FeedEvent[] = [];
  const subscription = client.iterate<{ deliveryFeed: FeedBatch }>({
    query: `subscription ($after: String) { deliveryFeed(after: $after) { ${BATCH} events { eventType ${more} } } }`,
    variables: { after },
  });
  let isLate = false;
  const deadline = setTimeout(() => {
    isLate = true;
    client.terminate();
  }, FOLLOW_MS);
  try {
    for await (const { data, errors } of subscription) {
      if (errors) throw new Error(JSON.stringify(errors));
      batches.push(data!.deliveryFeed);
      events.push(...data!.deliveryFeed.events);
      if (enough(events)) break;
    }
  } catch (error) {
    throw isLate ? new Error(`only ${events.length} events came within ${FOLLOW_MS} ms`, { cause: error }) : error;
  } finally {
    clearTimeout(deadline);
    await client.dispose();
  }
  return { batches, events };
};

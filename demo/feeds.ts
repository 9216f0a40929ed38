import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';

/** A row of the feed of deliveries. */
export interface DeliveryRow {
  readonly at: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly status: 'DELIVERED' | 'RETRYING' | 'ABANDONED' | 'HELD' | 'CANCELLED';
  readonly attemptNumber: number;
  readonly responseStatus: number | null;
  readonly durationMs: number | null;
}

/** A row of the feed of inbound deliveries. */
export interface InboundRow {
  readonly at: string;
  readonly inboundDeliveryId: string;
  readonly eventType: string | null;
  readonly authStatus: string;
  readonly dispatchStatus: string;
  readonly responseStatus: number;
  readonly durationMs: number;
  readonly inboundDelivery: {
    readonly handlerOutcome: { readonly action: string; readonly entityId: string; readonly events?: string[] } | null;
  } | null;
}

export interface Feeds {
  /** Resolves when both subscriptions have ended. */
  close(): Promise<void>;
}

const DELIVERIES = `subscription { deliveryFeed { events {
  at eventId eventType status attemptNumber responseStatus durationMs } } }`;
const INBOUND = `subscription { inboundFeed { events {
  at inboundDeliveryId eventType authStatus dispatchStatus responseStatus durationMs
  inboundDelivery { handlerOutcome } } } }`;

/** Subscribes to both live feeds over one WebSocket. Resolves when both have begun: nothing is missed from then on. */
export const followFeeds = async (
  endpoint: string,
  key: string,
  onDelivery: (row: DeliveryRow) => void,
  onInbound: (row: InboundRow) => void,
): Promise<Feeds> => {
  const socket = createClient({
    url: endpoint.replace('http', 'ws'),
    webSocketImpl: WebSocket,
    connectionParams: { 'X-API-Key': key },
  });
  const follow = async <Row>(query: string, field: string, onRow: (row: Row) => void) => {
    const feed = socket.iterate<Record<string, { events: Row[] }>>({ query });
    // The first batch comes at once.
    await feed.next();
    const showing = (async () => {
      for await (const { data } of feed) for (const row of data?.[field]?.events ?? []) onRow(row);
    })();
    return { end: () => feed.return?.(), showing };
  };
  const both = await Promise.all([
    follow(DELIVERIES, 'deliveryFeed', onDelivery),
    follow(INBOUND, 'inboundFeed', onInbound),
  ]);
  return {
    close: async () => {
      for (const { end } of both) void end();
      await socket.dispose();
      await Promise.all(both.map(({ showing }) => showing));
    },
  };
};

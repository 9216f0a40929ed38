import { Client } from 'pg';
import type { Logger } from './logs.ts';

type Listener = { readonly heard: (payload: string) => void; readonly gap: () => void };

/**
 * This process's one LISTEN connection. A notification is only ever a hint: it can be lost while the connection is
 * being made again, and then every listener's `gap` is called, to look for itself.
 */
export interface Notifications {
  /** Calls `heard` with each payload, and `gap` after every (re)connection. Neither may throw. */
  on(channel: Channel, heard: (payload: string) => void, gap: () => void): void;
  readonly connected: boolean;
  close(): Promise<void>;
}

/** The channels of a hookgraph database; payloads are documented where they are sent. */
export type Channel =
  | 'hookgraph_ring'
  | 'hookgraph_dispatch'
  | 'hookgraph_outbox'
  | 'hookgraph_feed'
  | 'hookgraph_webhook'
  | 'hookgraph_health'
  | 'hookgraph_inbound'
  | 'hookgraph_bulk'
  | 'hookgraph_fan_out'
  | 'hookgraph_lanes'
  | 'hookgraph_key';

const RECONNECT_MS = [100, 500, 1_000, 2_000, 5_000];

/**
 * Listens on `url`, which must reach PostgreSQL itself (`DATABASE_URL_DIRECT` where `DATABASE_URL` is a transaction
 * pooler). Rejects when the first connection fails; later ones are made again for ever, with backoff.
 */
export const openNotifications = async (url: string, log: Logger): Promise<Notifications> => {
  const listeners = new Map<Channel, Listener[]>();
  let client: Client | null = null;
  let closed = false;
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;
  /** One statement at a time on the one connection. */
  let listening: Promise<unknown> = Promise.resolve();

  const connect = async (): Promise<void> => {
    const next = new Client({
      connectionString: url,
      application_name: 'hookgraph listen',
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
    });
    next.on('notification', ({ channel, payload }) => {
      for (const listener of listeners.get(channel as Channel) ?? []) listener.heard(payload ?? '');
    });
    next.on('error', () => undefined); // followed by 'end', which is where the connection is made again
    next.on('end', () => {
      if (client === next) {
        client = null;
        reconnect();
      }
    });
    await next.connect();
    for (const channel of listeners.keys()) await next.query(`listen ${channel}`);
    client = next;
    failures = 0;
    for (const all of listeners.values()) for (const listener of all) listener.gap();
  };

  const reconnect = (): void => {
    if (closed) return;
    const delayMs = RECONNECT_MS[Math.min(failures++, RECONNECT_MS.length - 1)]!;
    timer = setTimeout(() => {
      connect().catch((error: unknown) => {
        log.warn({ err: error }, 'LISTEN connection lost; trying again');
        reconnect();
      });
    }, delayMs);
  };

  await connect();
  return {
    on(channel, heard, gap) {
      const present = listeners.get(channel);
      if (present) present.push({ heard, gap });
      else {
        listeners.set(channel, [{ heard, gap }]);
        listening = listening
          .then(() => client?.query(`listen ${channel}`))
          .then(gap, (error: unknown) => log.warn({ err: error, channel }, 'LISTEN failed'));
      }
    },
    get connected() {
      return client !== null;
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      const last = client;
      client = null;
      await last?.end();
    },
  };
};

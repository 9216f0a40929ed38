import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** Stands between a program and its PostgreSQL, and breaks what is between them when a test says so. */
export interface Proxy {
  /** Where the database is, by way of the proxy. */
  readonly url: string;
  /** Connections stay, and nothing passes. */
  freeze(): void;
  /** Every connection breaks, and so does each new one. */
  cut(): void;
  /** Passes on again. What was swallowed is lost, so connections that waited for it are broken. */
  mend(): void;
  close(): Promise<void>;
}

export const startProxy = async (databaseUrl: string): Promise<Proxy> => {
  const target = new URL(databaseUrl);
  let state: 'open' | 'frozen' | 'cut' = 'open';
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    client.on('error', () => client.destroy());
    if (state === 'cut') {
      client.destroy();
      return;
    }
    const upstream = connect(Number(target.port), target.hostname);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk) => {
        if (state === 'open') to.write(chunk);
      });
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.on('error', () => from.destroy());
    }
  });
  const breakAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const through = new URL(databaseUrl);
  through.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: through.href,
    freeze: () => void (state = 'frozen'),
    cut: () => {
      state = 'cut';
      breakAll();
    },
    mend: () => {
      if (state !== 'open') breakAll();
      state = 'open';
    },
    close: async () => {
      breakAll();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
};

import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

const EXECUTE = 'E'.charCodeAt(0);
const QUERY = 'Q'.charCodeAt(0);

/** Stands between a program and its PostgreSQL and counts the statements that the program sends. */
export interface StatementCounter {
  readonly url: string;
  /** Since the last time it was asked. */
  take(): number;
  close(): Promise<void>;
}

/** Messages of the protocol are a letter and a length; only the first of a connection has no letter. */
export const startStatementCounter = async (databaseUrl: string): Promise<StatementCounter> => {
  const target = new URL(databaseUrl);
  let statements = 0;
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    let pending: Buffer = Buffer.alloc(0);
    let header = 0;
    client.on('data', (chunk: Buffer) => {
      upstream.write(chunk);
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= header + 4) {
        const length = header + pending.readUInt32BE(header);
        if (pending.length < length) break;
        if (header === 1 && (pending[0] === EXECUTE || pending[0] === QUERY)) statements++;
        pending = pending.subarray(length);
        header = 1;
      }
    });
    upstream.pipe(client);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('close', () => to.destroy());
      from.on('error', () => from.destroy());
    }
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const url = new URL(databaseUrl);
  url.hostname = '127.0.0.1';
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    take: () => {
      const taken = statements;
      statements = 0;
      return taken;
    },
    close: () => new Promise((resolve) => void server.close(() => resolve())),
  };
};

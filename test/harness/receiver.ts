import { createServer } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** Names and values by turns, as they came. */
  readonly rawHeaders: readonly string[];
  readonly body: string;
  readonly at: number;
}

/** How to answer: a status (200 where left out), headers and body; `hang` never does; `raw` is written as it is. */
export interface Answer {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  readonly delayMs?: number;
  /** Answers only when this has resolved. */
  readonly until?: Promise<void>;
  readonly hang?: true;
  readonly raw?: string | Buffer;
}

export interface Receiver {
  readonly url: string;
  readonly requests: ReceivedRequest[];
  /** Asked for each request, with its number from 0. */
  answer: (request: ReceivedRequest, index: number) => Answer;
  close(): Promise<void>;
}

/** A real HTTP receiver on loopback that keeps what it gets and answers as it is told. */
export const startReceiver = async (): Promise<Receiver> => {
  const sockets = new Set<Socket>();
  const receiver: Omit<Receiver, 'url' | 'close'> = { requests: [], answer: () => ({}) };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const received = {
        method: request.method ?? '',
        path: request.url ?? '',
        headers: request.headers,
        rawHeaders: request.rawHeaders,
        body: Buffer.concat(chunks).toString(),
        at: Date.now(),
      };
      const {
        status = 200,
        headers = {},
        body = 'ok',
        delayMs = 0,
        until,
        hang,
        raw,
      } = receiver.answer(received, receiver.requests.push(received) - 1);
      if (hang) return;
      const answer = (): void => {
        if (raw === undefined) response.writeHead(status, headers).end(body);
        else request.socket.end(raw);
      };
      if (until) void until.then(answer);
      else if (delayMs === 0) answer();
      else setTimeout(answer, delayMs);
    });
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined); // a client that goes away is not the test's concern
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return Object.assign(receiver, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => void server.close(resolve));
    },
  });
};

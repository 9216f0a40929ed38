import { createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

/** A TCP server on loopback that says whatever a test wants, HTTP or not. */
export interface RawServer extends AsyncDisposable {
  readonly port: number;
  readonly sockets: readonly Socket[];
  /** Each request (head and body by content-length) in the order in which they were complete. */
  readonly requests: readonly { readonly head: string; readonly body: string; readonly connection: number }[];
}

/**
 * Starts one. `answer` gets the socket each time a whole request has come in, with the number of requests on this connection
 * and on the server so far, this one included.
 */
export async function startRawServer(
  answer: (socket: Socket, nth: { ofConnection: number; ofServer: number }) => void,
  { tls, host = '127.0.0.1' }: { tls?: { cert: string; key: string }; host?: string } = {},
): Promise<RawServer> {
  const sockets: Socket[] = [];
  const requests: { head: string; body: string; connection: number }[] = [];
  const onConnection = (socket: Socket): void => {
    const connection = sockets.push(socket) - 1;
    let received = Buffer.alloc(0);
    let count = 0;
    // Tests cut connections on purpose, from both sides.
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      for (;;) {
        const end = received.indexOf('\r\n\r\n');
        if (end === -1) return;
        const head = received.toString('latin1', 0, end);
        const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
        if (received.length < end + 4 + length) return;
        requests.push({ head, body: received.toString('latin1', end + 4, end + 4 + length), connection });
        received = received.subarray(end + 4 + length);
        count += 1;
        answer(socket, { ofConnection: count, ofServer: requests.length });
      }
    });
  };
  const server = tls === undefined ? createServer(onConnection) : createTlsServer(tls, onConnection);
  // Handshakes that a client breaks off are part of tests.
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    sockets,
    requests,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

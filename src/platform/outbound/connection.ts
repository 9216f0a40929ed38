import type { EventEmitter } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { LRUCache } from 'lru-cache';
import { type buildConnector, Client, type Dispatcher } from 'undici';
import type { AddressPolicy } from './addresses.ts';
import { isConnectionLoss, OutboundError, tlsError } from './failures.ts';
import { refusalOf, type Target } from './target.ts';

/** What an answer's headers may come to: more is RESPONSE_TOO_LARGE. */
export const MAX_HEADER_BYTES = 64 * 1024;

/**
 * What one exchange may bring in all, where it hides from other limits: in an endless status line, chunk extensions, interim answers.
 * Well above 64 KiB of headers and 64 KiB of body in chunks of a few bytes.
 */
const MAX_EXCHANGE_BYTES = 512 * 1024;

/** How long a connection that nobody uses stays open, unless the endpoint says less or (up to the maximum) more. Many servers close after 5 s. */
const IDLE_MS = 4_000;
const MAX_IDLE_MS = 30_000;

/** How long one of several addresses has before the next is tried as well. */
const ADDRESS_ATTEMPT_MS = 500;

/** Where connections come from: what is the same for all of one kind. Sessions of connections that didn't verify are not for those that do. */
export interface Dialing {
  readonly policy: AddressPolicy;
  readonly resolve: (hostname: string) => Promise<readonly string[]>;
  readonly verifySsl: boolean;
  readonly sessions: LRUCache<string, Buffer>;
  /** Told about what must not happen inside a client. */
  readonly report: (error: unknown) => void;
}

/** A cache for TLS sessions, so that a new connection to a known endpoint costs less. */
export function sessionCache(): LRUCache<string, Buffer> {
  return new LRUCache({ max: 1_000 });
}

/**
 * One connection to an endpoint, carrying one request at a time. The HTTP in it is an undici client, which pools could be built of
 * by undici too; but then a request that waits for a connection can't be called off, and it doesn't show whether a connection that failed
 * had been used before, on which the right to retry rests.
 *
 * The client may dial anew by itself when an idle socket turns out to be dead before anything was written: the same checks apply, and
 * `reused` becomes false.
 */
export class Connection {
  readonly target: Target;
  /** Whether the socket has carried a whole exchange before. */
  reused = false;
  /** When the socket was opened, on the monotonic clock. */
  since = performance.now();
  readonly #client: Client;
  readonly #dialing: Dialing;
  readonly #onLost: (connection: Connection) => void;
  #socket: Socket | null = null;
  #destroyed = false;
  #bytesBefore = 0;

  /** @param onLost called each time the socket is gone, also while a request waits; the connection may still serve it by dialing anew */
  constructor(target: Target, dialing: Dialing, onLost: (connection: Connection) => void) {
    this.target = target;
    this.#dialing = dialing;
    this.#onLost = onLost;
    this.#client = new Client(target.origin, {
      connect: (options, callback) => void this.#dial(options, callback),
      pipelining: 1,
      maxHeaderSize: MAX_HEADER_BYTES,
      // The exchange has one deadline over everything.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: MAX_IDLE_MS,
      allowH2: false,
    });
    // Without a listener an assertion that fails inside undici would end the process.
    (this.#client as EventEmitter).on('error', dialing.report);
    this.#client.on('disconnect', () => {
      this.reused = false;
      this.#socket = null;
      this.#onLost(this);
    });
  }

  /** Never throws: what is wrong with the options goes to the handler's `onResponseError`. */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#bytesBefore = this.#socket?.bytesRead ?? 0;
    this.#client.dispatch(options, handler);
  }

  /** Ends the connection, also while it is being opened. The handler of a request on it is told. Settles when the socket is closed. */
  async destroy(reason: Error): Promise<void> {
    if (this.#destroyed) return;
    this.#destroyed = true;
    const destroyed = this.#client.destroy(reason);
    // One that is still being opened is not the client's yet.
    this.#socket?.destroy();
    await destroyed;
  }

  /** Finds, checks and opens a socket for undici, which is told of it, or why there is none, exactly once. */
  async #dial({ hostname }: buildConnector.Options, callback: buildConnector.Callback): Promise<void> {
    let socket: Socket;
    try {
      socket = await this.#open(hostname, await this.#addresses(hostname));
    } catch (error) {
      this.#socket?.destroy();
      callback(error instanceof Error ? error : new Error(String(error)), null);
      return;
    }
    this.since = performance.now();
    this.#bytesBefore = socket.bytesRead;
    socket.on('readable', () => this.#bound(socket));
    callback(null, socket);
  }

  #bound(socket: Socket): void {
    if (socket.bytesRead - this.#bytesBefore <= MAX_EXCHANGE_BYTES) return;
    void this.destroy(new OutboundError('RESPONSE_TOO_LARGE', 'The answer of the endpoint is too large.'));
  }

  async #addresses(hostname: string): Promise<readonly string[]> {
    const { policy, resolve } = this.#dialing;
    const { isLiteral, port } = this.target;
    const chosen = policy.choose(isLiteral ? [hostname] : await resolve(hostname), port);
    if (typeof chosen === 'string') throw new OutboundError('BLOCKED_ADDRESS', refusalOf(chosen));
    if (chosen.length === 0) throw new OutboundError('DNS', 'The host name of the URL has no addresses.');
    return chosen;
  }

  /** Connects to one of the addresses, which were checked, and looks once more at where it has ended up before a byte is sent. */
  async #open(hostname: string, addresses: readonly string[]): Promise<Socket> {
    const { port, secure } = this.target;
    this.#assertWanted();
    const socket = connectTcp({
      host: hostname,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
      // Not called for literals, which are checked all the same.
      lookup: (_hostname, options, done) => {
        const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
        if (options.all === true) done(null, found);
        else done(null, found[0]!.address, found[0]!.family);
      },
    });
    this.#socket = socket;
    await settled(socket, 'connect');
    this.#assertWanted();
    const verdict = this.#dialing.policy.judge(socket.remoteAddress ?? '', port);
    if (verdict === 'private' || verdict === 'own-port') {
      throw new OutboundError('BLOCKED_ADDRESS', refusalOf(verdict));
    }
    return secure ? this.#encrypt(socket, hostname) : socket;
  }

  #assertWanted(): void {
    if (this.#destroyed) throw new OutboundError('UNKNOWN', 'The request was called off.');
  }

  async #encrypt(tcp: Socket, hostname: string): Promise<Socket> {
    const { verifySsl, sessions } = this.#dialing;
    // A certificate and SNI name a host without the dot that a URL may end it with.
    const host = hostname.replace(/\.$/, '');
    const key = `${host}:${this.target.port}`;
    const session = sessions.get(key);
    const socket = connectTls({
      socket: tcp,
      host,
      ...(this.target.isLiteral ? {} : { servername: host }),
      ...(session === undefined ? {} : { session }),
      rejectUnauthorized: verifySsl,
      ALPNProtocols: ['http/1.1'],
    });
    this.#socket = socket;
    socket.on('session', (fresh: Buffer) => sessions.set(key, fresh));
    try {
      await settled(socket, 'secureConnect');
    } catch (error) {
      sessions.delete(key);
      throw error instanceof OutboundError || isConnectionLoss(error) ? error : tlsError(error);
    }
    return socket;
  }
}

/** Waits for an event of a socket that is opening, or for its end. */
function settled(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    const onReady = (): void => {
      socket.off('close', onClose);
      // An error listener stays: between here and undici's own an error would have none, and end the process.
      resolve();
    };
    const onClose = (): void => reject(new OutboundError('CONNECTION_RESET', 'The endpoint closed the connection.'));
    socket.once(event, onReady);
    socket.once('close', onClose);
    socket.on('error', reject);
  });
}

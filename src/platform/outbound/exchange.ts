import type { Dispatcher } from 'undici';
import type { Connection } from './connection.ts';
import { type Failure, failureOfError, failureOfStatus, isConnectionLoss, OutboundError } from './failures.ts';
import type { ConnectionPool } from './pool.ts';
import type { Target } from './target.ts';

/** How much of an answer's body is kept, and how much is read so that the connection can be used again, in bytes. */
export const MAX_BODY_KEPT = 8 * 1024;
export const MAX_BODY_READ = 64 * 1024;

/** How many of an answer's headers are kept, in the order received. */
export const MAX_HEADERS_KEPT = 100;

/** A request as it goes out. */
export interface OutboundRequest {
  readonly url: string;
  /** Names and values by turns. Neither framing nor hop-by-hop headers, host or accept-encoding, which are set here. */
  readonly headers: readonly string[];
  readonly body: Buffer;
  /** For everything: resolving, connecting, sending, headers and body. */
  readonly timeoutMs: number;
  readonly verifySsl: boolean;
  readonly method?: 'POST' | 'PUT' | 'PATCH';
}

/** What came of a request. A success is an exchange without an error, which is one with a 2xx. */
export interface Exchange {
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Whole milliseconds, on a monotonic clock. */
  readonly durationMs: number;
  /** Null where no answer came, as are its headers and body. */
  readonly responseStatus: number | null;
  /** Names in lower case, values as Latin-1. */
  readonly responseHeaders: [string, string][] | null;
  /** The first 8 KiB. */
  readonly responseBody: Buffer | null;
  /** Whether the body had more than is kept, or broke off. */
  readonly responseTruncated: boolean;
  /** The header as it is; whoever heeds it parses it. */
  readonly retryAfter: string | null;
  readonly error: Failure | null;
}

/** What a running exchange needs from its sender. */
export interface ExchangeHost {
  readonly running: Set<RunningExchange>;
  readonly report: (error: unknown) => void;
}

const EMPTY = Buffer.alloc(0);

/**
 * One request under way, and undici's handler for it.
 *
 * It goes: dispatch → (dial) → written → status and headers → body → settled. It settles once, on the first of: the end of the
 * body; 64 KiB of it; an error; the deadline; the sender's end. From the status on, that alone judges: a 2xx whose body then never ends,
 * breaks off or is nonsense is a success, because the receiver has taken the event, and sending it again would only repeat it. Whatever ended
 * the exchange before the body's end also ends its connection.
 *
 * A connection that was used before may be closed by the endpoint in the same moment in which the request is written. No byte of an
 * answer then came, and the request is sent once more, at once, on a new connection, within the same deadline. That the endpoint may see
 * it twice is no new burden: delivery is at least once, with the same event id, and without this the same request would come a minute later as
 * a retry.
 */
export class RunningExchange implements Dispatcher.DispatchHandler {
  readonly #host: ExchangeHost;
  readonly #pool: ConnectionPool;
  readonly #target: Target;
  readonly #request: OutboundRequest;
  readonly #options: Dispatcher.DispatchOptions;
  readonly #resolve: (exchange: Exchange) => void;
  readonly #startedAt = Date.now();
  readonly #start = performance.now();
  readonly #timer: NodeJS.Timeout;
  #connection: Connection;
  #settled = false;
  #written = false;
  #answering = false;
  #resent = false;
  #status: number | null = null;
  #headers: [string, string][] | null = null;
  #retryAfter: string | null = null;
  #body: Buffer = EMPTY;
  #bodyBytes = 0;

  constructor(
    host: ExchangeHost,
    pool: ConnectionPool,
    target: Target,
    request: OutboundRequest,
    resolve: (exchange: Exchange) => void,
  ) {
    this.#host = host;
    this.#pool = pool;
    this.#target = target;
    this.#request = request;
    this.#resolve = resolve;
    this.#options = {
      path: target.path,
      method: request.method ?? 'POST',
      // Bodies are recorded as they come: compressed ones would be unreadable, and small ones could grow without bounds.
      headers: [...request.headers, 'accept-encoding', 'identity'],
      body: request.body,
    };
    this.#timer = setTimeout(onDeadline, request.timeoutMs, this);
    this.#connection = pool.take(target);
  }

  start(): void {
    this.#host.running.add(this);
    this.#connection.dispatch(this.#options, this);
  }

  /** Ends the exchange now, with this failure unless a status has come. */
  end(failure: Failure): void {
    if (!this.#settled) this.#breakOff(failure);
  }

  /** The deadline has passed. */
  expire(): void {
    const seconds = this.#request.timeoutMs / 1_000;
    const message = this.#written
      ? `The endpoint took the request but did not answer within ${seconds} s.`
      : `No connection with the endpoint came about within ${seconds} s.`;
    this.end({ code: 'TIMEOUT', message });
  }

  onRequestStart(): void {
    this.#written = true;
  }

  onResponseStarted(): void {
    this.#answering = true;
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    // Interim answers (103) come before the real one.
    if (status < 200 || this.#settled) return;
    this.#status = status;
    this.#keepHeaders(controller.rawHeaders);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#settled) return;
    if (this.#bodyBytes < MAX_BODY_KEPT) {
      // A copy, since the chunk is a window on a buffer of 64 KiB.
      const kept = Buffer.from(chunk.subarray(0, MAX_BODY_KEPT - this.#bodyBytes));
      this.#body = this.#bodyBytes === 0 ? kept : Buffer.concat([this.#body, kept]);
    }
    this.#bodyBytes += chunk.length;
    if (this.#bodyBytes > MAX_BODY_READ) this.#breakOff(null);
  }

  onResponseEnd(): void {
    if (this.#settled) return;
    this.#pool.release(this.#connection);
    this.#settle(null, this.#bodyBytes > MAX_BODY_KEPT);
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#settled) return;
    if (this.#connection.reused && !this.#answering && !this.#resent && isConnectionLoss(error)) {
      this.#resent = true;
      this.#written = false;
      void this.#connection.destroy(error);
      this.#connection = this.#pool.open(this.#target);
      this.#connection.dispatch(this.#options, this);
      return;
    }
    this.#breakOff(this.#status === null ? this.#failureOf(error) : null);
  }

  #failureOf(error: Error): Failure {
    const failure = failureOfError(error);
    if (failure !== null) return failure;
    this.#host.report(error);
    return { code: 'UNKNOWN', message: 'The request could not be sent, for a reason that is in the log of hookgraph.' };
  }

  #breakOff(failure: Failure | null): void {
    this.#settle(failure, this.#status !== null);
    void this.#connection.destroy(new OutboundError('UNKNOWN', 'The exchange is over.'));
  }

  #settle(failure: Failure | null, truncated: boolean): void {
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#host.running.delete(this);
    const status = this.#status;
    this.#resolve({
      startedAt: this.#startedAt,
      durationMs: Math.round(performance.now() - this.#start),
      responseStatus: status,
      responseHeaders: this.#headers,
      responseBody: status === null ? null : this.#body,
      responseTruncated: truncated,
      retryAfter: this.#retryAfter,
      error: status === null ? failure : failureOfStatus(status),
    });
  }

  #keepHeaders(raw: Dispatcher.DispatchController['rawHeaders']): void {
    const kept: [string, string][] = [];
    this.#headers = kept;
    if (!Array.isArray(raw)) return;
    for (let i = 0; i + 1 < raw.length; i += 2) {
      const name = latin1(raw[i]!).toLowerCase();
      const value = latin1(raw[i + 1]!);
      if (kept.length < MAX_HEADERS_KEPT) kept.push([name, value]);
      if (name === 'retry-after' && this.#retryAfter === null) this.#retryAfter = value;
    }
  }
}

function onDeadline(exchange: RunningExchange): void {
  exchange.expire();
}

function latin1(text: Buffer | string): string {
  return typeof text === 'string' ? text : text.toString('latin1');
}

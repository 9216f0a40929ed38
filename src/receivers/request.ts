import type { IncomingMessage } from 'node:http';
import type { InboundRequest } from '../domain/inbound/verification/request.ts';
import { originOf } from '../platform/clientAddress.ts';
import type { ClientAddress } from '../platform/clientAddress.ts';

/** A request without its body, as the server read it: what is made of it is for the thread that judges it. */
export interface RawRequest {
  readonly method: string;
  /** Path and query as sent, of a proxy's absolute address too. */
  readonly target: string;
  /** What the sender put before that. */
  readonly origin: string;
  /** Names and values by turns, as sent. */
  readonly rawHeaders: readonly string[];
  /** The client's address, proxies resolved. */
  readonly ip: string;
  /** Before its body was read; `steadyMs`. */
  readonly startedAt: number;
  /** After its body was read; milliseconds since 1970. */
  readonly receivedAt: number;
}

/** Milliseconds on a clock that all threads of this process share, and that nobody sets. */
export const steadyMs = (): number => performance.timeOrigin + performance.now();

/** @param publicUrl base of this server's addresses; null: as the client addressed it */
export const rawRequestOf = (
  request: IncomingMessage,
  client: ClientAddress,
  publicUrl: string | null,
  startedAt: number,
): RawRequest => ({
  method: request.method ?? '',
  target: targetOf(request.url ?? '/'),
  origin: publicUrl ?? originOf(client),
  rawHeaders: request.rawHeaders,
  ip: client.ip,
  startedAt,
  receivedAt: Date.now(),
});

export const inboundRequestOf = (raw: RawRequest, body: Buffer): InboundRequest => {
  const { method, target, origin, rawHeaders, ip, receivedAt } = raw;
  const at = target.indexOf('?');
  return {
    method,
    url: `${origin}${target}`,
    path: at === -1 ? target : target.slice(0, at),
    query: at === -1 ? '' : target.slice(at + 1),
    headers: headersOf(rawHeaders),
    body,
    remoteAddress: ip,
    receivedAt,
  };
};

/** Without a prototype, because a header may have any name. */
const headersOf = (rawHeaders: readonly string[]): Readonly<Record<string, string>> => {
  const headers = Object.create(null) as Record<string, string>;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase();
    const before = headers[name];
    headers[name] = before === undefined ? rawHeaders[at + 1]! : `${before}, ${rawHeaders[at + 1]!}`;
  }
  return headers;
};

const targetOf = (url: string): string =>
  url.startsWith('/') ? url : (/^https?:\/\/[^/?#]*([^#]*)$/i.exec(url)?.[1] ?? url);

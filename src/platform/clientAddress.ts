import type { IncomingMessage } from 'node:http';
import { isIPv4 } from 'node:net';
import { isWithin, parseAddress, parseNetwork } from './networks.ts';

/** Who sent a request, and how it was addressed, as far as proxies that are trusted tell. */
export interface ClientAddress {
  /** Canonical text; IPv4-mapped IPv6 is shown as IPv4. */
  readonly ip: string;
  readonly protocol: 'http' | 'https';
  /** Host and port as the client addressed them; null where it sent no usable Host. */
  readonly host: string | null;
}

/** A name, an IPv4 address or an IPv6 address in brackets, with or without a port. */
const HOST = /^(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/i;
/** Longer chains are somebody playing. */
const MOST_HOPS = 32;

/**
 * Tells clients apart from the proxies before them. `X-Forwarded-For`, `-Proto` and `-Host` count only on connections from
 * a trusted network: the client is the last address that is none of a proxy, whatever it claims before.
 *
 * @param trusted CIDRs
 */
export const clientAddresses = (trusted: readonly string[]): ((request: IncomingMessage) => ClientAddress) => {
  const networks = trusted.map(parseNetwork).filter((network) => network !== null);
  const isTrusted = (ip: string): boolean => networks.length > 0 && isWithin(networks, ip);

  return (request) => {
    const peer = canonical(request.socket.remoteAddress ?? '') ?? '0.0.0.0';
    const { headers } = request;
    const own = { ip: peer, protocol: 'http', host: hostOf(headers.host) } as const;
    if (!isTrusted(peer)) return own;
    let ip = peer;
    const chain = (textOf(headers['x-forwarded-for']) ?? '').split(',').slice(-MOST_HOPS).reverse();
    for (const part of chain) {
      const address = canonical(part.trim());
      if (address === null) break;
      ip = address;
      if (!isTrusted(address)) break;
    }
    const protocol = lastOf(headers['x-forwarded-proto'])?.toLowerCase() === 'https' ? 'https' : 'http';
    return { ip, protocol, host: hostOf(lastOf(headers['x-forwarded-host'])) ?? own.host };
  };
};

const textOf = (header: string | string[] | undefined): string | undefined =>
  Array.isArray(header) ? header.join(',') : header;

const lastOf = (header: string | string[] | undefined): string | undefined => textOf(header)?.split(',').at(-1)?.trim();

const hostOf = (text: string | undefined): string | null => (text !== undefined && HOST.test(text) ? text : null);

/** Of an address, with or without port or brackets; null for anything else. */
const canonical = (text: string): string | null => {
  // What most are, and canonical as it stands: a parser takes ten times as long to say so.
  if (isIPv4(text)) return text;
  const bare = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(text)?.[1] ?? text;
  return parseAddress(bare)?.toString() ?? null;
};

/** Scheme, host and port as the client addressed this server: what the addresses begin with that it is shown. */
export const originOf = ({ protocol, host }: ClientAddress): string => `${protocol}://${host ?? 'localhost'}`;

/** The address, or for IPv6 the network of 64 bits that a client has to itself: what a limit counts by. */
export const networkOf = (ip: string): string =>
  ip.includes(':') ? ip.split('::')[0]!.split(':').slice(0, 4).join(':') : ip;

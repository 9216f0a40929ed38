import { isIP } from 'node:net';
import type { AddressPolicy } from './addresses.ts';

/** The longest webhook URL that is accepted, in characters. */
export const MAX_URL_LENGTH = 2_048;

/** A webhook URL taken apart once, with what a connection and a request need of it. */
export interface Target {
  /** Scheme, host and port: what connections are shared by. */
  readonly origin: string;
  readonly secure: boolean;
  /** An address without brackets, or a name in ASCII as the URL has it (a trailing dot stays). */
  readonly hostname: string;
  readonly isLiteral: boolean;
  readonly port: number;
  /** Path and query as sent; fragments never are. */
  readonly path: string;
}

/** Takes a URL apart the way browsers do (WHATWG), so every spelling of an address ends as the same one. Null: not http(s). */
export function parseTarget(text: string): Target | null {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return null;
  const secure = url.protocol === 'https:';
  const hostname = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
  return {
    origin: url.origin,
    secure,
    hostname,
    isLiteral: isIP(hostname) !== 0,
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    path: url.pathname + url.search,
  };
}

/**
 * Judges a URL that is about to be saved: null when it may be, else a sentence with what is wrong and what to do. An address that is
 * written out is judged here; a name, other than localhost, only when it is sent to, since it can change at any moment.
 */
export function checkTarget(text: string, policy: AddressPolicy): string | null {
  if (text.length > MAX_URL_LENGTH) return `The URL is too long: at most ${MAX_URL_LENGTH} characters.`;
  if (/[\p{Cc}\s]/u.test(text)) return 'The URL contains white space or control characters: encode or remove them.';
  const url = URL.parse(text);
  if (url === null) return 'This is not a URL: write it in full, such as https://example.com/hooks.';
  const target = parseTarget(text);
  if (target === null) return 'The URL must start with https:// or http://.';
  // An empty user ("https://@host") leaves nothing behind in the parsed URL, and is as odd.
  if (url.username !== '' || url.password !== '' || /^[^/]*[/\\]+[^/\\?#]*@/.test(text)) {
    return 'The URL must not contain a user name or password: put credentials into a custom header.';
  }
  if (target.port === 0) return 'Port 0 cannot be connected to: name the port that the endpoint listens on.';
  const addresses = target.isLiteral ? [target.hostname] : isLocalhost(target.hostname) ? LOOPBACK : null;
  const chosen = addresses === null ? [] : policy.choose(addresses, target.port);
  return typeof chosen === 'string' ? refusalOf(chosen) : null;
}

/** Where `localhost` leads, whatever a name server says (RFC 6761, 6.3). */
export const LOOPBACK: readonly string[] = ['127.0.0.1', '::1'];

/** Whether a name is localhost or below it, with or without the trailing dot. Expects lower case. */
export function isLocalhost(hostname: string): boolean {
  return /(?:^|\.)localhost\.?$/.test(hostname);
}

/** Why an address is not connected to, in a sentence that tells nothing about the network inside. */
export function refusalOf(verdict: 'private' | 'own-port'): string {
  return REFUSALS[verdict];
}

const REFUSALS = {
  private:
    'The URL leads to an address that is not public: use a public one, or have the operator add its network to HOOKGRAPH_ALLOW_TARGETS.',
  'own-port': 'The URL leads to hookgraph itself, which is never a target: use another address or port.',
};

import { parseBody } from './body.ts';
import type { ParsedBody } from './body.ts';

/** A request to a receiver, as the verifier and the handshakes see it. */
export interface InboundRequest {
  readonly method: string;
  /** Absolute, as the sender addressed it: what it put into its signature. */
  readonly url: string;
  readonly path: string;
  /** Raw, without the question mark. */
  readonly query: string;
  /** Lower-case names; repeated ones joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** The client's, proxies already resolved. */
  readonly remoteAddress: string;
  /** Milliseconds since 1970. */
  readonly receivedAt: number;
}

/** The header's value; null where it is missing or empty. `name` in any case. */
export const headerOf = (request: InboundRequest, name: string): string | null => {
  const key = name.toLowerCase();
  return Object.hasOwn(request.headers, key) ? request.headers[key]!.trim() || null : null;
};

/** The first value of a query parameter, decoded; null where it is missing or empty. */
export const queryOf = (request: InboundRequest, name: string): string | null =>
  new URLSearchParams(request.query).get(name) || null;

const parsed = new WeakMap<InboundRequest, ParsedBody>();

/** The body's value, parsed at most once per request, whoever asks. */
export const bodyOf = (request: InboundRequest): ParsedBody => {
  const known = parsed.get(request);
  if (known) return known;
  const result = parseBody(headerOf(request, 'content-type'), request.body);
  parsed.set(request, result);
  return result;
};

import { parseBody } from './body.ts';
import type { ParsedBody } from './body.ts';

/** Where a request keeps what its body is: a WeakMap of all requests would be work for each collection of garbage. */
const PARSED = Symbol('parsed body');

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
  /** For {@link bodyOf} alone. */
  [PARSED]?: ParsedBody;
}

/** The header's value; null where it is missing or empty. `name` in any case. */
export const headerOf = (request: InboundRequest, name: string): string | null => {
  const key = name.toLowerCase();
  return Object.hasOwn(request.headers, key) ? request.headers[key]!.trim() || null : null;
};

/** The first value of a query parameter, decoded; null where it is missing or empty. */
export const queryOf = (request: InboundRequest, name: string): string | null =>
  new URLSearchParams(request.query).get(name) || null;

/** The body's value, parsed at most once per request, whoever asks. */
export const bodyOf = (request: InboundRequest): ParsedBody =>
  (request[PARSED] ??= parseBody(headerOf(request, 'content-type'), request.body));

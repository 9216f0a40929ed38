import { LRUCache } from 'lru-cache';
import type { AddressPolicy } from './addresses.ts';
import { sessionCache } from './connection.ts';
import { type Exchange, type ExchangeHost, type OutboundRequest, RunningExchange } from './exchange.ts';
import { ConnectionPool } from './pool.ts';
import { Resolver } from './resolver.ts';
import { parseTarget, type Target } from './target.ts';

/** URLs kept taken apart. */
const MAX_TARGETS = 10_000;

export interface SenderOptions {
  readonly policy: AddressPolicy;
  /** The addresses of a name, never none; rejects with an `OutboundError`. By default a `Resolver`. */
  readonly resolve?: (hostname: string) => Promise<readonly string[]>;
  /** Told about errors that nobody foresaw, once each; the exchange says UNKNOWN. */
  readonly report: (error: unknown) => void;
}

export interface Sender {
  /**
   * Sends a request to an address that the policy admits, and tells what came of it. Never rejects. Neither redirects nor proxies are
   * followed; requests wait for nothing but their own endpoint. How many run at once is for the caller to bound: each has a connection.
   */
  send(request: OutboundRequest): Promise<Exchange>;
  /** Ends what is under way as UNKNOWN (drain first), and closes all connections. */
  close(): Promise<void>;
}

/** A sender of this thread. */
export interface LocalSender extends Sender {
  /** Connections that wait for a request, by whether TLS is verified. */
  readonly idle: { readonly verifying: number; readonly unverifying: number };
}

/** The one way out of hookgraph. Connections that verify TLS and those that don't are kept apart. */
export function createSender({ policy, resolve, report }: SenderOptions): LocalSender {
  const resolver = new Resolver();
  const dialing = { policy, resolve: resolve ?? ((hostname: string) => resolver.resolve(hostname)), report };
  const verifying = new ConnectionPool({ ...dialing, verifySsl: true, sessions: sessionCache() });
  const unverifying = new ConnectionPool({ ...dialing, verifySsl: false, sessions: sessionCache() });
  const targets = new LRUCache<string, Target>({ max: MAX_TARGETS });
  const host: ExchangeHost = { running: new Set(), report };
  let closed = false;

  function targetOf(url: string): Target | null {
    const known = targets.get(url);
    if (known !== undefined) return known;
    const target = parseTarget(url);
    if (target !== null) targets.set(url, target);
    return target;
  }

  return {
    send(request) {
      const target = targetOf(request.url);
      if (target === null) return Promise.resolve(unsent('The URL is not an http or https URL.'));
      if (closed) return Promise.resolve(unsent(STOPPING));
      return new Promise((settle) => {
        new RunningExchange(host, request.verifySsl ? verifying : unverifying, target, request, settle).start();
      });
    },
    async close() {
      closed = true;
      for (const exchange of host.running) exchange.end({ code: 'UNKNOWN', message: STOPPING });
      await Promise.all([verifying.close(), unverifying.close()]);
    },
    get idle() {
      return { verifying: verifying.stats.idle, unverifying: unverifying.stats.idle };
    },
  };
}

/** Why a sender that is closed sends nothing. */
export const STOPPING = 'hookgraph is stopping: the request was not sent, or not waited for.';

/** What comes of a request that never went out. */
export function unsent(message: string): Exchange {
  return {
    startedAt: Date.now(),
    durationMs: 0,
    responseStatus: null,
    responseHeaders: null,
    responseBody: null,
    responseTruncated: false,
    retryAfter: null,
    error: { code: 'UNKNOWN', message },
  };
}

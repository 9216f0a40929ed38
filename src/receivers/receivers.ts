import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ReceiverAddress } from '../domain/inbound/directory.ts';
import type { Inbound } from '../domain/inbound/inbound.ts';
import { Limiter } from '../domain/inbound/limiter.ts';
import type { RefusalCause } from '../domain/inbound/tally.ts';
import type { InboundRequest } from '../domain/inbound/verification/request.ts';
import { networkOf } from '../platform/clientAddress.ts';
import type { ClientAddress } from '../platform/clientAddress.ts';
import { pathOf, sendError } from '../platform/httpServer.ts';
import type { Route } from '../platform/httpServer.ts';
import type { Logger } from '../platform/logs.ts';
import type { Metrics } from '../platform/metrics.ts';
import { isDatabaseOutage, Patience } from '../platform/outage.ts';
import { SandboxUnavailableError } from '../platform/sandbox/sandbox.ts';
import { addressOf, ID_PREFIX, LINEAR_PATH, SLUG_PREFIX } from './address.ts';
import * as answers from './answer.ts';
import { BodyReader, discardBody } from './requestBody.ts';
import { Reception } from './reception.ts';
import type { Received } from './reception.ts';

export interface ReceiversOptions {
  readonly inbound: Pick<Inbound, 'directory' | 'receipts' | 'tally' | 'sandbox'>;
  /** Slug of the tenant whose webhook `linear` the built-in path serves. */
  readonly tenantSlug: string;
  /** Of the headers that hookgraph itself sends. */
  readonly headerPrefix: string;
  /** What senders put into signatures as the base of the address; null: as they addressed this server. */
  readonly publicUrl: string | null;
  readonly maxBodyBytes: number;
  readonly clientOf: (request: IncomingMessage) => ClientAddress;
  /** Answers within 2 s; see `databaseProbe`. */
  readonly isDatabaseReachable: () => Promise<boolean>;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/** Of requests that could not prove anything, by the network that they come from. */
const REFUSALS = { burst: 12_000, perMinute: 12_000 };
const WATCHED_NETWORKS = 50_000;
/** Of all bodies that are not answered yet, whatever their number. */
const LEAST_HELD_BYTES = 134_217_728;
const BODIES_HELD = 16;
const METHODS = new Set(['POST', 'PUT', 'PATCH', 'GET']);
/** What keeps its owner unproven, so that it counts against where it comes from. */
const UNPROVEN: ReadonlySet<Received['outcome']> = new Set<Received['outcome']>([
  'unauthorized',
  'inactive',
  'unknown',
  'handshake',
  'method',
]);

/**
 * The public receivers over plain HTTP. The same is answered at addresses that lead somewhere and at those that don't,
 * until a request has proved to be its sender's. Whatever comes, no answer is 500: what goes wrong in here is 503, so that
 * senders try again.
 */
export const createReceivers = (options: ReceiversOptions): Route[] => {
  const { inbound, clientOf, maxBodyBytes, metrics, log } = options;
  const reception = new Reception({ inbound, hopsHeader: `${options.headerPrefix}hops`.toLowerCase() });
  const bodies = new BodyReader(maxBodyBytes, Math.max(LEAST_HELD_BYTES, BODIES_HELD * maxBodyBytes));
  const refusals = new Limiter(WATCHED_NETWORKS);
  const patience = new Patience(options.isDatabaseReachable);

  /** Answered before anything is read of the body; counted for the webhook, if there is one. */
  const refuseUnread = (
    address: ReceiverAddress | null,
    request: InboundRequest,
    cause: Extract<RefusalCause, 'too_large' | 'unsupported'>,
    answer: answers.Answer,
    elapsedMs: () => number,
  ): Received => ({
    answer,
    outcome: cause,
    afterwards: () => {
      const durationMs = elapsedMs();
      void Promise.resolve(address && inbound.directory.find(address)).then(
        (receiver) => receiver && reception.refused(receiver, request, cause, answer.status, 'NOT_CHECKED', durationMs),
        (error: unknown) => log.debug({ err: error }, 'a refused request could not be counted'),
      );
    },
  });

  const receive = async (
    address: ReceiverAddress | null,
    request: IncomingMessage,
    response: ServerResponse,
    client: ClientAddress,
  ): Promise<Received | null> => {
    const startedAt = performance.now();
    const elapsedMs = (): number => performance.now() - startedAt;
    if (!METHODS.has(request.method ?? '')) return { answer: answers.METHOD_NOT_ALLOWED, outcome: 'method' };
    const waitMs = refusals.wait(networkOf(client.ip), REFUSALS, Date.now());
    if (waitMs > 0) return { answer: answers.rateLimited(waitMs), outcome: 'rate_limited' };

    const withBody = (body: Buffer): InboundRequest => requestOf(request, client, options.publicUrl, body);
    if (isUnsupported(request)) {
      return refuseUnread(address, withBody(Buffer.alloc(0)), 'unsupported', answers.UNSUPPORTED, elapsedMs);
    }
    const body = await bodies.read(request, response);
    if (body === 'gone') return null;
    if (body === 'busy') return { answer: answers.UNAVAILABLE, outcome: 'unavailable' };
    if (body === 'too large') {
      return refuseUnread(address, withBody(Buffer.alloc(0)), 'too_large', answers.TOO_LARGE, elapsedMs);
    }
    try {
      return await patience.unlessAway(reception.receive(address, withBody(body), elapsedMs));
    } catch (error) {
      if (isDatabaseOutage(error)) log.warn({ err: error }, 'a request could not be kept: the database is away');
      else if (error instanceof SandboxUnavailableError) log.warn({ err: error }, 'a request could not be read now');
      else log.error({ err: error }, 'a request could not be received');
      return { answer: answers.UNAVAILABLE, outcome: 'unavailable' };
    }
  };

  const handler = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const address = addressOf(pathOf(request), options.tenantSlug);
    if (address === undefined) return sendError(response, 404, 'NOT_FOUND', 'There is nothing at this address.');
    const client = clientOf(request);
    const received = await receive(address, request, response, client);
    if (received === null) return;
    answers.send(response, received.answer);
    discardBody(request);
    metrics.inboundRequests.inc({ outcome: received.outcome });
    if (UNPROVEN.has(received.outcome)) refusals.take(networkOf(client.ip), REFUSALS, Date.now());
    received.afterwards?.();
  };

  return [
    { path: LINEAR_PATH, handler },
    { prefix: ID_PREFIX, handler },
    { prefix: SLUG_PREFIX, handler },
  ];
};

/** Multipart is no JSON, and what is compressed is not what was signed. */
const isUnsupported = ({ headers }: IncomingMessage): boolean => {
  const encoding = headers['content-encoding']?.trim().toLowerCase() ?? '';
  return (encoding !== '' && encoding !== 'identity') || /^\s*multipart\//i.test(headers['content-type'] ?? '');
};

const requestOf = (
  request: IncomingMessage,
  { ip, protocol, host }: ClientAddress,
  publicUrl: string | null,
  body: Buffer,
): InboundRequest => {
  const target = targetOf(request.url ?? '/');
  const at = target.indexOf('?');
  return {
    method: request.method ?? '',
    url: `${publicUrl ?? `${protocol}://${host ?? 'localhost'}`}${target}`,
    path: at === -1 ? target : target.slice(0, at),
    query: at === -1 ? '' : target.slice(at + 1),
    headers: headersOf(request),
    body,
    remoteAddress: ip,
    receivedAt: Date.now(),
  };
};

/** Without a prototype, because a header may have any name. */
const headersOf = ({ rawHeaders }: IncomingMessage): Readonly<Record<string, string>> => {
  const headers = Object.create(null) as Record<string, string>;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase();
    const before = headers[name];
    headers[name] = before === undefined ? rawHeaders[at + 1]! : `${before}, ${rawHeaders[at + 1]!}`;
  }
  return headers;
};

/** Path and query as sent, of a proxy's absolute address too. */
const targetOf = (url: string): string =>
  url.startsWith('/') ? url : (/^https?:\/\/[^/?#]*([^#]*)$/i.exec(url)?.[1] ?? url);

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ReceiverAddress } from '../domain/inbound/directory.ts';
import { Limiter } from '../domain/inbound/limiter.ts';
import { networkOf } from '../platform/clientAddress.ts';
import type { ClientAddress } from '../platform/clientAddress.ts';
import { pathOf, sendError } from '../platform/httpServer.ts';
import type { Route } from '../platform/httpServer.ts';
import type { Metrics } from '../platform/metrics.ts';
import { addressOf, ID_PREFIX, LINEAR_PATH, SLUG_PREFIX } from './address.ts';
import * as answers from './answer.ts';
import type { ReceptionOutcome, UnreadCause } from './reception.ts';
import { rawRequestOf, steadyMs } from './request.ts';
import { BodyReader, discardBody } from './requestBody.ts';
import type { Answered, Arrival, ThreadedReception } from './threadedReception.ts';

export interface ReceiversOptions {
  readonly reception: Pick<ThreadedReception, 'receive' | 'refuseUnread'>;
  /** Slug of the tenant whose webhook `linear` the built-in path serves. */
  readonly tenantSlug: string;
  /** What senders put into signatures as the base of the address; null: as they addressed this server. */
  readonly publicUrl: string | null;
  readonly maxBodyBytes: number;
  readonly clientOf: (request: IncomingMessage) => ClientAddress;
  readonly metrics: Metrics;
}

/** Of requests that could not prove anything, by the network that they come from. */
const REFUSALS = { burst: 12_000, perMinute: 12_000 };
const WATCHED_NETWORKS = 50_000;
/** Of all bodies that are not answered yet, whatever their number. */
const LEAST_HELD_BYTES = 134_217_728;
const BODIES_HELD = 16;
const METHODS = new Set(['POST', 'PUT', 'PATCH', 'GET']);
/** What keeps its owner unproven, so that it counts against where it comes from. */
const UNPROVEN: ReadonlySet<ReceptionOutcome> = new Set<ReceptionOutcome>([
  'unauthorized',
  'inactive',
  'unknown',
  'handshake',
  'method',
  'too_large',
  'unsupported',
]);

/**
 * The public receivers over plain HTTP. The same is answered at addresses that lead somewhere and at those that don't,
 * until a request has proved to be its sender's. Whatever comes, no answer is 500: what goes wrong in here is 503, so that
 * senders try again.
 */
export const createReceivers = (options: ReceiversOptions): Route[] => {
  const { reception, clientOf, publicUrl, maxBodyBytes, metrics } = options;
  const bodies = new BodyReader(maxBodyBytes, Math.max(LEAST_HELD_BYTES, BODIES_HELD * maxBodyBytes));
  const refusals = new Limiter(WATCHED_NETWORKS);

  const refuseUnread = (arrival: Arrival, cause: UnreadCause, answer: answers.Answer): Answered => {
    const { address } = arrival;
    if (address !== null) reception.refuseUnread({ ...arrival, address }, cause, answer.status);
    return { answer, outcome: cause };
  };

  /** Null where the client has left. */
  const receive = async (
    address: ReceiverAddress | null,
    request: IncomingMessage,
    response: ServerResponse,
    client: ClientAddress,
  ): Promise<Answered | null> => {
    const startedAt = steadyMs();
    const arrival = (): Arrival => ({ address, ...rawRequestOf(request, client, publicUrl, startedAt) });
    const waitMs = refusals.wait(networkOf(client.ip), REFUSALS, Date.now());
    if (!METHODS.has(request.method ?? '')) {
      // The same answer always, but nothing is told of a flood.
      if (waitMs > 0) return { answer: answers.METHOD_NOT_ALLOWED, outcome: 'method' };
      return refuseUnread(arrival(), 'method', answers.METHOD_NOT_ALLOWED);
    }
    if (waitMs > 0) return { answer: answers.rateLimited(waitMs), outcome: 'rate_limited' };

    if (isUnsupported(request)) return refuseUnread(arrival(), 'unsupported', answers.UNSUPPORTED);
    const body = await bodies.read(request, response);
    if (body === 'gone') return null;
    if (body === 'busy') return { answer: answers.UNAVAILABLE, outcome: 'unavailable' };
    if (body === 'too large') return refuseUnread(arrival(), 'too_large', answers.TOO_LARGE);
    return reception.receive(arrival(), body);
  };

  const handler = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const address = addressOf(pathOf(request), options.tenantSlug);
    if (address === undefined) return sendError(response, 404, 'NOT_FOUND', 'There is nothing at this address.');
    const client = clientOf(request);
    const answered = await receive(address, request, response, client);
    if (answered === null) return;
    answers.send(response, answered.answer);
    discardBody(request);
    metrics.inboundRequests.inc({ outcome: answered.outcome });
    if (UNPROVEN.has(answered.outcome)) refusals.take(networkOf(client.ip), REFUSALS, Date.now());
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

import type { ServerResponse } from 'node:http';
import type { HandshakeAnswer } from '../domain/inbound/verification/handshake.ts';
import { encodeId } from '../platform/ids.ts';

/** What a sender is told. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const json = (status: number, value: object, headers: Readonly<Record<string, string>> = {}): Answer => ({
  status,
  headers: { 'content-type': 'application/json; charset=utf-8', ...headers },
  body: JSON.stringify(value),
});

const error = (status: number, code: string, headers?: Readonly<Record<string, string>>): Answer =>
  json(status, { error: code }, headers);

const afterSeconds = (waitMs: number): Record<string, string> => ({
  'retry-after': String(Math.max(1, Math.ceil(waitMs / 1_000))),
});

export const accepted = (deliveryId: string): Answer =>
  json(200, { delivery_id: encodeId('inboundDelivery', deliveryId) });

/** @param firstId the delivery that had the key first */
export const duplicate = (firstId: string): Answer =>
  json(200, { delivery_id: encodeId('inboundDelivery', firstId), duplicate: true });

export const handshaken = ({ status, headers, body }: HandshakeAnswer): Answer => ({ status, headers, body });

/** Empty, and the same whatever is wrong: nobody learns which addresses there are. */
export const UNAUTHORIZED: Answer = { status: 401, headers: {}, body: '' };
export const INVALID_JSON = error(400, 'invalid_json');
export const METHOD_NOT_ALLOWED = error(405, 'method_not_allowed', { allow: 'POST, PUT, PATCH' });
export const TOO_LARGE = error(413, 'too_large');
export const UNSUPPORTED = error(415, 'unsupported_media_type');
export const UNAVAILABLE = error(503, 'unavailable', afterSeconds(5_000));

export const rateLimited = (waitMs: number): Answer => error(429, 'rate_limited', afterSeconds(waitMs));

/** Nothing is sent where the client is gone. */
export const send = (response: ServerResponse, { status, headers, body }: Answer): void => {
  if (response.destroyed) return;
  if (status === 204) response.writeHead(status, headers).end();
  else response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body);
};

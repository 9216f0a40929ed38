import { createHmac } from 'node:crypto';
import { isSameSecret } from '../../../platform/secrets.ts';
import type { HandshakeName } from './handshakeName.ts';
import { bodyOf, headerOf, queryOf } from './request.ts';
import type { InboundRequest } from './request.ts';

/** What a handshake is answered with, at once. */
export interface HandshakeAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** What the webhook's owner has to know or do; null for nothing. Never for the sender. */
  readonly ownerNote: string | null;
}

/** The secrets that answers are made with: the newest key, or the verify token. */
export interface HandshakeSecrets {
  readonly keys: readonly Buffer[];
  readonly verifyToken: string | null;
}

/** A sender's way to ask whether an address is the owner's. `answer` is null for every other request, and never throws. */
export interface Handshake {
  /** Comes without the signature that events have, so it is answered before verification. */
  readonly isUnsigned: boolean;
  readonly method: 'GET' | 'POST';
  readonly answer: (request: InboundRequest, secrets: HandshakeSecrets) => HandshakeAnswer | null;
  /** Bodies that anybody gets signed by asking for an answer: what is signed of them proves nothing. */
  readonly isSignedForAnybody?: (body: Buffer) => boolean;
}

/** Longer than any sender's challenge. */
const MAX_CHALLENGE = 2_048;
/** Longer than any sender's handshake: a body beyond is an event, and not read for this. */
const MAX_BODY = 16_384;

const json = (value: unknown): HandshakeAnswer => answer('application/json', JSON.stringify(value));

/** What is echoed is text that anybody may have written: no browser may take it for a page. */
const plain = (text: string): HandshakeAnswer => answer('text/plain; charset=utf-8', text);

const answer = (contentType: string, body: string): HandshakeAnswer => ({
  status: 200,
  headers: { 'content-type': contentType, 'x-content-type-options': 'nosniff' },
  body,
  ownerNote: null,
});

const challengeOf = (request: InboundRequest, name: string): string | null => {
  const challenge = queryOf(request, name);
  return challenge !== null && challenge.length <= MAX_CHALLENGE && challenge.isWellFormed() ? challenge : null;
};

/** The body of a small POST as an object; null for anything else. */
const smallObject = (request: InboundRequest): Readonly<Record<string, unknown>> | null => {
  if (request.method !== 'POST' || request.body.length > MAX_BODY) return null;
  const body = bodyOf(request);
  const isObject = body.ok && typeof body.value === 'object' && body.value !== null && !Array.isArray(body.value);
  return isObject ? (body.value as Record<string, unknown>) : null;
};

const fieldOf = (object: unknown, name: string): unknown =>
  typeof object === 'object' && object !== null && Object.hasOwn(object, name)
    ? (object as Record<string, unknown>)[name]
    : undefined;

const textOf = (object: unknown, name: string): string | null => {
  const value = fieldOf(object, name);
  return typeof value === 'string' && value !== '' && value.length <= MAX_CHALLENGE && value.isWellFormed()
    ? value
    : null;
};

const hmac = (key: Buffer, text: string, encoding: 'hex' | 'base64'): string =>
  createHmac('sha256', key).update(text).digest(encoding);

/** @see https://docs.slack.dev/reference/events/url_verification */
const slack: Handshake = {
  isUnsigned: false,
  method: 'POST',
  answer: (request) => {
    const body = smallObject(request);
    const challenge = textOf(body, 'challenge');
    return challenge !== null && fieldOf(body, 'type') === 'url_verification' ? plain(challenge) : null;
  },
};

/**
 * Interactions ask with type 1 and expect it back; webhook events ask with type 0, and their events have an `event`.
 * @see https://docs.discord.com/developers/interactions/overview#setting-up-an-endpoint
 * @see https://docs.discord.com/developers/events/webhook-events#preparing-for-events
 */
const discord: Handshake = {
  isUnsigned: false,
  method: 'POST',
  answer: (request) => {
    const body = smallObject(request);
    if (body === null || Object.hasOwn(body, 'event')) return null;
    if (fieldOf(body, 'type') === 1) return json({ type: 1 });
    return fieldOf(body, 'type') === 0 ? { status: 204, headers: {}, body: '', ownerNote: null } : null;
  },
};

/** @see https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint */
const zoom: Handshake = {
  isUnsigned: false,
  method: 'POST',
  answer: (request, { keys }) => {
    const body = smallObject(request);
    const plainToken = textOf(fieldOf(body, 'payload'), 'plainToken');
    const key = keys.at(-1);
    if (plainToken === null || key === undefined || fieldOf(body, 'event') !== 'endpoint.url_validation') return null;
    return json({ plainToken, encryptedToken: hmac(key, plainToken, 'hex') });
  },
};

/** @see https://developers.facebook.com/docs/graph-api/webhooks/getting-started#verification-requests */
const meta: Handshake = {
  isUnsigned: true,
  method: 'GET',
  answer: (request, { verifyToken }) => {
    const challenge = challengeOf(request, 'hub.challenge');
    const token = queryOf(request, 'hub.verify_token');
    if (request.method !== 'GET' || queryOf(request, 'hub.mode') !== 'subscribe') return null;
    if (challenge === null || token === null || verifyToken === null) return null;
    return isSameSecret(token, verifyToken) ? plain(challenge) : null;
  },
};

const X_CHALLENGE = /^[\w+/-]{1,2048}={0,2}$/;

/**
 * The answer is the challenge's HMAC, which anybody may ask for and which signs a body of the same bytes too. So only
 * challenges in base64's letters are answered, which spell no event, and a body spelt in them is never taken for one.
 * @see https://docs.x.com/x-api/webhooks/quickstart
 */
const x: Handshake = {
  isUnsigned: true,
  method: 'GET',
  answer: (request, { keys }) => {
    const challenge = challengeOf(request, 'crc_token');
    const key = keys.at(-1);
    if (request.method !== 'GET' || challenge === null || key === undefined) return null;
    return X_CHALLENGE.test(challenge) ? json({ response_token: `sha256=${hmac(key, challenge, 'base64')}` }) : null;
  },
  isSignedForAnybody: (body) => X_CHALLENGE.test(body.subarray(0, 2 * MAX_CHALLENGE).toString('latin1')),
};

/** @see https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks#notificationurl-validation */
const microsoftGraph: Handshake = {
  isUnsigned: true,
  method: 'POST',
  answer: (request) => {
    const token = challengeOf(request, 'validationToken');
    return request.method === 'POST' && token !== null ? plain(token) : null;
  },
};

/** @see https://www.dropbox.com/developers/reference/webhooks#documentation */
const dropbox: Handshake = {
  isUnsigned: true,
  method: 'GET',
  answer: (request) => {
    const challenge = challengeOf(request, 'challenge');
    return request.method === 'GET' && challenge !== null ? plain(challenge) : null;
  },
};

/**
 * Notion makes the secret and sends it once, unsigned, to the address; the owner proves to have read it by typing it in
 * at Notion. Anybody can send such a request, so it changes nothing here.
 * @see https://developers.notion.com/reference/webhooks#step-2-verifying-the-subscription
 */
const notion: Handshake = {
  isUnsigned: true,
  method: 'POST',
  answer: (request) => {
    const body = smallObject(request);
    const token = textOf(body, 'verification_token');
    if (token === null || Object.keys(body!).length !== 1 || headerOf(request, 'x-notion-signature') !== null)
      return null;
    const ownerNote =
      `The sender calls "${token}" its verification token. Confirm it at Notion first: if Notion takes it, ` +
      'it is genuine, and the secret to give to this webhook.';
    return { ...json({}), ownerNote };
  },
};

export const HANDSHAKES: Readonly<Record<HandshakeName, Handshake>> = {
  slack,
  discord,
  zoom,
  meta,
  x,
  'microsoft-graph': microsoftGraph,
  dropbox,
  notion,
};

import { createHmac, generateKeyPairSync } from 'node:crypto';
import { InteractionResponseType, InteractionType } from 'discord-interactions';
import { describe, expect, it } from 'vitest';
import { PRESETS } from '../src/domain/inbound/presets/presets.ts';
import { HANDSHAKE_NAMES } from '../src/domain/inbound/verification/handshakeName.ts';
import { inboundRequest } from './harness/inboundRequest.ts';
import type { RequestParts } from './harness/inboundRequest.ts';
import { AT, SECRET, verifierOf } from './harness/verifier.ts';

const RECEIVER = 'https://hooks.example.com/api/inbound/acme/sender';
const VERIFY_TOKEN = 'meatyhamhock';

const publicKey = generateKeyPairSync('ed25519')
  .publicKey.export({ format: 'der', type: 'spki' })
  .subarray(-32)
  .toString('hex');

const presetVerifier = (preset: string, secrets: readonly string[] = [SECRET]) => {
  const config = { discord: { publicKey }, meta: { verifyToken: VERIFY_TOKEN } }[preset];
  return verifierOf({ preset, config }, secrets, preset === 'meta' ? VERIFY_TOKEN : null);
};

const shake = (preset: string, parts: RequestParts, secrets?: readonly string[]) =>
  presetVerifier(preset, secrets).handshake(inboundRequest({ receivedAt: AT, ...parts }));

const get = (query: Record<string, string>): RequestParts => ({
  method: 'GET',
  url: `${RECEIVER}?${new URLSearchParams(query).toString()}`,
});
const posted = (body: unknown): RequestParts => ({
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

const plain = (body: string) => ({
  status: 200,
  headers: { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' },
  body,
  ownerNote: null,
});
const json = (value: unknown) => ({
  status: 200,
  headers: { 'content-type': 'application/json', 'x-content-type-options': 'nosniff' },
  body: JSON.stringify(value),
  ownerNote: null,
});

const sha256 = (text: string, encoding: 'hex' | 'base64', key = SECRET) =>
  createHmac('sha256', key).update(text).digest(encoding);

it('every handshake is a preset, and comes before verification or after it', () => {
  const ofPresets = PRESETS.flatMap(({ handshake }) => handshake ?? []);
  expect(ofPresets.sort()).toEqual([...HANDSHAKE_NAMES].sort());
  const flags = Object.fromEntries(
    HANDSHAKE_NAMES.map((name) => {
      const { handshakeBeforeVerify, handshakeByGet } = presetVerifier(name);
      return [name, `${handshakeBeforeVerify ? 'before' : 'after'}, ${handshakeByGet ? 'GET' : 'POST'}`];
    }),
  );
  expect(flags).toEqual({
    slack: 'after, POST',
    discord: 'after, POST',
    zoom: 'after, POST',
    meta: 'before, GET',
    x: 'before, GET',
    'microsoft-graph': 'before, POST',
    dropbox: 'before, GET',
    notion: 'before, POST',
  });
  expect(presetVerifier('github')).toMatchObject({ handshakeBeforeVerify: false, handshakeByGet: false });
});

it('a request that is no handshake is none, whoever sends it', () => {
  const requests: RequestParts[] = [
    {},
    { method: 'GET' },
    posted({ type: 'event_callback', event: { type: 'app_mention' }, challenge: 'abc' }),
    posted({ event: 'meeting.started', payload: { plainToken: 'abc' } }),
    posted({ version: 1, type: 1, event: { type: 'ENTITLEMENT_CREATE' } }),
    posted({ type: 2, id: '1', data: { name: 'command' } }),
    posted({ type: 'page.created', verification_token: 'abc' }),
    posted([{ type: 'url_verification', challenge: 'abc' }]),
    posted(null),
    { body: 'no json' },
    get({ mode: 'subscribe', token: VERIFY_TOKEN }),
  ];
  for (const name of [...HANDSHAKE_NAMES, 'github']) {
    for (const request of requests) expect(shake(name, request), `${name} ${String(request.body)}`).toBeNull();
  }
});

// https://docs.slack.dev/reference/events/url_verification
describe('slack', () => {
  const challenge = '3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P';
  const request = posted({ token: 'Jhj5dZrVaK7ZwHHjRyZWjbDl', challenge, type: 'url_verification' });

  it('gets its challenge back, once the request is verified', () => {
    expect(shake('slack', request)).toEqual(plain(challenge));
    const timestamp = String(AT / 1_000);
    const signature = `v0=${sha256(`v0:${timestamp}:${String(request.body)}`, 'hex')}`;
    const headers = { 'x-slack-signature': signature, 'x-slack-request-timestamp': timestamp };
    const verifier = presetVerifier('slack');
    expect(verifier.verify(inboundRequest({ ...request, headers, receivedAt: AT })).valid).toBe(true);
    expect(verifier.verify(inboundRequest({ ...request, receivedAt: AT })).valid).toBe(false);
  });

  it('gets nothing back of a challenge that is none', () => {
    for (const other of ['', 7, null, {}, 'x'.repeat(2_049), '\ud800']) {
      expect(shake('slack', posted({ type: 'url_verification', challenge: other }))).toBeNull();
    }
    expect(shake('slack', posted({ type: 'url_verification', challenge, filler: 'x'.repeat(20_000) }))).toBeNull();
    expect(shake('slack', { ...request, method: 'PUT' })).toBeNull();
  });
});

// https://docs.discord.com/developers/interactions/overview#setting-up-an-endpoint
// https://docs.discord.com/developers/events/webhook-events#preparing-for-events
it('discord gets PONG for the PING of interactions, and 204 for that of events', () => {
  const ping = posted({ application_id: '1', id: '2', type: InteractionType.PING, token: 'abc', version: 1 });
  expect(shake('discord', ping)).toEqual(json({ type: InteractionResponseType.PONG }));
  const event = posted({ version: 1, application_id: '1234560123453231555', type: 0 });
  expect(shake('discord', event)).toEqual({ status: 204, headers: {}, body: '', ownerNote: null });
});

// https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint
it('zoom gets its token and the HMAC of it, with the newest secret', () => {
  const plainToken = 'qgg8vlvZRS6UYooatFL8Aw';
  const request = posted({ payload: { plainToken }, event_ts: 1654503849680, event: 'endpoint.url_validation' });
  expect(shake('zoom', request)).toEqual(json({ plainToken, encryptedToken: sha256(plainToken, 'hex') }));
  expect(shake('zoom', request, [SECRET, 'a newer secret'])).toEqual(
    json({ plainToken, encryptedToken: sha256(plainToken, 'hex', 'a newer secret') }),
  );
  expect(shake('zoom', request, [])).toBeNull();
  expect(shake('zoom', posted({ payload: {}, event: 'endpoint.url_validation' }))).toBeNull();
});

// https://developers.facebook.com/docs/graph-api/webhooks/getting-started#verification-requests
describe('meta', () => {
  const query = { 'hub.mode': 'subscribe', 'hub.challenge': '1158201444', 'hub.verify_token': VERIFY_TOKEN };

  it('gets its challenge back for the verify token', () => {
    expect(shake('meta', get(query))).toEqual(plain('1158201444'));
  });

  it('gets nothing for another token, mode or method, or without a challenge', () => {
    for (const token of ['', 'meatyhamhoc', 'meatyhamhock ', 'MEATYHAMHOCK', 'x'.repeat(1_000)]) {
      expect(shake('meta', get({ ...query, 'hub.verify_token': token })), token).toBeNull();
    }
    for (const changed of [{ 'hub.mode': 'unsubscribe' }, { 'hub.challenge': '' }, { 'hub.mode': '' }]) {
      expect(shake('meta', get({ ...query, ...changed }))).toBeNull();
    }
    expect(shake('meta', { ...get(query), method: 'POST' })).toBeNull();
    const withoutToken = verifierOf({ preset: 'meta', config: { verifyToken: VERIFY_TOKEN } }, [SECRET], null);
    expect(withoutToken.handshake(inboundRequest(get(query)))).toBeNull();
  });

  it('gets a challenge that looks like a page as plain text', () => {
    const script = '<script>alert(1)</script>';
    expect(shake('meta', get({ ...query, 'hub.challenge': script }))).toEqual(plain(script));
  });
});

// https://docs.x.com/x-api/webhooks/quickstart
describe('x', () => {
  const answered = (crc_token: string) => shake('x', get({ crc_token }));
  const token = (text: string, key = SECRET) => ({ response_token: `sha256=${sha256(text, 'base64', key)}` });

  it('gets the HMAC of its challenge, with the newest secret', () => {
    for (const challenge of ['challenge_string', '9b4507b3-9040-4669-9ca3-6b94edb50553', 'MGNjMTQtYzgzYi0+/A==']) {
      expect(answered(challenge)).toEqual(json(token(challenge)));
    }
    expect(shake('x', get({ crc_token: 'foo' }), [SECRET, 'a newer secret'])).toEqual(
      json(token('foo', 'a newer secret')),
    );
    expect(shake('x', { ...get({ crc_token: 'foo' }), method: 'POST' })).toBeNull();
    expect(shake('x', get({ crc_token: 'foo' }), [])).toBeNull();
  });

  it('signs no event for anybody who asks', () => {
    for (const body of ['{"for_user_id":"1"}', '[]', '""', 'a=1', '1.5', 'x'.repeat(2_049)]) {
      expect(answered(body), body).toBeNull();
    }
    // What it does sign is no event: not a number, a word of JSON, nor a form of one name.
    const verifier = presetVerifier('x');
    for (const body of ['123', 'true', 'null', 'abc', 'abc==', '-1', `${'a'.repeat(2_048)}==`]) {
      const answer = JSON.parse(answered(body)?.body ?? '{}') as { response_token?: string };
      for (const type of ['application/json', 'application/x-www-form-urlencoded']) {
        const headers = { 'x-twitter-webhooks-signature': answer.response_token ?? '', 'content-type': type };
        expect(verifier.verify(inboundRequest({ headers, body })).valid, body).toBe(false);
        const genuine = { ...headers, 'x-twitter-webhooks-signature': `sha256=${sha256(body, 'base64')}` };
        expect(verifier.verify(inboundRequest({ headers: genuine, body })).valid, body).toBe(false);
      }
    }
  });
});

// https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks#notificationurl-validation
it('microsoft-graph gets its token back, decoded', () => {
  const token =
    'Validation: Testing client application reachability for subscription Request-Id: 522a8e7e-096a-494c-aaf1-ac0dcfca45b7';
  const encoded = encodeURIComponent(token).replaceAll('%20', '+').replaceAll('%3A', '%3a');
  const request = { url: `${RECEIVER}?validationToken=${encoded}`, headers: { 'content-type': 'text/plain' } };
  expect(shake('microsoft-graph', request)).toEqual(plain(token));
  expect(shake('microsoft-graph', { ...request, method: 'GET' })).toBeNull();
  for (const other of ['', 'x'.repeat(2_049)]) {
    expect(shake('microsoft-graph', { url: `${RECEIVER}?validationToken=${other}` })).toBeNull();
  }
});

// https://www.dropbox.com/developers/reference/webhooks#documentation
it('dropbox gets its challenge back, by GET only', () => {
  expect(shake('dropbox', get({ challenge: 'abc123' }))).toEqual(plain('abc123'));
  expect(shake('dropbox', { ...get({ challenge: 'abc123' }), method: 'POST' })).toBeNull();
  expect(shake('dropbox', get({ challenge: 'x'.repeat(2_049) }))).toBeNull();
});

// https://developers.notion.com/reference/webhooks#step-2-verifying-the-subscription
describe('notion', () => {
  const token = 'secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl';

  it('sends its secret once, which the owner is told and which changes nothing here', () => {
    const answer = shake('notion', posted({ verification_token: token }));
    expect(answer).toMatchObject({ status: 200, body: '{}' });
    expect(answer!.ownerNote).toContain(token);
    const forged = {
      ...posted({ id: '1' }),
      headers: { 'x-notion-signature': `sha256=${sha256('{"id":"1"}', 'hex', token)}` },
    };
    expect(presetVerifier('notion').verify(inboundRequest(forged)).valid).toBe(false);
  });

  it('sends no secret beside anything else, or signed', () => {
    expect(shake('notion', posted({ verification_token: token, type: 'page.created' }))).toBeNull();
    expect(shake('notion', posted({ verification_token: 7 }))).toBeNull();
    const signed = { ...posted({ verification_token: token }), headers: { 'x-notion-signature': 'sha256=00' } };
    expect(shake('notion', signed)).toBeNull();
  });
});

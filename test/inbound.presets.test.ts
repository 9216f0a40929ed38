import { generateKeyPairSync, randomUUID } from 'node:crypto';
import * as fc from 'fast-check';
import twilio from 'twilio';
import { beforeAll, describe, expect, it } from 'vitest';
import { findPreset, PRESETS } from '../src/domain/inbound/presets/presets.ts';
import { inboundOf, post } from './harness/inbound.ts';
import type { CreatedInbound, Reply } from './harness/inbound.ts';
import { startTestProgram } from './harness/program.ts';
import { useScene } from './harness/scene.ts';
import { hex, rawPublicKey, seconds, signedBy } from './presets/proof.ts';
import type { Sent } from './presets/proof.ts';
import { PROOFS } from './presets/proofs.ts';

const SECRET = 'a secret of the sender';
const FORM = 'application/x-www-form-urlencoded';

const scene = useScene();
let inbound: ReturnType<typeof inboundOf>;
beforeAll(() => {
  inbound = inboundOf(scene.tenant);
});

/** A webhook of this preset, made as an owner makes it, with the sender's secret. */
const created = (preset: string, secret: string, config?: object): Promise<CreatedInbound> => {
  const auth = { preset, config, ...(findPreset(preset)!.type !== 'ASYMMETRIC' && { secret }) };
  return inbound.create({ name: preset, auth, slug: `${preset}-${randomUUID().slice(0, 8)}` });
};

const sendTo = (url: string, { body, headers, method }: Pick<Sent, 'body' | 'headers'> & { method?: string }) =>
  post(url, body, { 'x-signature': null, ...headers }, method);

const nothing = { status: 401, text: '' };

describe.each(PRESETS.map(({ name }) => name))('%s', (name) => {
  const proof = PROOFS[name]!;

  it('is received once, with its event type and key; what is not its is refused', async () => {
    const { id, slugUrl, receiveUrl } = await created(name, proof.secret, proof.config?.(proof.secret));
    const now = Date.now();
    const sent = (url: string) => proof.sign(now, proof.secret, undefined, url);

    const first = await sendTo(slugUrl, sent(slugUrl));
    expect(first, first.text).toMatchObject({ status: 200, json: { delivery_id: expect.any(String) as string } });
    const again = await sendTo(receiveUrl, sent(receiveUrl));
    expect(again).toMatchObject({ status: 200 });
    // A repetition has the same key, wherever it is sent to.
    const isRepeated = proof.idempotencyKey !== null;
    expect(again.json.duplicate ?? false).toBe(isRepeated);
    if (isRepeated) expect(again.json.delivery_id).toBe(first.json.delivery_id);

    const other = proof.sign(now, proof.otherSecret, undefined, slugUrl);
    expect(await sendTo(slugUrl, other)).toMatchObject(nothing);
    expect(await sendTo(slugUrl, { ...sent(slugUrl), headers: {}, body: '{}' })).toMatchObject(nothing);
    if (proof.windowSeconds !== null) {
      const old = proof.sign(now - (proof.windowSeconds + 5) * 1_000, proof.secret, undefined, slugUrl);
      expect(await sendTo(slugUrl, old)).toMatchObject(nothing);
      const [refused] = await inbound.reached(id, 'REJECTED', 3);
      expect(refused).toMatchObject({ authStatus: 'REJECTED_TIMESTAMP', requestBody: null });
    }

    const [delivery] = (await inbound.deliveries({ inboundWebhookId: id, authStatus: ['VERIFIED'] })).slice(-1);
    expect(delivery).toMatchObject({
      id: first.json.delivery_id,
      eventType: proof.eventType,
      idempotencyKey: proof.idempotencyKey,
    });
  });
});

describe('handshakes', () => {
  const slackHeaders = (body: string, secret = SECRET, at = Date.now()) => ({
    'x-slack-request-timestamp': seconds(at),
    'x-slack-signature': `v0=${hex(secret, `v0:${seconds(at)}:${body}`)}`,
  });

  it('Slack asks with url_verification, signed, and sends forms with a payload', async () => {
    const { id, slugUrl } = await created('slack', SECRET);
    const body = '{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV","type":"url_verification"}';
    const answer = await post(slugUrl, body, { ...slackHeaders(body), 'x-signature': null });
    expect(answer).toMatchObject({ status: 200, text: '3eZbrw1aBm2rZgRNFdxV' });
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain/);
    expect(await post(slugUrl, body)).toMatchObject(nothing);
    expect(await post(slugUrl, body, slackHeaders(body, 'another secret'))).toMatchObject(nothing);
    const [handshake] = await inbound.reached(id, 'HANDSHAKE');
    expect(handshake).toMatchObject({ authStatus: 'VERIFIED', responseStatus: 200 });

    const form = `payload=${encodeURIComponent('{"type":"block_actions","user":{"id":"U1"}}')}`;
    const received = await post(slugUrl, form, { ...slackHeaders(form), 'content-type': FORM });
    expect(received.status).toBe(200);
    const [delivery] = await inbound.deliveries({ inboundWebhookId: id, dispatchStatus: ['DISPATCHED'] });
    expect(delivery.requestBody).toEqual({ payload: { type: 'block_actions', user: { id: 'U1' } } });
  });

  it('Discord asks with a PING, signed, and with wrong signatures too, to see them refused', async () => {
    const key = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' });
    const { slugUrl } = await created('discord', '', { publicKey: rawPublicKey(key, 32).toString('hex') });
    const ping = async (body: string, signed = body): Promise<Reply> => {
      const timestamp = seconds(Date.now());
      const signature = signedBy(key, `${timestamp}${signed}`, null).toString('hex');
      return post(slugUrl, body, { 'x-signature-ed25519': signature, 'x-signature-timestamp': timestamp });
    };
    expect(await ping('{"type":1,"id":"1"}')).toMatchObject({ status: 200, json: { type: 1 } });
    expect(await ping('{"type":0,"version":1}')).toMatchObject({ status: 204, text: '' });
    expect(await ping('{"type":1,"id":"1"}', '{"type":1,"id":"2"}')).toMatchObject(nothing);
    expect(await post(slugUrl, '{"type":1}')).toMatchObject(nothing);
  });

  it('Zoom asks for the HMAC of a token, signed', async () => {
    const { slugUrl } = await created('zoom', SECRET);
    const body = '{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event":"endpoint.url_validation"}';
    const timestamp = seconds(Date.now());
    const headers = {
      'x-zm-request-timestamp': timestamp,
      'x-zm-signature': `v0=${hex(SECRET, `v0:${timestamp}:${body}`)}`,
    };
    expect((await post(slugUrl, body, headers)).json).toEqual({
      plainToken: 'qgg8vlvZRS6UYooatFL8Aw',
      encryptedToken: hex(SECRET, 'qgg8vlvZRS6UYooatFL8Aw'),
    });
    expect(await post(slugUrl, body)).toMatchObject(nothing);
  });

  it('Meta, X and Dropbox ask by GET, which is refused like any other where they ask wrongly', async () => {
    const meta = await created('meta', SECRET, { verifyToken: 'meatyhamhock' });
    const get = (url: string, query: string) => post(`${url}?${query}`, undefined, {}, 'GET');
    const question = 'hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=';
    expect(await get(meta.slugUrl, `${question}meatyhamhock`)).toMatchObject({ status: 200, text: '1158201444' });
    expect((await get(meta.slugUrl, `${question}guess`)).status).toBe(405);
    const x = await created('x', SECRET);
    expect((await get(x.slugUrl, 'crc_token=foo')).json.response_token).toMatch(/^sha256=[\w+/]{43}=$/);
    expect((await get(x.slugUrl, 'crc_token={}')).status).toBe(405);
    const dropbox = await created('dropbox', SECRET);
    expect(await get(dropbox.slugUrl, 'challenge=abc123')).toMatchObject({ status: 200, text: 'abc123' });
    expect((await get(dropbox.slugUrl, '')).status).toBe(405);
    const github = await created('github', SECRET);
    expect((await get(github.slugUrl, 'challenge=abc123')).status).toBe(405);
  });

  it('Microsoft Graph asks with validationToken, and gets it back as text', async () => {
    const { slugUrl } = await created('microsoft-graph', SECRET);
    const url = `${slugUrl}?validationToken=Validation%3a+%3Cb%3ETesting%3C%2Fb%3E`;
    const answer = await post(url, '', { 'content-type': 'text/plain; charset=utf-8' });
    expect(answer).toMatchObject({ status: 200, text: 'Validation: <b>Testing</b>' });
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain/);
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  });

  it('Notion sends its secret once, which the owner finds and gives to the webhook', async () => {
    const { id, slugUrl } = await inbound.create({ name: 'Notion', auth: { preset: 'notion' } });
    const token = 'secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl';
    expect((await post(slugUrl, JSON.stringify({ verification_token: token }))).status).toBe(200);
    const [handshake] = await inbound.reached(id, 'HANDSHAKE');
    expect(JSON.stringify(handshake.handlerOutcome)).toContain(token);
    const body = '{"id":"367cba44","type":"page.created"}';
    const headers = { 'x-notion-signature': `sha256=${hex(token, body)}` };
    expect(await post(slugUrl, body, headers)).toMatchObject(nothing);
    expect(await inbound.rotate(id, token)).toMatchObject({ secret: token });
    expect((await post(slugUrl, body, headers)).status).toBe(200);
  });
});

it('what signs its address is verified by the public one, wherever a proxy sends it', async () => {
  const publicUrl = 'https://hooks.example.com';
  const program = await startTestProgram(scene.database.url, { HOOKGRAPH_PUBLIC_URL: publicUrl });
  try {
    const { slugUrl } = await created('twilio', SECRET);
    const { pathname } = new URL(slugUrl);
    const body = 'From=%2B12349013030&To=%2B18005551212&Body=Hello+there';
    const fields = Object.fromEntries(new URLSearchParams(body));
    const signedFor = (url: string) => ({
      'x-twilio-signature': twilio.getExpectedTwilioSignature(SECRET, url, fields),
      'content-type': FORM,
      'i-twilio-idempotency-token': randomUUID(),
    });
    const behindProxy = `${program.url}${pathname}?a=1`;
    expect((await post(behindProxy, body, signedFor(`${publicUrl}${pathname}?a=1`))).status).toBe(200);
    expect(await post(behindProxy, body, signedFor(behindProxy))).toMatchObject(nothing);
    expect((await post(slugUrl, body, signedFor(slugUrl))).status).toBe(200);
  } finally {
    await program.stop();
  }
});

it('whatever is sent to them, presets answer it and take none of it', async () => {
  const urls = await Promise.all(
    PRESETS.map(async ({ name }) => {
      const { secret, config } = PROOFS[name]!;
      return (await created(name, secret, config?.(secret))).slugUrl;
    }),
  );
  const headers = [...new Set(Object.values(PROOFS).flatMap(({ needs }) => needs))];
  const value = fc.oneof(
    fc.constantFrom(
      'v1=00',
      't=1800000000,v1=zz',
      'sha256=',
      'v1,',
      'Bearer x',
      '1800000000',
      FORM,
      'application/json',
    ),
    fc.stringMatching(/^[\x21-\x7e]{1,80}$/),
    fc.base64String({ minLength: 4 }),
  );
  const body = fc.oneof(
    fc.json(),
    fc.string({ unit: 'binary' }),
    fc.constantFrom(
      'payload=%7B',
      '{"value":[{"clientState":{}}]}',
      '{"type":"url_verification","challenge":[]}',
      '['.repeat(9_999),
    ),
    fc.constantFrom('{"signature":{"signature":"00","timestamp":"1","token":[]}}', '{"notificationItems":[[]]}'),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...urls),
      fc.dictionary(fc.constantFrom(...headers), value, { maxKeys: 6 }),
      body,
      fc.constantFrom('POST', 'PUT', 'PATCH', 'GET'),
      fc.constantFrom(
        '',
        '?challenge=',
        '?validationToken=',
        '?crc_token=%00',
        '?hub.mode=subscribe&hub.challenge=1',
        '?%ZZ',
      ),
      async (url, sent, text, method, query) => {
        const reply = await post(`${url}${query}`, text, { 'x-signature': null, ...sent }, method);
        expect([401, 405, 415]).toContain(reply.status);
      },
    ),
    { numRuns: 500 },
  );
});

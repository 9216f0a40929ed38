import { createHmac, generateKeyPairSync, sign as signBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAuth } from '../src/domain/inbound/verification/auth.ts';
import { dummyVerifier } from '../src/domain/inbound/verification/verifier.ts';
import { inboundRequest } from './harness/inboundRequest.ts';
import { AT, judge, refused, SECRET, VALID } from './harness/verifier.ts';

describe('public keys', () => {
  const ed25519 = generateKeyPairSync('ed25519');
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const der = (key: typeof rsa.publicKey) => key.export({ format: 'der', type: 'spki' });
  const pem = (key: typeof rsa.publicKey) => key.export({ format: 'pem', type: 'spki' });
  const sent = (signature: Buffer) => ({ headers: { 'x-sig': signature.toString('hex') }, body: 'abc' });
  const abc = Buffer.from('abc');

  const forms: [string, string, string, Buffer][] = [
    [
      'ED25519',
      'RAW_HEX',
      der(ed25519.publicKey).subarray(-32).toString('hex'),
      signBytes(null, abc, ed25519.privateKey),
    ],
    [
      'ED25519',
      'RAW_BASE64',
      der(ed25519.publicKey).subarray(-32).toString('base64'),
      signBytes(null, abc, ed25519.privateKey),
    ],
    ['ED25519', 'SPKI_BASE64', der(ed25519.publicKey).toString('base64'), signBytes(null, abc, ed25519.privateKey)],
    ['ED25519', 'PEM', pem(ed25519.publicKey), signBytes(null, abc, ed25519.privateKey)],
    ['ECDSA_P256', 'PEM', pem(p256.publicKey), signBytes('sha256', abc, p256.privateKey)],
    ['ECDSA_P256', 'SPKI_BASE64', der(p256.publicKey).toString('base64'), signBytes('sha256', abc, p256.privateKey)],
    [
      'ECDSA_P256',
      'RAW_HEX',
      der(p256.publicKey).subarray(-65).toString('hex'),
      signBytes('sha256', abc, p256.privateKey),
    ],
    [
      'ECDSA_P256',
      'RAW_BASE64',
      der(p256.publicKey).subarray(-65).toString('base64'),
      signBytes('sha256', abc, { key: p256.privateKey, dsaEncoding: 'ieee-p1363' }),
    ],
    ['RSA_SHA256', 'PEM', pem(rsa.publicKey), signBytes('sha256', abc, rsa.privateKey)],
    ['RSA_SHA256', 'SPKI_BASE64', der(rsa.publicKey).toString('base64'), signBytes('sha256', abc, rsa.privateKey)],
  ];

  it.for(forms)('%s as %s', ([algorithm, publicKeyEncoding, publicKey, signature]) => {
    const config = { header: 'X-Sig', algorithm, publicKey };
    for (const given of [{ ...config, publicKeyEncoding }, config, { ...config, publicKey: ` ${publicKey}\n` }]) {
      const { settings } = parseAuth({ type: 'ASYMMETRIC', config: given }, null);
      expect(settings.config).toMatchObject({ publicKeyEncoding });
      expect(judge({ type: 'ASYMMETRIC', config: given }, sent(signature))).toEqual(VALID);
    }
    const auth = { type: 'ASYMMETRIC', config } as const;
    expect(judge(auth, { ...sent(signature), body: 'abd' })).toEqual(refused('REJECTED_SIGNATURE'));
    for (const length of [0, 1, 63, 64, 65, 72, 256, 1_000]) {
      const status = length === 0 ? 'REJECTED_NO_AUTH' : 'REJECTED_SIGNATURE';
      expect(judge(auth, sent(Buffer.alloc(length, 7)))).toEqual(refused(status));
    }
  });

  it('of Standard Webhooks sign as its version v1a', () => {
    const config = {
      header: 'webhook-signature',
      separator: ' ',
      prefix: 'v1a,',
      encoding: 'BASE64',
      signedContent: '{id}.{timestamp}.{body}',
      idHeader: 'webhook-id',
      timestampHeader: 'webhook-timestamp',
      publicKey: der(ed25519.publicKey).subarray(-32).toString('base64'),
    };
    const text = `msg_1.${AT / 1_000}.{}`;
    const signature = signBytes(null, Buffer.from(text), ed25519.privateKey).toString('base64');
    const headers = { 'webhook-id': 'msg_1', 'webhook-timestamp': String(AT / 1_000) };
    const judged = (header: string) =>
      judge({ type: 'ASYMMETRIC', config }, { headers: { ...headers, 'webhook-signature': header }, body: '{}' });
    expect(judged(`v1,${createHmac('sha256', SECRET).update(text).digest('base64')} v1a,${signature}`)).toEqual(VALID);
    expect(judged(`v1,${signature}`)).toEqual(refused('REJECTED_SIGNATURE'));
  });
});

describe('credentials', () => {
  it('as a bearer token, whose scheme is written in any case', () => {
    for (const scheme of ['Bearer', 'bearer', 'BEARER ']) {
      expect(judge({ type: 'BEARER' }, { headers: { authorization: `${scheme} ${SECRET}` } })).toEqual(VALID);
    }
    for (const [authorization, status] of [
      [`Bearer ${SECRET}x`, 'REJECTED_TOKEN'],
      [`Bearer ${SECRET.slice(1)}`, 'REJECTED_TOKEN'],
      [SECRET, 'REJECTED_NO_AUTH'],
      [`Basic ${SECRET}`, 'REJECTED_NO_AUTH'],
      ['Bearer', 'REJECTED_NO_AUTH'],
      ['', 'REJECTED_NO_AUTH'],
    ] as const) {
      expect(judge({ type: 'BEARER' }, { headers: { authorization } }), authorization).toEqual(refused(status));
    }
  });

  it('as user and password, in UTF-8, the password with colons', () => {
    const auth = { type: 'BASIC', config: { username: 'Grüße' } } as const;
    const judged = (pair: string, secret = 'pass:word:💡') =>
      judge(auth, { headers: { authorization: `Basic ${Buffer.from(pair).toString('base64')}` } }, [secret]);
    expect(judged('Grüße:pass:word:💡')).toEqual(VALID);
    for (const pair of [
      'Grüsse:pass:word:💡',
      'Grüße:pass:word',
      'Grüße',
      ':pass:word:💡',
      '',
      'pass:word:💡',
      'Grüße:',
    ]) {
      expect(judged(pair).valid, pair).toBe(false);
    }
    expect(judge(auth, { headers: { authorization: 'Basic %%%' } })).toEqual(refused('REJECTED_TOKEN'));
    expect(judge(auth, {})).toEqual(refused('REJECTED_NO_AUTH'));
  });

  it('as a token or key in any writing, as UTF-8 or Latin-1 in its header', () => {
    for (const secret of ['Schlüssel zum Tor', '秘密の鍵はここにある', 'clef cachée 🗝️']) {
      const auth = [{ type: 'BEARER' }, { type: 'API_KEY', config: { header: 'X-Key' } }] as const;
      const judged = (text: string) =>
        auth.map((one) => judge(one, { headers: { authorization: `Bearer ${text}`, 'x-key': text } }, [secret]).valid);
      const bytes = Buffer.from(secret, 'utf8');
      expect(judged(bytes.toString('latin1')), secret).toEqual([true, true]);
      expect(judged(secret), secret).toEqual([true, true]);
      expect(judged(bytes.subarray(0, -1).toString('latin1')), secret).toEqual([false, false]);
    }
  });

  it('as an API key in a header or the body, or as a token in the query', () => {
    const header = { type: 'API_KEY', config: { header: 'X-Key' } } as const;
    expect(judge(header, { headers: { 'x-key': SECRET } })).toEqual(VALID);
    expect(judge(header, { headers: { 'x-key': `${SECRET}, ${SECRET}` } })).toEqual(refused('REJECTED_TOKEN'));
    expect(judge(header, { headers: { 'x-other': SECRET } })).toEqual(refused('REJECTED_NO_AUTH'));
    const body = { type: 'API_KEY', config: { body: 'a.key' } } as const;
    expect(judge(body, { body: JSON.stringify({ a: { key: SECRET } }) })).toEqual(VALID);
    expect(judge(body, { body: JSON.stringify({ a: { key: { key: SECRET } } }) })).toEqual(refused('REJECTED_TOKEN'));
    expect(
      judge(body, { body: JSON.stringify({ a: Array.from({ length: 1_001 }, () => ({ key: SECRET })) }) }),
    ).toEqual(refused('REJECTED_TOKEN'));
    expect(judge(body, { body: '{}' })).toEqual(refused('REJECTED_NO_AUTH'));
    const query = { type: 'QUERY_TOKEN' } as const;
    const url = (text: string) => `https://hooks.example.com/in?${new URLSearchParams({ token: text }).toString()}`;
    expect(judge(query, { url: url(SECRET) })).toEqual(VALID);
    expect(judge(query, { url: url('another') })).toEqual(refused('REJECTED_TOKEN'));
    expect(judge(query, { url: `${url('another')}&token=${encodeURIComponent(SECRET)}` }).valid).toBe(false);
    expect(judge(query, {})).toEqual(refused('REJECTED_NO_AUTH'));
  });
});

it('the stand-in for a webhook that takes nothing verifies nothing and shakes no hands', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.dictionary(fc.string(), fc.string()), (body, headers) => {
      const request = inboundRequest({ headers, body: Buffer.from(body) });
      expect(dummyVerifier.verify(request)).toEqual(refused('REJECTED_NO_AUTH'));
      expect(dummyVerifier.handshake(request)).toBeNull();
    }),
  );
});

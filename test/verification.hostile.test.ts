import { generateKeyPairSync } from 'node:crypto';
import { BlockList, isIP } from 'node:net';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { PRESETS } from '../src/domain/inbound/presets/presets.ts';
import { parseAuth } from '../src/domain/inbound/verification/auth.ts';
import type { AuthInput } from '../src/domain/inbound/verification/auth.ts';
import { HANDSHAKE_NAMES } from '../src/domain/inbound/verification/handshakeName.ts';
import { hashSecret } from '../src/domain/inbound/verification/secretForm.ts';
import { AUTH_STATUSES } from '../src/domain/inbound/verification/verification.ts';
import { compileVerifier } from '../src/domain/inbound/verification/verifier.ts';
import { inboundRequest } from './harness/inboundRequest.ts';

/** Nobody who sends the requests below knows them. */
const SECRETS = {
  keys: ['4b6d7a1c9e2f', 'another key of it'],
  hashes: [hashSecret('a token')],
  verifyToken: 'a verify token',
};

const publicKeys = {
  ED25519: generateKeyPairSync('ed25519').publicKey,
  ECDSA_P256: generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey,
  RSA_SHA256: generateKeyPairSync('rsa', { modulusLength: 2_048 }).publicKey,
};

const presetNeeds: Readonly<Record<string, Record<string, unknown>>> = {
  discord: { publicKey: publicKeys.ED25519.export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex') },
  sendgrid: { publicKey: publicKeys.ECDSA_P256.export({ format: 'der', type: 'spki' }).toString('base64') },
  meta: { verifyToken: 'a verify token' },
  'generic-hmac': { header: 'X-Signature' },
};

const template = '{timestamp}{id}{method}{url}{path}{query}{header.X-Other}{json.a[0].b}{form}{body}';
const everything = {
  header: 'X-Signature',
  separator: ',',
  field: 'v1',
  signedContent: template,
  timestamp: { in: 'BODY', name: 'a[0].t', unit: 'ISO8601' },
  idHeader: 'X-Id',
};

const AUTHS: readonly AuthInput[] = [
  ...PRESETS.map(({ name }) => ({ preset: name, config: presetNeeds[name] })),
  ...Object.entries(publicKeys).map(([algorithm, key]) => {
    const publicKey = key.export({ format: 'pem', type: 'spki' });
    return { type: 'ASYMMETRIC' as const, config: { header: 'X-Signature', algorithm, publicKey } };
  }),
  ...HANDSHAKE_NAMES.map((handshake) => ({
    type: 'HMAC' as const,
    config: { header: 'X-Signature', handshake, ...(handshake === 'meta' && { verifyToken: 'abc' }) },
  })),
  { type: 'HMAC', config: everything },
  { type: 'HMAC', config: { ...everything, signature: { in: 'BODY', name: 'a.b' }, header: null } },
  { type: 'HMAC', config: { ...everything, timestamp: { in: 'QUERY', name: 'challenge' } } },
  { type: 'BEARER' },
  { type: 'BASIC', config: { username: 'user' } },
  { type: 'QUERY_TOKEN', config: { param: 'challenge' } },
  { type: 'IP_ALLOWLIST', config: { cidrs: ['10.0.0.0/8', 'fd00::/8'] } },
];

const LISTED = new BlockList();
LISTED.addSubnet('10.0.0.0', 8, 'ipv4');
LISTED.addSubnet('fd00::', 8, 'ipv6');

const VERIFIERS = AUTHS.map((auth) => compileVerifier(parseAuth(auth, null).settings, SECRETS));

/** Every header that one of them reads. */
const HEADERS = [
  ...new Set(
    [
      ...JSON.stringify(AUTHS.map((auth) => parseAuth(auth, null).settings.config)).matchAll(
        /"(?:name|header|idHeader)":"([\w-]+)"/g,
      ),
    ]
      .map((match) => match[1]!.toLowerCase())
      .concat(
        'authorization',
        'content-type',
        'x-other',
        'webhook-id',
        'webhook-timestamp',
        'webhook-signature',
        'svix-id',
      ),
  ),
];

const NEAR_MISSES = (
  '| |=|,|t=1,v1=|v1,|v1=00|sha256=00|v0=0|t=NaN,v1=zz,t=2|Bearer |Bearer x|Basic |Basic Og==|Basic %|1800000000|-1|1e309|' +
  'application/x-www-form-urlencoded|application/json|\0|\ud800|💥|__proto__|MEUCIQ=='
).split('|');
const nearMisses = fc.constantFrom(
  ...NEAR_MISSES,
  'ab'.repeat(32),
  'AB'.repeat(20),
  `${'q'.repeat(43)}=`,
  `v1=${'a'.repeat(64)},`.repeat(100),
);
const text = fc.oneof(nearMisses, fc.string({ unit: 'binary' }), fc.base64String(), fc.stringMatching(/^[0-9a-f]*$/));
const json = fc.oneof(
  fc.jsonValue(),
  fc.record(
    {
      type: fc.constantFrom('url_verification', 0, 1, null),
      challenge: fc.oneof(text, fc.jsonValue()),
      event: fc.constantFrom('endpoint.url_validation', {}),
      payload: fc.oneof(fc.record({ plainToken: text }), fc.jsonValue()),
      verification_token: text,
      value: fc.array(fc.oneof(fc.record({ clientState: text }), fc.jsonValue())),
      notificationItems: fc.array(fc.jsonValue()),
      signature: fc.oneof(text, fc.record({ signature: text, timestamp: text, token: text })),
      webhookTimestamp: fc.oneof(text, fc.double(), fc.constant(1_800_000_000_000)),
      a: fc.array(fc.record({ b: fc.jsonValue(), t: text })),
    },
    { requiredKeys: [] },
  ),
);
const bodies = fc.oneof(
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  json.map((value) => Buffer.from(JSON.stringify(value))),
  json.map((value) => Buffer.from(`payload=${encodeURIComponent(JSON.stringify(value))}&payload=%ZZ&a=%E0%A4%A`)),
  fc
    .constantFrom(
      '['.repeat(100_000),
      '{"a":'.repeat(50_000),
      '&'.repeat(100_000),
      'a=b&'.repeat(1_999),
      '\uFEFF{}',
      'null',
    )
    .map((body) => Buffer.from(body)),
);
const queries = fc.oneof(
  fc.webQueryParameters(),
  text,
  text.map((value) =>
    new URLSearchParams({ challenge: value, crc_token: value, validationToken: value, bodySHA256: value }).toString(),
  ),
  fc.constant('hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=guess'),
);

it('whatever is sent, a verifier answers with a verdict, and never takes what nobody signed', () => {
  expect(HEADERS.length).toBeGreaterThan(30);
  const requests = fc.record({
    method: fc.constantFrom('POST', 'GET', 'PUT', 'PATCH'),
    query: queries,
    headers: fc.dictionary(fc.constantFrom(...HEADERS), text, { maxKeys: 12 }),
    body: bodies,
    remoteAddress: fc.oneof(fc.ipV4(), fc.ipV6(), text),
  });
  fc.assert(
    fc.property(requests, fc.nat({ max: VERIFIERS.length - 1 }), ({ query, remoteAddress, ...parts }, index) => {
      const url = `https://hooks.example.com/in?${query}`;
      const request = inboundRequest({ ...parts, url, remoteAddress, receivedAt: 1_800_000_000_000 });
      const verdict = VERIFIERS[index]!.verify(request);
      const isAddress = isIP(remoteAddress) !== 0;
      const isListed = isAddress && LISTED.check(remoteAddress, isIP(remoteAddress) === 4 ? 'ipv4' : 'ipv6');
      const isOnList = AUTHS[index]!.type === 'IP_ALLOWLIST' && isListed;
      expect(verdict.valid).toBe(isOnList);
      expect(AUTH_STATUSES).toContain(verdict.authStatus);
      for (const secret of SECRETS.keys) expect(verdict.reason ?? '').not.toContain(secret);

      const answer = VERIFIERS[index]!.handshake(request);
      if (answer === null) return;
      // What is echoed is nobody's page, and tells no secret.
      expect(answer.headers['content-type'] ?? 'none').toMatch(
        /^(?:text\/plain; charset=utf-8|application\/json|none)$/,
      );
      if (answer.body !== '') expect(answer.headers['x-content-type-options']).toBe('nosniff');
      expect(answer.body.isWellFormed()).toBe(true);
      for (const secret of [...SECRETS.keys, 'a verify token']) expect(answer.body).not.toContain(secret);
    }),
    { numRuns: 5_000 },
  );
});

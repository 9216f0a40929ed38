import { generateKeyPairSync } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultAuth, parseAuth } from '../src/domain/inbound/verification/auth.ts';
import type { AuthInput } from '../src/domain/inbound/verification/auth.ts';
import { INBOUND_AUTH_TYPES } from '../src/domain/inbound/verification/authType.ts';
import { CONFIG_SCHEMAS } from '../src/domain/inbound/verification/config.ts';
import { credentialHeaderNames, credentialQueryNames } from '../src/domain/inbound/verification/credentialNames.ts';
import { compileVerifier } from '../src/domain/inbound/verification/verifier.ts';

const settingsOf = (input: AuthInput) => parseAuth(input, null).settings;
const at = (...path: string[]) => expect.objectContaining({ path: ['input', 'auth', ...path] }) as Error;

const keys = (type: 'ed25519' | 'rsa' | 'ec', options = {}) => {
  const pair = generateKeyPairSync(type as 'rsa', options as { modulusLength: number });
  return {
    public: pair.publicKey.export({ format: 'pem', type: 'spki' }),
    private: pair.privateKey.export({ format: 'pem', type: 'pkcs8' }),
  };
};

describe('a config is refused at the key that is wrong', () => {
  const HMAC = { header: 'X-Signature' };
  const cases: [string, AuthInput['type'], Record<string, unknown>][] = [
    // Mistyped, which is why the right one is missing.
    ['headr', 'HMAC', { headr: 'X-S' }],
    ['publickey', 'ASYMMETRIC', { header: 'X-S', publickey: 'x' }],
    ['user', 'BASIC', { user: 'x' }],
    ['header', 'HMAC', {}],
    ['header', 'HMAC', { header: '' }],
    ['header', 'HMAC', { header: 'X Signature' }],
    ['header', 'HMAC', { header: 'X-Signature:' }],
    ['header', 'HMAC', { header: 'X-Signature\r\nX' }],
    ['header', 'HMAC', { header: 'x'.repeat(101) }],
    ['header', 'HMAC', { header: 7 }],
    ['signature', 'HMAC', { header: 'X-Signature', signature: { in: 'BODY', name: 'a' } }],
    ['signature', 'HMAC', { signature: 'X-Signature' }],
    ['signature', 'HMAC', { signature: { in: 'COOKIE', name: 'a' } }],
    ['signature', 'HMAC', { signature: { in: 'BODY', name: '$sum(a)' } }],
    ['signature', 'HMAC', { signature: { in: 'BODY', name: '' } }],
    ['signature', 'HMAC', { signature: { in: 'QUERY', name: 'a', more: 1 } }],
    ['algorithm', 'HMAC', { ...HMAC, algorithm: 'MD5' }],
    ['algorithm', 'HMAC', { ...HMAC, algorithm: 'sha256' }],
    ['encoding', 'HMAC', { ...HMAC, encoding: 'BASE32' }],
    ['prefix', 'HMAC', { ...HMAC, prefix: 'x'.repeat(65) }],
    ['prefix', 'HMAC', { ...HMAC, prefix: 'a\0' }],
    ['prefix', 'HMAC', { ...HMAC, prefix: '\ud800' }],
    ['prefix', 'HMAC', { ...HMAC, prefix: 'v1,', separator: ',' }],
    ['separator', 'HMAC', { ...HMAC, separator: '' }],
    ['separator', 'HMAC', { ...HMAC, field: 'v1' }],
    ['separator', 'HMAC', { ...HMAC, timestamp: { in: 'FIELD', name: 't' } }],
    ['signedContent', 'HMAC', { ...HMAC, signedContent: 'constant' }],
    ['signedContent', 'HMAC', { ...HMAC, signedContent: '' }],
    ['signedContent', 'HMAC', { ...HMAC, signedContent: '{body}{nonsense}' }],
    ['signedContent', 'HMAC', { ...HMAC, signedContent: '{body}{}' }],
    ['signedContent', 'HMAC', { ...HMAC, signedContent: '{body}{json.$eval(a)}' }],
    ['signedContent', 'HMAC', { ...HMAC, signedContent: '{body}{header.a b}' }],
    ['signedContent', 'HMAC', { ...HMAC, signedContent: `{body}${'x'.repeat(1_000)}` }],
    ['timestamp', 'HMAC', { ...HMAC, signedContent: '{timestamp}.{body}' }],
    ['timestamp', 'HMAC', { ...HMAC, timestamp: 'X-Timestamp' }],
    ['timestamp', 'HMAC', { ...HMAC, timestamp: { in: 'HEADER', name: 'not a header' } }],
    ['timestamp', 'HMAC', { ...HMAC, timestamp: { in: 'HEADER', name: 'X-T', unit: 'MINUTES' } }],
    ['timestampHeader', 'HMAC', { ...HMAC, timestampHeader: 'X-T', timestamp: { in: 'HEADER', name: 'X-T' } }],
    ['idHeader', 'HMAC', { ...HMAC, signedContent: '{id}.{body}' }],
    ['toleranceSeconds', 'HMAC', { ...HMAC, toleranceSeconds: 300 }],
    ['toleranceSeconds', 'HMAC', { ...HMAC, timestampHeader: 'X-T', toleranceSeconds: 0 }],
    ['toleranceSeconds', 'HMAC', { ...HMAC, timestampHeader: 'X-T', toleranceSeconds: 1.5 }],
    ['toleranceSeconds', 'HMAC', { ...HMAC, timestampHeader: 'X-T', toleranceSeconds: 604_801 }],
    ['toleranceSeconds', 'HMAC', { ...HMAC, timestampHeader: 'X-T', toleranceSeconds: '300' }],
    ['keyEncoding', 'HMAC', { ...HMAC, keyEncoding: 'BASE58' }],
    ['publicKey', 'HMAC', { ...HMAC, publicKey: 'a' }],
    ['nonsense', 'HMAC', { ...HMAC, nonsense: true }],
    ['__proto__', 'HMAC', JSON.parse('{"header":"X-S","__proto__":{"prefix":"v1="}}') as Record<string, unknown>],
    ['cidrs', 'HMAC', { ...HMAC, cidrs: [] }],
    ['cidrs', 'BEARER', { cidrs: ['10.0.0.0/33'] }],
    ['cidrs', 'BEARER', { cidrs: '10.0.0.0/8' }],
    ['cidrs', 'IP_ALLOWLIST', {}],
    ['cidrs', 'IP_ALLOWLIST', { cidrs: [] }],
    ['cidrs', 'IP_ALLOWLIST', { cidrs: ['010.0.0.1'] }],
    ['cidrs', 'IP_ALLOWLIST', { cidrs: ['example.com'] }],
    ['cidrs', 'IP_ALLOWLIST', { cidrs: Array.from({ length: 501 }, () => '10.0.0.1') }],
    ['publicKey', 'ASYMMETRIC', { header: 'X-Signature' }],
    ['publicKey', 'ASYMMETRIC', { header: 'X-Signature', publicKey: 'not a key' }],
    ['publicKey', 'ASYMMETRIC', { header: 'X-Signature', publicKey: 'ab'.repeat(31) }],
    ['publicKey', 'ASYMMETRIC', { header: 'X-Signature', publicKey: keys('ed25519').private }],
    ['publicKey', 'ASYMMETRIC', { header: 'X-S', algorithm: 'RSA_SHA256', publicKey: keys('ed25519').public }],
    [
      'publicKey',
      'ASYMMETRIC',
      { header: 'X-S', algorithm: 'ECDSA_P256', publicKey: keys('ec', { namedCurve: 'P-384' }).public },
    ],
    [
      'publicKey',
      'ASYMMETRIC',
      { header: 'X-S', algorithm: 'RSA_SHA256', publicKey: keys('rsa', { modulusLength: 512 }).public },
    ],
    ['publicKeyEncoding', 'ASYMMETRIC', { header: 'X-S', publicKey: 'ab'.repeat(32), publicKeyEncoding: 'JWK' }],
    ['username', 'BASIC', {}],
    ['username', 'BASIC', { username: 'a:b' }],
    ['username', 'BASIC', { username: '' }],
    ['header', 'API_KEY', {}],
    ['header', 'API_KEY', { header: 'X-Key', body: 'key' }],
    ['body', 'API_KEY', { body: 'a + b' }],
    ['param', 'QUERY_TOKEN', { param: '' }],
    ['headerPrefix', 'STANDARD_WEBHOOKS', { headerPrefix: 'x-' }],
    ['handshake', 'BEARER', { handshake: 'nobody' }],
    ['handshake', 'BEARER', { handshake: 'zoom' }],
    ['verifyToken', 'HMAC', { ...HMAC, handshake: 'meta' }],
    ['verifyToken', 'HMAC', { ...HMAC, handshake: 'meta', verifyToken: '' }],
    ['verifyToken', 'HMAC', { ...HMAC, verifyToken: 'of no use' }],
  ];

  it.for(cases)('%s: %s %j', ([key, type, config]) => {
    expect(() => parseAuth({ type, config }, null)).toThrow(at('config', key));
  });

  it('and what is no config, no type of the preset, or no preset, where that stands', () => {
    for (const config of ['text', 7, true, [], [{}]]) {
      expect(() => parseAuth({ type: 'BEARER', config }, null)).toThrow(at('config'));
    }
    expect(() => parseAuth({ preset: 'nobody' }, null)).toThrow(at('preset'));
    expect(() => parseAuth({ preset: '__proto__' }, null)).toThrow(at('preset'));
    expect(() => parseAuth({ preset: 'github', type: 'BEARER' }, null)).toThrow(at('type'));
    expect(() => parseAuth({ type: 'NOBODY' as 'HMAC' }, null)).toThrow(at('type'));
    expect(() => parseAuth({ preset: 'discord' }, null)).toThrow(at('config', 'publicKey'));
    expect(() => parseAuth({ preset: 'generic-hmac' }, null)).toThrow(at('config', 'header'));
    expect(() => parseAuth({ preset: 'meta' }, null)).toThrow(at('config', 'verifyToken'));
  });
});

const KEYS = (
  'header signature algorithm encoding prefix separator field signedContent timestamp toleranceSeconds idHeader ' +
  'keyEncoding keyPrefix publicKey publicKeyEncoding headerPrefix username body param cidrs handshake verifyToken ' +
  'timestampHeader nonsense __proto__'
).split(' ');

/** Configs that are near to right ones: known keys, with values of which some fit. */
const configs = fc
  .dictionary(
    fc.constantFrom(...KEYS),
    fc.oneof(
      fc.constantFrom<unknown>('X-A', 'HEX', 'BASE64', 'SHA1', '{timestamp}{body}', '{body}', ',', 'v1', 'slack', 60),
      fc.constantFrom<unknown>({ in: 'HEADER', name: 'X-T' }, { in: 'BODY', name: 'a.b' }, ['10.0.0.0/8'], null),
      fc.constantFrom<unknown>('ab'.repeat(32), 'webhook-', 'svix-', 'meta', 'x', 'MILLISECONDS', 'PEM', 'RAW_HEX'),
      fc.jsonValue(),
    ),
    { maxKeys: 6 },
  )
  // As it comes from a caller: what is called __proto__ is a key as any other.
  .map((config) => JSON.parse(JSON.stringify(config)) as Record<string, unknown>);

it('whatever the config, it is refused at one of its keys or is complete, and stays as it is', () => {
  let complete = 0;
  fc.assert(
    fc.property(fc.constantFrom(...INBOUND_AUTH_TYPES), configs, (type, config) => {
      let parsed;
      try {
        parsed = parseAuth({ type, config }, null);
      } catch (error) {
        const { path } = error as { path: string[] };
        expect(path.slice(0, 3)).toEqual(['input', 'auth', 'config']);
        const required = [
          'header',
          'publicKey',
          'username',
          'cidrs',
          'verifyToken',
          'separator',
          'timestamp',
          'idHeader',
        ];
        expect([...Object.keys(config), ...required]).toContain(path[3]);
        return;
      }
      complete += 1;
      const { settings } = parsed;
      expect(JSON.stringify(settings)).not.toContain('verifyToken');
      expect(CONFIG_SCHEMAS[type].parse(settings.config)).toEqual(settings.config);
      expect(parseAuth({}, settings)).toEqual({ settings, secrets: {}, needsSecret: false });
      const verifier = compileVerifier(settings, { keys: [], hashes: [], verifyToken: null });
      expect(verifier.handshakeBeforeVerify || !verifier.handshakeByGet).toBe(true);
    }),
    { numRuns: 5_000 },
  );
  expect(complete).toBeGreaterThan(200);
});

describe('settings', () => {
  it('of a webhook whose owner asks for nothing are Standard Webhooks', () => {
    expect(defaultAuth()).toEqual({
      settings: {
        type: 'STANDARD_WEBHOOKS',
        preset: null,
        config: { headerPrefix: 'webhook-', toleranceSeconds: 300 },
      },
      secrets: {},
      needsSecret: true,
    });
  });

  it('are complete with their defaults', () => {
    expect(settingsOf({ type: 'HMAC', config: { header: 'X-S', timestampHeader: 'X-T' } }).config).toEqual({
      header: 'X-S',
      algorithm: 'SHA256',
      encoding: 'HEX',
      prefix: '',
      signedContent: '{body}',
      timestamp: { in: 'HEADER', name: 'X-T', unit: 'SECONDS' },
      toleranceSeconds: 300,
      keyEncoding: 'TEXT',
      keyPrefix: '',
    });
    expect(settingsOf({ type: 'QUERY_TOKEN' }).config).toEqual({ param: 'token' });
    expect(settingsOf({ type: 'HMAC', config: { signature: { in: 'HEADER', name: 'X-S' } } }).config).toMatchObject({
      header: 'X-S',
    });
  });

  it('of a preset are completed and overridden by the config, and null puts one back', () => {
    const github = settingsOf({ preset: 'github' });
    expect(github).toMatchObject({ type: 'HMAC', preset: 'github', config: { header: 'X-Hub-Signature-256' } });
    const own = settingsOf({ preset: 'github', config: { header: 'X-Own', cidrs: ['192.30.252.0/22'] } });
    expect(own.config).toMatchObject({ header: 'X-Own', prefix: 'sha256=', cidrs: ['192.30.252.0/22'] });
    expect(parseAuth({ config: { header: null, cidrs: null } }, own).settings).toEqual(github);
    const inQuery = { signature: { in: 'QUERY', name: 'sig' } };
    expect(parseAuth({ config: inQuery }, own).settings.config).not.toHaveProperty('header');
    expect(settingsOf({ preset: 'generic-hmac', config: inQuery }).config).toMatchObject(inQuery);
  });

  it('stay as they are where an update leaves them out, and begin anew with another type or preset', () => {
    const zendesk = settingsOf({ preset: 'zendesk', config: { toleranceSeconds: 60 } });
    expect(parseAuth({}, zendesk)).toEqual({ settings: zendesk, secrets: {}, needsSecret: false });
    expect(parseAuth({ preset: 'zendesk' }, zendesk).settings).toEqual(zendesk);
    // HMAC too: the secret may stay, nothing else does.
    const github = parseAuth({ preset: 'github' }, zendesk);
    expect(github).toEqual({ settings: settingsOf({ preset: 'github' }), secrets: {}, needsSecret: false });
    const bearer = parseAuth({ type: 'BEARER' }, zendesk);
    expect(bearer).toEqual({ settings: { type: 'BEARER', preset: null, config: {} }, secrets: {}, needsSecret: true });
    expect(parseAuth({ type: 'IP_ALLOWLIST', config: { cidrs: ['::/0'] } }, zendesk).needsSecret).toBe(false);
  });

  it('never hold the verify token, which is kept while its handshake is', () => {
    const meta = parseAuth({ preset: 'meta', config: { verifyToken: 'meatyhamhock' } }, null);
    expect(meta.secrets).toEqual({ verifyToken: 'meatyhamhock' });
    expect(JSON.stringify(meta.settings)).not.toContain('meatyhamhock');
    expect(parseAuth({ config: { prefix: 'sha256=' } }, meta.settings).secrets).toEqual({});
    expect(parseAuth({ config: { verifyToken: 'another' } }, meta.settings).secrets).toEqual({
      verifyToken: 'another',
    });
    const github = settingsOf({ preset: 'github' });
    expect(() => parseAuth({ config: { handshake: 'meta' } }, github)).toThrow(at('config', 'verifyToken'));
  });

  it('name the headers and query parameters that no record may show', () => {
    expect(credentialHeaderNames(settingsOf({ preset: 'gitlab' }))).toContain('x-gitlab-token');
    expect(credentialHeaderNames(settingsOf({ preset: 'github' }))).not.toContain('x-hub-signature-256');
    for (const name of ['authorization', 'proxy-authorization', 'cookie', 'set-cookie', 'x-api-key']) {
      expect(credentialHeaderNames(defaultAuth().settings)).toContain(name);
    }
    expect(credentialQueryNames(settingsOf({ type: 'QUERY_TOKEN', config: { param: 'k' } }))).toEqual(['k']);
    expect(credentialQueryNames(settingsOf({ preset: 'meta', config: { verifyToken: 'abc' } }))).toEqual([
      'hub.verify_token',
    ]);
  });
});

import { expect, it } from 'vitest';
import { PRESETS } from '../src/domain/inbound/presets/presets.ts';
import { defaultAuth, parseAuth } from '../src/domain/inbound/verification/auth.ts';
import type { AuthInput } from '../src/domain/inbound/verification/auth.ts';
import {
  checkSecret,
  decodeKey,
  generateSecret,
  hashSecret,
  secretForm,
  storedSecret,
} from '../src/domain/inbound/verification/secretForm.ts';

const settingsOf = (input: AuthInput) => parseAuth(input, null).settings;
const atSecret = expect.objectContaining({ path: ['input', 'auth', 'secret'] }) as Error;
const hmac = (config: Record<string, unknown>) => settingsOf({ type: 'HMAC', config: { header: 'X-S', ...config } });

it('secrets are read as text, base64 or hex, with or without their prefix', () => {
  const key = Buffer.from('fbff0123456789abcdef0123456789ab', 'hex');
  expect(decodeKey('FBFF0123456789ABCDEF0123456789ab', hmac({ keyEncoding: 'HEX' }))).toEqual(key);
  expect(decodeKey(key.toString('base64'), hmac({ keyEncoding: 'BASE64' }))).toEqual(key);
  expect(decodeKey(key.toString('base64url'), hmac({ keyEncoding: 'BASE64' }))).toEqual(key);
  const prefixed = hmac({ keyEncoding: 'BASE64', keyPrefix: 'whsec_' });
  expect(decodeKey(`whsec_${key.toString('base64')}`, prefixed)).toEqual(key);
  expect(decodeKey(key.toString('base64'), prefixed)).toEqual(key);
  expect(decodeKey('Grüße an alle', hmac({}))).toEqual(Buffer.from('Grüße an alle'));
  expect(decodeKey('any', settingsOf({ type: 'BEARER' }))).toBeNull();
});

it('secrets that hold no key in their spelling are refused', () => {
  const base64 = { keyEncoding: 'BASE64', keyPrefix: 'whsec_' };
  const cases: [ReturnType<typeof hmac>, string][] = [
    [hmac({ keyEncoding: 'HEX' }), '0123456789abcdefg'],
    [hmac({ keyEncoding: 'HEX' }), '0123456789abcde'],
    [hmac({ keyEncoding: 'BASE64' }), 'no base64!'],
    [hmac(base64), 'whsec_no base64'],
    [hmac({ keyPrefix: 'secret_of_mine' }), 'secret_of_mine'],
    [defaultAuth().settings, 'whsec_**********'],
    [hmac({}), '1234567'],
    [hmac({}), 'x'.repeat(513)],
    [hmac({}), '12345678\0'],
    [settingsOf({ type: 'BEARER' }), 'short'],
    [settingsOf({ type: 'IP_ALLOWLIST', config: { cidrs: ['::1'] } }), 'a secret of no use'],
  ];
  for (const [settings, secret] of cases) expect(() => checkSecret(settings, secret)).toThrow(atSecret);
});

it('secrets that no header can carry are refused where they have to stand in one', () => {
  const bearer = settingsOf({ type: 'BEARER' });
  const apiKey = settingsOf({ type: 'API_KEY', config: { header: 'X-Key' } });
  const elsewhere = [
    settingsOf({ type: 'API_KEY', config: { body: 'key' } }),
    settingsOf({ type: 'QUERY_TOKEN' }),
    settingsOf({ type: 'BASIC', config: { username: 'shop' } }),
    hmac({}),
  ];
  for (const secret of [
    'copied with its end\n',
    ' blank before',
    'blank behind ',
    'two\r\nlines',
    'a bell \u0007 rings',
  ]) {
    for (const settings of [bearer, apiKey]) expect(() => checkSecret(settings, secret)).toThrow(atSecret);
    for (const settings of elsewhere) expect(checkSecret(settings, secret)).toBe(secret);
  }
  for (const settings of [bearer, apiKey]) expect(checkSecret(settings, 'words, and blanks')).toBe('words, and blanks');
});

it('secrets are generated with 32 bytes in the spelling that the sender wants', () => {
  const seen = new Set<string>();
  for (const preset of PRESETS) {
    if (secretForm(preset.type) === 'none') continue;
    const config = { meta: { verifyToken: 'abc' }, 'generic-hmac': { header: 'X-S' } }[preset.name];
    const settings = settingsOf({ preset: preset.name, config });
    const secret = generateSecret(settings);
    expect(checkSecret(settings, secret)).toBe(secret);
    const key = decodeKey(secret, settings);
    if (secretForm(settings.type) === 'hash') expect(Buffer.from(secret, 'base64url')).toHaveLength(32);
    else expect([32, 43]).toContain(key?.length);
    seen.add(secret);
  }
  expect(seen.size).toBe(PRESETS.filter(({ type }) => secretForm(type) !== 'none').length);
  // Telegram's alphabet, the narrowest of those that are given to a sender.
  expect(generateSecret(settingsOf({ preset: 'telegram' }))).toMatch(/^[\w-]{1,256}$/);
  expect(generateSecret(defaultAuth().settings)).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
});

it('secrets are kept to compute with, or as a hash where comparing is all', () => {
  expect(storedSecret('HMAC', 'secret of it')).toEqual({ key: 'secret of it', hash: null });
  expect(storedSecret('BEARER', 'secret of it')).toEqual({ key: null, hash: hashSecret('secret of it') });
  expect(storedSecret('ASYMMETRIC', null)).toEqual({ key: null, hash: null });
});

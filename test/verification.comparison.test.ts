import { createHmac } from 'node:crypto';
import { beforeEach, expect, it, vi } from 'vitest';
import { parseAuth } from '../src/domain/inbound/verification/auth.ts';
import type { AuthInput } from '../src/domain/inbound/verification/auth.ts';
import { hashSecret } from '../src/domain/inbound/verification/secretForm.ts';
import { compileVerifier } from '../src/domain/inbound/verification/verifier.ts';
import { inboundRequest } from './harness/inboundRequest.ts';
import type { RequestParts } from './harness/inboundRequest.ts';

const compared = vi.hoisted(() => [] as (readonly [number, number])[]);

vi.mock('node:crypto', async (importOriginal) => {
  const actual = await importOriginal<typeof import('node:crypto')>();
  const timingSafeEqual: typeof actual.timingSafeEqual = (left, right) => {
    compared.push([left.byteLength, right.byteLength]);
    return actual.timingSafeEqual(left, right);
  };
  return { ...actual, timingSafeEqual };
});

const SECRET = 'a secret that is long enough';

beforeEach(() => {
  compared.length = 0;
});

const basic = (text: string) => `Basic ${Buffer.from(`user:${text}`).toString('base64')}`;

const cases: [string, AuthInput, (presented: string) => RequestParts, string][] = [
  [
    'HMAC',
    { type: 'HMAC', config: { header: 'X-Sig' } },
    (text) => ({ headers: { 'x-sig': Buffer.from(text).toString('hex') } }),
    createHmac('sha256', SECRET).digest('latin1'),
  ],
  ['BEARER', { type: 'BEARER' }, (text) => ({ headers: { authorization: `Bearer ${text}` } }), SECRET],
  [
    'BASIC',
    { type: 'BASIC', config: { username: 'user' } },
    (text) => ({ headers: { authorization: basic(text) } }),
    SECRET,
  ],
  ['API_KEY', { type: 'API_KEY', config: { header: 'X-Key' } }, (text) => ({ headers: { 'x-key': text } }), SECRET],
  [
    'API_KEY in the body',
    { type: 'API_KEY', config: { body: 'key' } },
    (key) => ({ body: JSON.stringify({ key }) }),
    SECRET,
  ],
  [
    'QUERY_TOKEN',
    { type: 'QUERY_TOKEN' },
    (token) => ({ url: `https://x.example/?${new URLSearchParams({ token }).toString()}` }),
    SECRET,
  ],
];

it.for(cases)('%s is compared in constant time, at every length', ([, input, present]) => {
  const { settings } = parseAuth(input, null);
  const secrets = { keys: [SECRET], hashes: [hashSecret(SECRET)], verifyToken: null };
  const verifier = compileVerifier(settings, secrets);
  for (let length = 1; length <= 300; length += 13) {
    for (const text of ['x'.repeat(length), SECRET.padEnd(length, 'x').slice(0, length)]) {
      compared.length = 0;
      verifier.verify(inboundRequest(present(text)));
      // What is compared has one length, whatever the length of what was presented: no time is saved on a wrong one.
      expect(compared.length).toBeGreaterThan(0);
      for (const lengths of compared) expect(lengths).toEqual([32, 32]);
    }
  }
  const genuine = settings.type === 'HMAC' ? createHmac('sha256', SECRET).digest() : null;
  const sent = genuine ? { headers: { 'x-sig': genuine.toString('hex') } } : present(SECRET);
  expect(verifier.verify(inboundRequest(sent)).valid).toBe(true);
});

it('a verify token is compared in constant time, at every length', () => {
  const { settings } = parseAuth({ preset: 'meta', config: { verifyToken: 'meatyhamhock' } }, null);
  const verifier = compileVerifier(settings, { keys: [], hashes: [], verifyToken: 'meatyhamhock' });
  for (const token of ['m', 'meatyhamhoc', 'meatyhamhock', 'meatyhamhock!', 'x'.repeat(500)]) {
    compared.length = 0;
    const url = `https://x.example/?hub.mode=subscribe&hub.challenge=1&hub.verify_token=${token}`;
    const answer = verifier.handshake(inboundRequest({ method: 'GET', url }));
    expect(answer !== null).toBe(token === 'meatyhamhock');
    expect(compared).toEqual([[32, 32]]);
  }
});

it('a request without a signature costs the HMAC of one with it, and so does one to nobody', async () => {
  const { dummyVerifier } = await import('../src/domain/inbound/verification/verifier.ts');
  const crypto = await import('node:crypto');
  const { settings } = parseAuth({ type: 'HMAC', config: { header: 'X-Sig' } }, null);
  const verifier = compileVerifier(settings, { keys: [SECRET], hashes: [], verifyToken: null });
  const body = Buffer.alloc(4_096, 'x');
  const hashed = (verify: () => unknown): number => {
    const update = vi.spyOn(crypto.Hmac.prototype, 'update');
    verify();
    const bytes = update.mock.calls.reduce((sum, [data]) => sum + Buffer.byteLength(data as Buffer), 0);
    update.mockRestore();
    return bytes;
  };
  const without = inboundRequest({ body });
  const wrong = inboundRequest({ body, headers: { 'x-sig': 'ab'.repeat(32) } });
  expect(hashed(() => verifier.verify(wrong))).toBe(4_096);
  expect(hashed(() => verifier.verify(without))).toBe(4_096);
  const keyless = compileVerifier(settings, { keys: [], hashes: [], verifyToken: null });
  expect(hashed(() => keyless.verify(wrong))).toBe(4_096);
  expect(hashed(() => dummyVerifier.verify(without))).toBeGreaterThanOrEqual(4_096);
});

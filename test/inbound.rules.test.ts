import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isCredentialName, MASK, withoutCredentials } from '../src/domain/inbound/credentials.ts';
import { isTooDeep } from '../src/domain/inbound/depth.ts';
import { numberedSlug, slugOf } from '../src/domain/inbound/inboundInput.ts';
import { Limiter } from '../src/domain/inbound/limiter.ts';
import { isLetThrough } from '../src/domain/inbound/requestValues.ts';
import { encodeId, newId } from '../src/platform/ids.ts';
import { addressOf } from '../src/receivers/address.ts';

describe('a limit', () => {
  const steps = fc.array(fc.integer({ min: 0, max: 5_000 }), { minLength: 1, maxLength: 400 });

  it('lets a burst through at once, and never more than come back in time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), steps, (perMinute, gaps) => {
        const limiter = new Limiter(10);
        let now = 1_000_000;
        const passed: number[] = [];
        for (const gap of gaps) {
          now += gap;
          if (limiter.take('key', { burst: perMinute, perMinute }, now) === 0) passed.push(now);
        }
        for (const [index, from] of passed.entries()) {
          const within = passed.slice(index).filter((at) => at - from < 60_000).length;
          expect(within).toBeLessThanOrEqual(2 * perMinute);
        }
        expect(passed.length).toBeGreaterThanOrEqual(Math.min(perMinute, gaps.length));
      }),
    );
  });

  it('says how long to wait: not a moment before is there a place, and then there is', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 0, max: 300 }), (perMinute, extra) => {
        const limiter = new Limiter(10);
        const rate = { burst: perMinute, perMinute };
        for (let n = 0; n < perMinute; n++) expect(limiter.take('key', rate, 0)).toBe(0);
        const waitMs = limiter.take('key', rate, extra);
        if (waitMs === 0) return;
        expect(limiter.wait('key', rate, extra)).toBe(waitMs);
        const early = waitMs - 60_000 / perMinute / 100;
        if (early > 0) expect(limiter.take('key', rate, extra + early)).toBeGreaterThan(0);
        expect(limiter.take('key', rate, extra + waitMs)).toBe(0);
      }),
    );
  });

  it('is that of one key alone, and forgets the longest idle one rather than grow', () => {
    const limiter = new Limiter(2);
    const rate = { burst: 1, perMinute: 1 };
    expect(['a', 'b', 'a'].map((key) => limiter.take(key, rate, 0) === 0)).toEqual([true, true, false]);
    limiter.take('c', rate, 0);
    expect(limiter.take('b', rate, 0)).toBe(0);
  });
});

describe('a record', () => {
  const secret = fc.stringMatching(/^[\w-]{8,40}$/);

  it('has no credential in it, wherever else in the request the same text stands', () => {
    fc.assert(
      fc.property(
        secret,
        fc.constantFrom('authorization', 'x-api-key', 'cookie', 'x-gitlab-token', 'x-own'),
        fc.constantFrom('token', 'api_key', 'own', 'Access-Key'),
        (value, header, parameter) => {
          const { path, headers } = withoutCredentials(
            `/api/inbound/a/${value}`,
            `n=1&${parameter}=${encodeURIComponent(value)}&copy=${value}`,
            { [header]: header === 'cookie' ? `sid=${value}; b=c` : `Bearer ${value}`, 'x-copy': `<${value}>` },
            { headers: new Set(['x-own']), query: new Set(['own']) },
          );
          expect(`${path} ${JSON.stringify(headers)}`).not.toContain(value);
          expect(path).toContain(`?n=1&${parameter}=${MASK}`);
          expect(headers[header]).toBe(MASK);
        },
      ),
    );
  });

  it('is text that PostgreSQL takes, whatever was sent', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.dictionary(fc.string(), fc.string({ unit: 'binary' })),
        (text, headers) => {
          const record = withoutCredentials(text, text, headers, { headers: new Set(), query: new Set() });
          for (const one of [record.path, ...Object.values(record.headers)]) {
            expect(one.isWellFormed() && !one.includes('\0')).toBe(true);
          }
        },
      ),
    );
  });

  it('knows credentials by the names that they usually have', () => {
    const usual = ['x-jwt', 'x-goog-iap-jwt-assertion', 'authentication', 'x-auth', 'auth', 'pwd', 'key', 'x-api-key'];
    expect(usual.filter((name) => !isCredentialName(name))).toEqual([]);
    const query = usual.map((name) => `${name}=in%20clear`).join('&');
    const none = { headers: new Set<string>(), query: new Set<string>() };
    expect(withoutCredentials('/', query, {}, none).path).not.toContain('clear');
    const harmless = ['x-author', 'x-event-key', 'x-request-id', 'authored-by', 'monkey'];
    expect(harmless.filter(isCredentialName)).toEqual([]);
  });

  it('keeps what only makes requests idempotent', () => {
    expect(['I-Twilio-Idempotency-Token', 'Idempotency-Key'].filter(isCredentialName)).toEqual([]);
  });
});

it('JSON is too deep from 501 levels on, however it is spelt', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 480, max: 520 }),
      fc.constantFrom<[string, string]>(['[', ']'], ['{"a":', '}'], [' [ ', '\n]'], ['{"]\\"[":', '}']),
      fc.jsonValue(),
      (levels, [open, close], inner) => {
        const before = levels - 1;
        const text = `${open.repeat(before)}[${JSON.stringify(JSON.stringify(inner))}]${close.repeat(before)}`;
        expect(typeof JSON.parse(text)).toBe('object');
        expect(isTooDeep(Buffer.from(text))).toBe(levels > 500);
      },
    ),
  );
});

it('a slug made of a name is one, and so is it with a number behind it', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 120 }),
      fc.integer({ min: 2, max: 999_999_999 }),
      (name, n) => {
        for (const slug of [slugOf(name), numberedSlug(slugOf(name), n)]) {
          expect(slug).toMatch(/^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/);
        }
        expect(numberedSlug(slugOf(name), n).endsWith(`-${n}`)).toBe(true);
      },
    ),
  );
});

it('an allowlist compares trimmed and in lower case, and has nothing without a type', () => {
  const events = new Set(['order.paid']);
  expect(['order.paid', ' Order.PAID\n'].every((type) => isLetThrough(events, type))).toBe(true);
  expect([null, '', 'order', 'order.paid.twice'].some((type) => isLetThrough(events, type))).toBe(false);
  expect(isLetThrough(new Set(), null)).toBe(true);
  const wild = new Set(['order.*', 'refund']);
  expect(['order.paid', 'Order.Paid.twice', 'refund'].every((type) => isLetThrough(wild, type))).toBe(true);
  expect([null, '', 'order', 'orders.paid', 'refund.paid'].some((type) => isLetThrough(wild, type))).toBe(false);
  expect(isLetThrough(new Set(['*']), 'anything')).toBe(true);
  expect(isLetThrough(new Set(['*']), null)).toBe(false);
});

it('a path is an address, could be nobody’s, or is none', () => {
  const uuid = newId();
  expect(addressOf('/api/inbound/a/b-1', 'first')).toEqual({ tenantSlug: 'a', slug: 'b-1' });
  expect(addressOf(`/api/v1/webhooks/receive/${encodeId('inboundWebhook', uuid)}`, 'first')).toEqual({ id: uuid });
  expect(addressOf('/api/v1/webhooks/linear', 'first')).toEqual({ tenantSlug: 'first', slug: 'linear' });
  for (const path of [
    '/api/inbound/A/b',
    '/api/inbound/a/b%2fc',
    `/api/v1/webhooks/receive/${encodeId('webhook', uuid)}`,
  ]) {
    expect(addressOf(path, 'first'), path).toBeNull();
  }
  for (const path of ['/api/inbound/a', '/api/inbound/a/', '/api/inbound/a/b/', '/api/v1/webhooks/receive/', '/x']) {
    expect(addressOf(path, 'first'), path).toBeUndefined();
  }
});

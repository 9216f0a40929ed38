import { createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { hmacOf } from '../src/domain/inbound/verification/hmac.ts';
import type { HmacAlgorithm } from '../src/domain/inbound/verification/hmac.ts';

const ALGORITHMS: readonly HmacAlgorithm[] = ['SHA1', 'SHA256', 'SHA512'];

const nodes = (algorithm: HmacAlgorithm, key: Buffer, chunks: readonly (Buffer | string)[]): string => {
  const hmac = createHmac(algorithm.toLowerCase(), key);
  for (const chunk of chunks) hmac.update(chunk);
  return hmac.digest('hex');
};

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));

test('an HMAC is the one that Node makes, whatever key and chunks, and whatever was hashed before', () => {
  const chunks = fc.array(fc.oneof(bytes(300), fc.string({ unit: 'binary', maxLength: 80 }), fc.string()), {
    maxLength: 6,
  });
  fc.assert(
    fc.property(
      fc.constantFrom(...ALGORITHMS),
      bytes(300),
      fc.array(chunks, { maxLength: 3 }),
      (algorithm, key, all) => {
        const digestOf = hmacOf(algorithm, key);
        for (const one of all) expect(digestOf(one).toString('hex')).toBe(nodes(algorithm, key, one));
      },
    ),
  );
});

test.each(ALGORITHMS)('with %s, at every length of key and content where something else begins', (algorithm) => {
  for (const keyLength of [0, 1, 63, 64, 65, 127, 128, 129]) {
    const key = Buffer.alloc(keyLength, 7);
    const digestOf = hmacOf(algorithm, key);
    for (const length of [0, 1, 65_535, 65_536, 65_537, 65_599, 65_600, 65_601, 65_664, 65_665, 200_000]) {
      const content = [Buffer.alloc(length, 'ab'), 'é'];
      expect(digestOf(content).toString('hex')).toBe(nodes(algorithm, key, content));
    }
  }
});

test('a digest stays what it is when the next one is made', () => {
  const digestOf = hmacOf('SHA256', Buffer.from('key'));
  const first = digestOf(['one']);
  const before = first.toString('hex');
  digestOf(['two']);
  expect(first.toString('hex')).toBe(before);
});

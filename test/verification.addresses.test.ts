import { BlockList, isIP, isIPv4 } from 'node:net';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { isWithin, parseNetwork } from '../src/platform/networks.ts';
import { parseAuth } from '../src/domain/inbound/verification/auth.ts';
import { hashSecret } from '../src/domain/inbound/verification/secretForm.ts';
import { compileVerifier } from '../src/domain/inbound/verification/verifier.ts';
import { inboundRequest } from './harness/inboundRequest.ts';

const familyOf = (address: string) => (isIPv4(address) ? 'ipv4' : 'ipv6');

/** IPv4 in IPv6 is IPv4 here, which the next test is about. */
const isMapped = (address: string): boolean =>
  !isIPv4(address) && /^\[::ffff:[\da-f]+:[\da-f]+\]$/.test(new URL(`http://[${address}]`).hostname);

/** Addresses, half of them a few bits away from the other. */
const pair = fc.oneof(
  fc.tuple(fc.ipV4(), fc.ipV4()),
  fc.tuple(fc.ipV6(), fc.ipV6()),
  fc.tuple(fc.ipV4(), fc.ipV6()),
  fc.tuple(fc.array(fc.nat({ max: 255 }), { minLength: 4, maxLength: 4 }), fc.nat({ max: 31 })).map(([bytes, bit]) => {
    const near = bytes.with(bit >> 3, bytes[bit >> 3]! ^ (1 << (bit & 7)));
    return [bytes.join('.'), near.join('.')] as [string, string];
  }),
  fc
    .tuple(fc.array(fc.nat({ max: 65_535 }), { minLength: 8, maxLength: 8 }), fc.nat({ max: 127 }))
    .map(([words, bit]) => {
      const near = words.with(bit >> 4, words[bit >> 4]! ^ (1 << (bit & 15)));
      const text = (all: number[]) => all.map((word) => word.toString(16)).join(':');
      return [text(words), text(near)] as [string, string];
    }),
);

it("an address is in a network exactly when Node's own list of networks has it", () => {
  let inside = 0;
  fc.assert(
    fc.property(
      pair.filter((both) => !both.some(isMapped)),
      fc.nat({ max: 128 }),
      ([base, address], bits) => {
        const length = isIPv4(base) ? Math.min(bits, 32) : bits;
        const list = new BlockList();
        list.addSubnet(base, length, familyOf(base));
        const network = parseNetwork(`${base}/${length}`);
        expect(network).not.toBeNull();
        const expected = list.check(address, familyOf(address));
        expect(isWithin([network!], address)).toBe(expected);
        expect(isWithin([network!], base)).toBe(true);
        if (expected) inside += 1;
      },
    ),
    { numRuns: 5_000 },
  );
  expect(inside).toBeGreaterThan(500);
});

it('an IPv4 address is the same when it is written as IPv6', () => {
  fc.assert(
    fc.property(fc.ipV4(), fc.nat({ max: 32 }), (address, bits) => {
      const hex = address
        .split('.')
        .map((byte) => Number(byte).toString(16).padStart(2, '0'))
        .join('');
      const mapped = [`::ffff:${address}`, `::ffff:${hex.slice(0, 4)}:${hex.slice(4)}`];
      for (const text of mapped) {
        expect(isWithin([parseNetwork(`${address}/${bits}`)!], text)).toBe(true);
        expect(isWithin([parseNetwork(`${text}/${96 + bits}`)!], address)).toBe(true);
        expect(isWithin([parseNetwork('::/0')!], text)).toBe(false);
        // Wider than what stands for IPv4 it is a network of IPv6, and has no IPv4 address.
        expect(isWithin([parseNetwork(`${text}/${95 - bits}`)!], address)).toBe(false);
      }
    }),
  );
});

it('text that readers take differently is no network, and in none', () => {
  const nonsense = (
    '|localhost|10|10.1|10.0.0|10.0.0.256|010.0.0.1|0x0a.0.0.1|10.0.0.1.1|167772161|10.0.0.0/|10.0.0.0/33|10.0.0.0/-1|' +
    '10.0.0.0/08|10.0.0.0/8/8|10.0.0.0/255.0.0.0|::/129|:::|1::2::3|fe80::1%eth0|[::1]|::1/1e1|10.0.0.0\0|10.0.0.0 /8'
  ).split('|');
  const everything = [parseNetwork('0.0.0.0/0')!, parseNetwork('::/0')!];
  for (const text of nonsense) expect(parseNetwork(text), text).toBeNull();
  for (const text of ['', 'unknown', '10.0.0.256', '010.0.0.1', '[::1]', '10.0.0.1:80', '10.0.0.1%eth0']) {
    expect(isWithin(everything, text), text).toBe(false);
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      if (isIP(text) === 0) expect(isWithin(everything, text)).toBe(false);
      if (!/^[\da-f:.]+(?:\/\d+)?$/i.test(text.trim())) expect(parseNetwork(text)).toBeNull();
    }),
  );
  // A link-local address comes with its interface.
  expect(isWithin([parseNetwork('fe80::/10')!], 'fe80::1%eth0')).toBe(true);
});

it('an allow-list stands alone, or before every other proof and every handshake', () => {
  const cidrs = ['203.0.113.0/24', '2001:db8::/32'];
  const secrets = { keys: ['a key of some length'], hashes: [hashSecret('a token')], verifyToken: null };
  const alone = compileVerifier(parseAuth({ type: 'IP_ALLOWLIST', config: { cidrs } }, null).settings, secrets);
  const beside = compileVerifier(parseAuth({ type: 'BEARER', config: { cidrs } }, null).settings, secrets);
  const dropbox = compileVerifier(parseAuth({ preset: 'dropbox', config: { cidrs } }, null).settings, secrets);
  const url = 'https://hooks.example.com/in?challenge=abc';
  const from = (remoteAddress: string, token = 'a token') =>
    inboundRequest({ method: 'GET', url, remoteAddress, headers: { authorization: `Bearer ${token}` } });
  for (const address of ['203.0.113.7', '::ffff:203.0.113.7', '2001:db8::1']) {
    expect(alone.verify(from(address)).valid).toBe(true);
    expect(beside.verify(from(address)).valid).toBe(true);
    expect(beside.verify(from(address, 'another')).authStatus).toBe('REJECTED_TOKEN');
    expect(dropbox.handshake(from(address))?.body).toBe('abc');
  }
  for (const address of ['203.0.114.7', '::1', '2001:db9::1', '']) {
    expect(alone.verify(from(address)).authStatus).toBe('REJECTED_IP');
    expect(beside.verify(from(address)).authStatus).toBe('REJECTED_IP');
    expect(dropbox.handshake(from(address))).toBeNull();
  }
});

import * as fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { AddressPolicy, addressSet, isGloballyReachable, parseCidrs } from '../src/platform/outbound/addresses.ts';

// First and last address of each refused block, and the neighbours that must stay reachable.
const REFUSED = [
  ['0.0.0.0', '0.255.255.255', 'this network'],
  ['10.0.0.0', '10.255.255.255', 'private'],
  ['100.64.0.0', '100.127.255.255', 'carrier NAT'],
  ['127.0.0.0', '127.255.255.255', 'loopback'],
  ['168.63.129.16', '168.63.129.16', 'Azure host agent'],
  ['169.254.0.0', '169.254.255.255', 'link-local'],
  ['172.16.0.0', '172.31.255.255', 'private'],
  ['192.0.0.0', '192.0.0.255', 'protocol assignments'],
  ['192.0.2.0', '192.0.2.255', 'documentation'],
  ['192.88.99.0', '192.88.99.255', '6to4 relays'],
  ['192.168.0.0', '192.168.255.255', 'private'],
  ['198.18.0.0', '198.19.255.255', 'benchmarks'],
  ['198.51.100.0', '198.51.100.255', 'documentation'],
  ['203.0.113.0', '203.0.113.255', 'documentation'],
  ['224.0.0.0', '239.255.255.255', 'multicast'],
  ['240.0.0.0', '255.255.255.255', 'reserved, broadcast'],
  ['::', '::1', 'unspecified, loopback'],
  ['::7f00:1', '::808:808', 'IPv4-compatible'],
  ['::ffff:127.0.0.1', '::ffff:8.8.8.8', 'IPv4-mapped, whatever is inside'],
  ['::ffff:0:127.0.0.1', '::ffff:0:808:808', 'SIIT'],
  ['64:ff9b::', '64:ff9b::ffff:ffff', 'NAT64'],
  ['64:ff9b:1::', '64:ff9b:1:ffff:ffff:ffff:ffff:ffff', 'local NAT64'],
  ['100::', '100::ffff:ffff:ffff:ffff', 'discard'],
  ['100:0:0:1::', '100:0:0:1::1', 'dummy prefix'],
  ['2001::', '2001:0:ffff:ffff:ffff:ffff:ffff:ffff', 'Teredo'],
  ['2001:2::', '2001:2:0:ffff:ffff:ffff:ffff:ffff', 'benchmarks'],
  ['2001:10::', '2001:2f:ffff:ffff:ffff:ffff:ffff:ffff', 'ORCHID'],
  ['2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff', 'documentation'],
  ['2002::', '2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '6to4'],
  ['2002:7f00:1::', '2002:808:808::', '6to4, whatever is inside'],
  ['3fff::', '3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff', 'documentation'],
  ['5f00::', '5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'SRv6'],
  ['fc00::', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'unique local'],
  ['fe80::', 'febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'link-local'],
  ['fec0::', 'feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'site-local'],
  ['ff00::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'multicast'],
  ['fe80::1%eth0', '2606:4700::1111%eth0', 'zones'],
  ['4000::', 'dfff::1', 'not given out'],
] as const;

const REACHABLE = [
  '1.0.0.0',
  '1.1.1.1',
  '8.8.8.8',
  '9.255.255.255',
  '11.0.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '126.255.255.255',
  '128.0.0.0',
  '168.63.129.15',
  '168.63.129.17',
  '169.253.255.255',
  '169.255.0.0',
  '172.15.255.255',
  '172.32.0.0',
  '191.255.255.255',
  '192.0.1.0',
  '192.31.196.1',
  '192.88.98.255',
  '192.167.255.255',
  '192.169.0.0',
  '198.17.255.255',
  '198.20.0.0',
  '223.255.255.255',
  '2000::1',
  '2001:200::',
  '2001:db7:ffff::1',
  '2001:db9::',
  '2001:4860:4860::8888',
  '2003::',
  '2606:4700::1111',
  '3ffe:ffff::1',
  '3fff:1000::',
];

describe('an address is reachable from everywhere', () => {
  test.each(REFUSED)('but not %s to %s (%s)', (first, last) => {
    expect(isGloballyReachable(first)).toBe(false);
    expect(isGloballyReachable(last)).toBe(false);
  });

  test.each(REACHABLE)('as is %s', (address) => {
    expect(isGloballyReachable(address)).toBe(true);
  });

  test.each(['', 'localhost', '127.1', '0x7f.0.0.1', '010.0.0.1', '1.1.1.1 ', '[::1]', '1.1.1.1/32', '1.1.1.1\0'])(
    'never when it is no address: %j',
    (text) => {
      expect(isGloballyReachable(text)).toBe(false);
    },
  );

  it('with the same answer for every IPv4 address as plain arithmetic on the blocks gives', () => {
    const blocks = REFUSED.filter(([first]) => !first.includes(':')).map(([a, b]) => [ipv4(a), ipv4(b)] as const);
    const near = fc
      .constantFrom(...blocks.flat())
      .chain((edge) => fc.integer({ min: -3, max: 3 }).map((by) => (edge + by + 2 ** 32) % 2 ** 32));
    fc.assert(
      fc.property(fc.oneof(near, fc.integer({ min: 0, max: 2 ** 32 - 1 })), (n) => {
        const refused = blocks.some(([first, last]) => first <= n && n <= last);
        expect(isGloballyReachable(text4(n))).toBe(!refused);
      }),
      { numRuns: 2_000 },
    );
  });

  it('in no spelling of an IPv4 address as an IPv6 one', () => {
    const hex = (n: number): string => `${(n >>> 16).toString(16)}:${(n & 0xffff).toString(16)}`;
    const wraps = [
      (n: number) => `::${text4(n)}`,
      (n: number) => `::ffff:${text4(n)}`,
      (n: number) => `0:0:0:0:0:ffff:${hex(n)}`,
      (n: number) => `::ffff:0:${hex(n)}`,
      (n: number) => `64:ff9b::${text4(n)}`,
      (n: number) => `64:ff9b:1::${text4(n)}`,
      (n: number) => `2002:${hex(n)}::1`,
      (n: number) => `2001:0:${hex(n)}::1`,
    ];
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constantFrom(...wraps), (n, wrap) => {
        expect(isGloballyReachable(wrap(n))).toBe(false);
      }),
    );
  });
});

describe('blocks of addresses', () => {
  it('are read from commas and white space; a single address is a block of one', () => {
    expect(parseCidrs(' 10.0.0.0/8,::1/128\n127.0.0.1, fd00::/8 ')).toEqual({
      cidrs: [
        { address: '10.0.0.0', prefix: 8, family: 'ipv4' },
        { address: '::1', prefix: 128, family: 'ipv6' },
        { address: '127.0.0.1', prefix: 32, family: 'ipv4' },
        { address: 'fd00::', prefix: 8, family: 'ipv6' },
      ],
    });
    expect(parseCidrs('')).toEqual({ cidrs: [] });
  });

  test.each([
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '10.0.0/8',
    'localhost',
    '10.0.0.0/8/8',
    '1.1.1.1/-1',
    '::1%lo/128',
  ])('that nobody can read are named in the error: %s', (piece) => {
    const read = parseCidrs(`127.0.0.0/8, ${piece}`);
    expect(read).toHaveProperty('error', expect.stringContaining(`"${piece}"`));
  });

  it('hold exactly the addresses that share the prefix', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        fc.integer({ min: 0, max: 32 }),
        fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        (base, prefix, other) => {
          const shift = 2 ** (32 - prefix);
          const inside = addressSet(cidrs(`${text4(base)}/${prefix}`));
          expect(inside(text4(other))).toBe(Math.floor(base / shift) === Math.floor(other / shift));
          expect(inside(text4(base))).toBe(true);
        },
      ),
    );
  });
});

describe('the policy', () => {
  const ports = new Set<number>();
  const policy = new AddressPolicy({ allow: cidrs('127.0.0.0/8 10.1.0.0/16 fd00::/8'), ownPorts: () => ports });

  it('tells public, allowed and private addresses apart', () => {
    expect(policy.judge('8.8.8.8', 80)).toBe('public');
    expect(policy.judge('10.1.2.3', 80)).toBe('allowed');
    expect(policy.judge('fd12::1', 80)).toBe('allowed');
    expect(policy.judge('10.2.0.0', 80)).toBe('private');
    expect(policy.judge('::1', 80)).toBe('private');
    expect(policy.judge('', 80)).toBe('private');
  });

  it("never allows hookgraph's own ports, from the moment they are known, except on a public address", () => {
    expect(policy.judge('127.0.0.1', 4000)).toBe('allowed');
    ports.add(4000);
    expect(policy.judge('127.0.0.1', 4000)).toBe('own-port');
    expect(policy.judge('::ffff:127.0.0.1', 4000)).toBe('own-port');
    expect(policy.judge('127.0.0.1', 4001)).toBe('allowed');
    expect(policy.judge('8.8.8.8', 4000)).toBe('public');
    expect(policy.choose(['127.0.0.1', '8.8.8.8'], 4000)).toBe('own-port');
  });

  it('refuses a host when any of its addresses is refused, unless the operator opened another of them', () => {
    expect(policy.choose(['8.8.8.8', '1.1.1.1'], 80)).toEqual(['8.8.8.8', '1.1.1.1']);
    expect(policy.choose(['8.8.8.8', '192.168.0.1'], 80)).toBe('private');
    expect(policy.choose(['127.0.0.1', '::1'], 80)).toEqual(['127.0.0.1']);
    expect(policy.choose(['8.8.8.8', '10.1.0.1', '192.168.0.1'], 80)).toEqual(['10.1.0.1']);
  });
});

function cidrs(text: string): Parameters<typeof addressSet>[0] {
  const read = parseCidrs(text);
  if ('error' in read) throw new Error(read.error);
  return read.cidrs;
}

function ipv4(text: string): number {
  return text.split('.').reduce((n, octet) => n * 256 + Number(octet), 0);
}

function text4(n: number): string {
  return [24, 16, 8, 0].map((shift) => (n >>> shift) & 255).join('.');
}

import * as fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { AddressPolicy, parseCidrs } from '../src/platform/outbound/addresses.ts';
import { checkHeaderName, checkHeaderNames, checkHeaderValue } from '../src/platform/outbound/headers.ts';
import { checkTarget, parseTarget } from '../src/platform/outbound/target.ts';

const closed = policy('');
const open = policy('127.0.0.0/8 ::1/128');

describe('a webhook URL', () => {
  test.each([
    'https://example.com',
    'http://example.com:8080/hooks?x=1#part',
    'https://EXAMPLE.com./',
    'https://8.8.8.8/',
    'https://[2606:4700::1111]:8443/',
    'https://bücher.example/',
    'https://internal-name/',
    'https://example.com/@user',
    'https://localhost.example.com/',
    'https://notlocalhost/',
    `https://example.com/${'x'.repeat(2_048 - 20)}`,
  ])('may be saved: %s', (url) => {
    expect(checkTarget(url, closed)).toBeNull();
  });

  test.each([
    ['', 'not a URL'],
    ['example.com/hooks', 'not a URL'],
    ['http://', 'not a URL'],
    ['http://1.2.3.4.5/', 'not a URL'],
    ['http://exa mple.com/', 'white space'],
    ['http://example.com/\n', 'white space'],
    [' http://example.com/', 'white space'],
    ['http://example.com/\0', 'control'],
    ['ftp://example.com/', 'must start'],
    ['file:///etc/passwd', 'must start'],
    ['javascript:alert(1)', 'must start'],
    ['ws://example.com', 'must start'],
    ['https://user:secret@example.com/', 'user name'],
    ['https://user@example.com/', 'user name'],
    ['https://@example.com/', 'user name'],
    ['https:\\\\@example.com/', 'user name'],
    ['https://example.com:0/', 'Port 0'],
    [`https://example.com/${'x'.repeat(2_048)}`, 'at most 2048'],
  ])('is refused with the reason: %j', (url, reason) => {
    expect(checkTarget(url, closed)).toContain(reason);
  });

  const PRIVATE = [
    'http://127.0.0.1/',
    'http://127.0.0.1./',
    'http://127.1/',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://0x7f000001/',
    'http://0177.0.0.1/',
    'http://017700000001/',
    'http://%31%32%37.0.0.1/',
    'http://①②⑦.⓪.⓪.①/',
    'http://127。0。0。1/',
    'https:127.0.0.1',
    'http:\\\\127.0.0.1\\',
    'http://[::1]/',
    'http://[0:0:0:0:0:0:0:1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::ffff:7f00:1]/',
    'http://localhost/',
    'http://LOCALHOST./',
    'http://a.b.localhost:9999/',
    'http://ｌocalhost/',
  ];
  test.each([...PRIVATE, 'http://0/', 'http://169.254.169.254/', 'http://[fd00::1]/', 'http://[::127.0.0.1]/'])(
    'that leads inside is refused in whatever spelling: %s',
    (url) => {
      expect(checkTarget(url, closed)).toContain('not public');
      expect(checkTarget(url, closed)).toContain('HOOKGRAPH_ALLOW_TARGETS');
    },
  );

  test.each(PRIVATE)('that leads inside is accepted where the operator allows it: %s', (url) => {
    expect(checkTarget(url, open)).toBeNull();
  });

  it('that leads to hookgraph itself is refused even then', () => {
    const own = policy('127.0.0.0/8 ::1', 4000);
    for (const url of ['http://127.0.0.1:4000/', 'http://localhost:4000', 'http://[::ffff:7f00:1]:4000/graphql']) {
      expect(checkTarget(url, own)).toContain('hookgraph itself');
    }
    expect(checkTarget('http://127.0.0.1:4001/', own)).toBeNull();
  });

  it('is refused or is http(s) to a host without user info, whatever the text', () => {
    const part = fc.constantFrom(
      'http',
      'https:',
      '/',
      '\\',
      '@',
      '[',
      ']',
      '127.0.0.1',
      '::1',
      '.',
      '%',
      'a',
      ':',
      '1',
      '#',
      '?',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.webUrl(),
          fc.array(part).map((parts) => parts.join('')),
        ),
        (text) => {
          if (checkTarget(text, closed) !== null) return;
          const target = parseTarget(text)!;
          expect(target.origin).toMatch(/^https?:\/\/[^/@]+$/);
          expect(target.hostname).not.toBe('');
          expect(target.path).toMatch(/^\/[\x21-\x7e]*$/);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('is taken apart once, with the default port and without the fragment', () => {
    expect(parseTarget('https://[2606:4700::1111]/a b?q=ü#f')).toEqual({
      origin: 'https://[2606:4700::1111]',
      secure: true,
      hostname: '2606:4700::1111',
      isLiteral: true,
      port: 443,
      path: '/a%20b?q=%C3%BC',
    });
    expect(parseTarget('http://Example.com.:8080')).toMatchObject({ hostname: 'example.com.', port: 8080, path: '/' });
  });
});

describe('a static header', () => {
  test.each(['Authorization', 'X-Token', 'x', 'Cookie', "!#$%&'*+-.^_`|~09az", 'x-webhook-id'])(
    'may be named %s',
    (name) => {
      expect(checkHeaderName(name, 'X-Alga-')).toBeNull();
    },
  );

  test.each([
    '',
    'x y',
    'x:',
    'x\r\ny',
    'x\0',
    'ü',
    '(x)',
    'x'.repeat(129),
    'Host',
    'CONTENT-LENGTH',
    'content-type',
    'user-agent',
    'connection',
    'Transfer-Encoding',
    'TE',
    'trailer',
    'upgrade',
    'keep-alive',
    'proxy-connection',
    'expect',
    'accept-encoding',
    'Webhook-Signature',
    'webhook-anything',
    'x-alga-signature',
    'X-ALGA-HOPS',
  ])('may not be named %j', (name) => {
    expect(checkHeaderName(name, 'X-Alga-')).not.toBeNull();
  });

  it('respects the configured prefix of the signed headers', () => {
    expect(checkHeaderName('X-Acme-Event', 'X-Acme-')).not.toBeNull();
    expect(checkHeaderName('X-Alga-Event', 'X-Acme-')).toBeNull();
  });

  test.each(['', 'Bearer abc', 'a\tb', '~!"x', 'x'.repeat(4_096)])('may have the value %j', (value) => {
    expect(checkHeaderValue(value)).toBeNull();
  });

  test.each([
    'a\r\nb',
    'a\nb',
    'a\rb',
    'a\0b',
    ' a',
    'a ',
    '\t',
    'é',
    '\x7f',
    'secret\u2028',
    'x'.repeat(4_097),
    'a\n',
  ])('may not have the value %j, and the refusal does not repeat it', (value) => {
    const message = checkHeaderValue(value);
    expect(message).not.toBeNull();
    expect(message).not.toContain('secret');
  });

  it('is there once, and at most twenty of them are', () => {
    const names = Array.from({ length: 20 }, (_, i) => `x-${i}`);
    expect(checkHeaderNames(names, 'X-Alga-')).toBeNull();
    expect(checkHeaderNames([...names, 'x-20'], 'X-Alga-')).toMatchObject({ index: -1 });
    expect(checkHeaderNames(['x-a', 'x-b', 'X-A'], 'X-Alga-')).toMatchObject({ index: 2 });
    expect(checkHeaderNames(['x-a', 'host'], 'X-Alga-')).toMatchObject({ index: 1 });
  });
});

function policy(allow: string, ...ownPorts: number[]): AddressPolicy {
  const read = parseCidrs(allow);
  if ('error' in read) throw new Error(read.error);
  return new AddressPolicy({ allow: read.cidrs, ownPorts: () => new Set(ownPorts) });
}

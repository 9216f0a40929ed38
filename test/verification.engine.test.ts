import { createHash, createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeText } from '../src/domain/inbound/verification/signature.ts';
import { parseTimestamp } from '../src/domain/inbound/verification/timestamp.ts';
import { AT, judge, refused, SECRET, VALID } from './harness/verifier.ts';

const hmac = (text: string, encoding: 'hex' | 'base64' | 'base64url' = 'hex', key = SECRET, hash = 'sha256') =>
  createHmac(hash, key).update(text).digest(encoding);

/** Text that stands between parts without looking like one. */
const plainText = fc.string({ maxLength: 5 }).map((text) => text.replace(/[{}]/g, ''));

describe('signatures', () => {
  it('any scheme of HMAC takes what is signed so, and nothing that differs from it', () => {
    const url = 'https://hooks.example.com/in/%41?a=1&b=%20';
    // The template's parts, each with what it stands for in the request that is made below.
    const tokens = '{body} {timestamp} {id} {method} {url} {path} {query} {header.X-Own} {json.a.b}';
    const part = fc.constantFrom(...tokens.split(' '));
    const scheme = fc.record({
      parts: fc
        .array(fc.oneof(part, plainText), { minLength: 1, maxLength: 6 })
        .filter((all) => all.includes('{body}')),
      algorithm: fc.constantFrom('SHA1', 'SHA256', 'SHA512'),
      encoding: fc.constantFrom('HEX', 'BASE64', 'BASE64URL'),
      prefix: fc.constantFrom('', 'v0=', 'sha256=', 'Signature:'),
      separator: fc.constantFrom(undefined, ',', ' ', '; '),
      value: fc.oneof(fc.string({ unit: 'grapheme' }), fc.integer(), fc.boolean()),
      secret: fc.string({ unit: 'grapheme', minLength: 1 }),
      change: fc.constantFrom('nothing', 'body', 'secret', 'signature', 'algorithm'),
    });
    fc.assert(
      fc.property(scheme, ({ parts, algorithm, encoding, prefix, separator, value, secret, change }) => {
        const body = JSON.stringify({ a: { b: value } });
        const values: Record<string, string> = {
          '{body}': body,
          '{timestamp}': String(AT),
          '{id}': 'msg_1',
          '{method}': 'POST',
          '{url}': url,
          '{path}': '/in/%41',
          '{query}': 'a=1&b=%20',
          '{header.X-Own}': 'own',
          '{json.a.b}': String(value),
        };
        const text = parts.map((one) => values[one] ?? one).join('');
        const used =
          change === 'algorithm' ? { SHA1: 'sha256', SHA256: 'sha512', SHA512: 'sha1' }[algorithm] : algorithm;
        const digest = createHmac(used.toLowerCase(), change === 'secret' ? `${secret}!` : secret)
          .update(text)
          .digest();
        if (change === 'signature') digest[digest.length - 1]! ^= 1;
        const signature = prefix + digest.toString(encoding.toLowerCase() as 'hex');
        const header = separator === undefined ? signature : `zz${separator}${signature}${separator}zz`;
        const config = {
          header: 'X-Sig',
          algorithm,
          encoding,
          prefix,
          separator,
          signedContent: parts.join(''),
          idHeader: 'X-Id',
          timestamp: { in: 'HEADER', name: 'X-Time', unit: 'MILLISECONDS' },
        };
        const headers = { 'x-sig': header, 'x-id': 'msg_1', 'x-time': String(AT), 'x-own': 'own' };
        const sent = { url, headers, body: change === 'body' ? `${body} ` : body };
        const verdict = judge({ type: 'HMAC', config }, sent, [secret]);
        expect(verdict).toEqual(change === 'nothing' ? VALID : refused('REJECTED_SIGNATURE'));
      }),
      { numRuns: 1_000 },
    );
  });

  it('are text of their encoding to the last letter, padded or not', () => {
    const digest = createHmac('sha512', SECRET).update('abc').digest();
    const judged = (encoding: string, signature: string) =>
      judge(
        { type: 'HMAC', config: { header: 'X-Sig', algorithm: 'SHA512', encoding } },
        { headers: { 'x-sig': signature }, body: 'abc' },
      ).valid;
    for (const [encoding, text] of [
      ['HEX', digest.toString('hex')],
      ['HEX', digest.toString('hex').toUpperCase()],
      ['BASE64', digest.toString('base64')],
      ['BASE64', digest.toString('base64').replaceAll('=', '')],
      ['BASE64URL', digest.toString('base64url')],
    ] as const) {
      expect(judged(encoding, text), text).toBe(true);
      for (const wrong of [
        `${text}x`,
        `${text}==x`,
        `${text}\n`.repeat(2),
        `-${text}`,
        `${text.slice(0, 10)}!${text.slice(10)}`,
      ]) {
        expect(judged(encoding, wrong), wrong).toBe(false);
      }
    }
    // 66 bytes fill their groups of four: one letter more is no byte, and is not passed over.
    expect(decodeText('A'.repeat(88), 'BASE64')).toHaveLength(66);
    for (const encoding of ['BASE64', 'BASE64URL'] as const) {
      expect(decodeText(`${'A'.repeat(88)}x`, encoding)).toBeNull();
      expect(decodeText(`${'A'.repeat(88)}x===`, encoding)).toBeNull();
    }
  });

  it('stand in their header between blanks, and a blank header has none', () => {
    const auth = { type: 'HMAC', config: { header: 'X-Sig' } } as const;
    expect(judge(auth, { headers: { 'x-sig': `  ${hmac('abc')}\t` }, body: 'abc' })).toEqual(VALID);
    expect(judge(auth, { headers: { 'x-sig': ' \t ' }, body: 'abc' })).toEqual(refused('REJECTED_NO_AUTH'));
  });

  it('may name their hash where no prefix is configured', () => {
    const bare = { type: 'HMAC', config: { header: 'X-Sig' } } as const;
    const sent = (header: string) => ({ headers: { 'x-sig': header }, body: 'abc' });
    expect(judge(bare, sent(`sha256=${hmac('abc')}`))).toEqual(VALID);
    for (const other of ['md5=', 'sha256:', 'sha256=sha256=', 'v1=']) {
      expect(judge(bare, sent(`${other}${hmac('abc')}`)), other).toEqual(refused('REJECTED_SIGNATURE'));
    }
    const prefixed = { type: 'HMAC', config: { header: 'X-Sig', prefix: 'v1=' } } as const;
    expect(judge(prefixed, sent(`sha256=${hmac('abc')}`))).toEqual(refused('REJECTED_SIGNATURE'));
    expect(judge(prefixed, sent(hmac('abc')))).toEqual(refused('REJECTED_SIGNATURE'));
  });

  it('of the body are those of its bytes, whatever they are', () => {
    const auth = { type: 'HMAC', config: { header: 'X-Sig' } } as const;
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const body = Buffer.from(bytes);
        const signature = createHmac('sha256', SECRET).update(body).digest('hex');
        expect(judge(auth, { headers: { 'x-sig': signature }, body })).toEqual(VALID);
      }),
    );
  });

  it('may stand in the body or the query', () => {
    const body = (signature: string) => JSON.stringify({ 'sig-nature': { value: signature }, data: 'abc' });
    const inBody = { signature: { in: 'BODY', name: '`sig-nature`.value' }, signedContent: '{json.data}' };
    const signature = hmac('abc');
    expect(judge({ type: 'HMAC', config: inBody }, { body: body(signature) })).toEqual(VALID);
    expect(judge({ type: 'HMAC', config: inBody }, { body: body(hmac('abd')) })).toEqual(refused('REJECTED_SIGNATURE'));
    expect(judge({ type: 'HMAC', config: inBody }, { body: 'no json' })).toEqual(refused('REJECTED_NO_AUTH'));
    const inQuery = { signature: { in: 'QUERY', name: 'sig' } };
    const url = (value: string) => `https://hooks.example.com/in?sig=${value}`;
    expect(judge({ type: 'HMAC', config: inQuery }, { url: url(signature), body: 'abc' })).toEqual(VALID);
    expect(judge({ type: 'HMAC', config: inQuery }, { url: url('') })).toEqual(refused('REJECTED_NO_AUTH'));
  });

  it('one of several is enough, of the first sixteen; others may be broken, or of another version', () => {
    const config = { header: 'X-Sig', separator: ',', field: 'v1' };
    const auth = { type: 'HMAC', config } as const;
    const good = `v1=${hmac('abc')}`;
    const bad = `v1=${hmac('other')}`;
    const sent = (header: string) => judge(auth, { headers: { 'x-sig': header }, body: 'abc' });
    for (const header of [good, `${bad},${good}`, `v0=zz, ${good} ,v2=`, `v1=,v1=zz,${good}`, `,,${good},,`]) {
      expect(sent(header), header).toEqual(VALID);
    }
    for (const header of [bad, `v2=${hmac('abc')}`, `x${good}`, `v1=v1=${hmac('abc')}`]) {
      expect(sent(header), header).toEqual(refused('REJECTED_SIGNATURE'));
    }
    expect(sent(`${`${bad},`.repeat(15)}${good}`)).toEqual(VALID);
    expect(sent(`${`${bad},`.repeat(16)}${good}`)).toEqual(refused('REJECTED_SIGNATURE'));
  });

  it('of both secrets are taken while two are valid, and of none where there is none', () => {
    const auth = { type: 'HMAC', config: { header: 'X-Sig' } } as const;
    const sent = (key: string) => ({ headers: { 'x-sig': hmac('abc', 'hex', key) }, body: 'abc' });
    expect(judge(auth, sent('old secret'), ['old secret', 'new secret'])).toEqual(VALID);
    expect(judge(auth, sent('new secret'), ['old secret', 'new secret'])).toEqual(VALID);
    expect(judge(auth, sent('old secret'), ['new secret'])).toEqual(refused('REJECTED_SIGNATURE'));
    expect(judge(auth, sent(''), [])).toEqual(refused('REJECTED_SIGNATURE'));
    expect(judge({ type: 'BEARER' }, { headers: { authorization: 'Bearer x' } }, [])).toEqual(
      refused('REJECTED_TOKEN'),
    );
  });

  it("need what is signed: a request without it is refused, and so is one whose place is an object's or several", () => {
    const auth = { type: 'HMAC', config: { header: 'X-Sig', signedContent: '{json.a}.{header.X-B}' } } as const;
    const sent = (text: string, body: string, b = 'b') =>
      judge(auth, { headers: { 'x-sig': hmac(text), ...(b && { 'x-b': b }) }, body });
    expect(sent('1.b', '{"a":1}')).toEqual(VALID);
    // Missing or null, a field is signed as nothing.
    expect(sent('.b', '{}')).toEqual(VALID);
    expect(sent('.b', '{"a":null}')).toEqual(VALID);
    expect(sent('1.', '{"a":1}', '')).toEqual(refused('REJECTED_SIGNATURE'));
    for (const body of ['{"a":{}}', '{"a":[1]}', 'no json', '[{"a":1},{"a":1}]', '[]']) {
      for (const text of ['.b', '1.b', '[object Object].b']) {
        expect(sent(text, body), body).toEqual(refused('REJECTED_SIGNATURE'));
      }
    }
  });

  it('of a form cover a body that is none only by its hash in a URL that is signed', () => {
    const body = '{"json":true}';
    const url = `https://hooks.example.com/in?bodySHA256=${createHash('sha256').update(body).digest('hex')}`;
    const sent = (signedContent: string, text: string, sentBody = body) =>
      judge(
        { type: 'HMAC', config: { header: 'X-Sig', signedContent } },
        { url, headers: { 'x-sig': hmac(text), 'content-type': 'application/json' }, body: sentBody },
      );
    expect(sent('{url}{form}', url)).toEqual(VALID);
    expect(sent('{url}{form}', url, '{"json":false}')).toEqual(refused('REJECTED_SIGNATURE'));
    expect(sent('{method}{form}', 'POST')).toEqual(refused('REJECTED_SIGNATURE'));
  });
});

describe('timestamps', () => {
  it('are read as seconds, milliseconds and ISO 8601', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_102_444_800_000 }), (time) => {
        const whole = Math.floor(time / 1_000) * 1_000;
        expect(parseTimestamp(String(whole / 1_000), 'SECONDS')).toBe(whole);
        expect(parseTimestamp(String(time), 'MILLISECONDS')).toBe(time);
        const iso = new Date(time).toISOString();
        expect(parseTimestamp(iso, 'ISO8601')).toBe(time);
        expect(parseTimestamp(iso.replace('Z', '+00:00'), 'ISO8601')).toBe(time);
        expect(parseTimestamp(iso.replace(/\.\d+Z/, 'Z'), 'ISO8601')).toBe(whole);
      }),
    );
    expect(parseTimestamp('2026-11-21T09:00:00+02:00', 'ISO8601')).toBe(Date.UTC(2026, 10, 21, 7));
  });

  it('are not what only looks like one', () => {
    const none = ['', ' ', '-1', '+1', '1.5', '1e9', '0x10', 'NaN', 'Infinity', '١٢٣', '1 ', '9'.repeat(20)];
    for (const text of [...none, '2026-11-21T09:00:00Z']) {
      expect(parseTimestamp(text, 'SECONDS'), text).toBeNull();
      expect(parseTimestamp(text, 'MILLISECONDS'), text).toBeNull();
    }
    for (const text of [
      ...none,
      '2026-11-21',
      '2026-11-21T09:00:00',
      '2026-13-01T00:00:00Z',
      'Sat, 21 Nov 2026 09:00 GMT',
    ]) {
      expect(parseTimestamp(text, 'ISO8601'), text).toBeNull();
    }
  });

  const places = [
    ['HEADER', { 'x-t': String(AT / 1_000) }, '{}', ''],
    ['FIELD', {}, '{}', ''],
    ['BODY', {}, `{"x-t":${AT / 1_000}}`, ''],
    ['BODY', {}, `{"x-t":"${AT / 1_000}"}`, ''],
    ['QUERY', {}, '{}', `?x-t=${AT / 1_000}`],
  ] as const;

  it.for(places)('may stand in: %s', ([place, headers, body, query]) => {
    const name = place === 'BODY' ? '`x-t`' : 'x-t';
    const config = { header: 'X-Sig', separator: ',', field: 'v1', timestamp: { in: place, name } };
    const url = `https://hooks.example.com/in${query}`;
    const fields = place === 'FIELD' ? `x-t=${AT / 1_000},` : '';
    const signedAt = (receivedAt: number, given: Record<string, string> = headers, text: string = body) =>
      judge(
        { type: 'HMAC', config: { ...config, toleranceSeconds: 10 } },
        { url, headers: { ...given, 'x-sig': `${fields}v1=${hmac(text)}` }, body: text, receivedAt },
      );
    expect(signedAt(AT + 10_000)).toEqual(VALID);
    expect(signedAt(AT - 10_000)).toEqual(VALID);
    expect(signedAt(AT + 10_001)).toEqual(refused('REJECTED_TIMESTAMP'));
    expect(signedAt(AT - 10_001)).toEqual(refused('REJECTED_TIMESTAMP'));
    // Genuine but without a time, or with none that can be read.
    if (place === 'HEADER') {
      expect(signedAt(AT, {})).toEqual(refused('REJECTED_TIMESTAMP'));
      expect(signedAt(AT, { 'x-t': 'soon' })).toEqual(refused('REJECTED_TIMESTAMP'));
    }
    if (place === 'BODY') expect(signedAt(AT, {}, '{"x-t":{}}')).toEqual(refused('REJECTED_TIMESTAMP'));
  });

  it('tell only who signed rightly that they are wrong', () => {
    const config = { header: 'X-Sig', timestampHeader: 'X-T' };
    const headers = { 'x-sig': hmac('other'), 'x-t': '1' };
    expect(judge({ type: 'HMAC', config }, { headers, body: 'abc' })).toEqual(refused('REJECTED_SIGNATURE'));
  });
});

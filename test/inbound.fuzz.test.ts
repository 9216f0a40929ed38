import { connect } from 'node:net';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTestDatabase } from './harness/database.ts';
import type { TestDatabase } from './harness/database.ts';
import { inboundOf, sign } from './harness/inbound.ts';
import { spawnProgram } from './harness/program.ts';
import type { ProgramProcess } from './harness/program.ts';
import { tenantOf } from './harness/tenant.ts';

let database: TestDatabase;
let program: ProgramProcess;
let paths: string[];

const AUTHS = [
  { type: 'HMAC', config: { header: 'X-Signature' }, secret: 'a secret of the sender' },
  { type: 'HMAC', config: { signature: { in: 'BODY', name: 'a.b[0]' }, signedContent: '{json.a}{form}{url}' } },
  { type: 'STANDARD_WEBHOOKS' },
  { type: 'BEARER' },
  { type: 'BASIC', config: { username: 'u' } },
  { type: 'API_KEY', config: { body: 'a.b' } },
  { type: 'QUERY_TOKEN' },
  { type: 'IP_ALLOWLIST', config: { cidrs: ['127.0.0.1'] } },
  { type: 'IP_ALLOWLIST', config: { cidrs: ['127.0.0.1'], handshake: 'microsoft-graph' } },
  { type: 'IP_ALLOWLIST', config: { cidrs: ['127.0.0.1'], handshake: 'dropbox' } },
  { preset: 'slack', secret: 'a secret of the sender' },
  { preset: 'mailgun', secret: 'a secret of the sender' },
];

beforeAll(async () => {
  database = await createTestDatabase();
  program = await spawnProgram(database.url, { HOOKGRAPH_LOG_LEVEL: 'warn', HOOKGRAPH_MAX_BODY_BYTES: '20000' });
  const inbound = inboundOf(tenantOf(program));
  paths = [];
  for (const auth of AUTHS) {
    const sources = {
      eventTypeSource: { type: 'JSONATA', value: 'a.b' },
      idempotencySource: { type: 'JSONATA', value: '$' },
      rateLimitPerMinute: 60_000,
    };
    const { id, slugUrl, receiveUrl } = await inbound.create({ auth, ...sources });
    await inbound.captureSample(id);
    paths.push(new URL(slugUrl).pathname, new URL(receiveUrl).pathname);
  }
});
afterAll(async () => {
  await program.stop();
  await database.drop();
});

/** Sends bytes as they are; answers the status lines of everything that came back. */
const send = (bytes: Buffer): Promise<number[]> =>
  new Promise((resolve) => {
    let answer = '';
    const socket = connect(Number(new URL(program.url).port), '127.0.0.1', () => socket.end(bytes));
    socket.setTimeout(5_000, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
    socket.on('error', () => undefined); // a request that is cut off is answered by nothing
    socket.on('close', () => resolve([...answer.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => Number(match[1]))));
  });

const methods = fc.constantFrom(
  'POST',
  'PUT',
  'PATCH',
  'GET',
  'HEAD',
  'OPTIONS',
  'DELETE',
  'TRACE',
  'PURGE',
  'QUERY',
  'X',
);
const latin1 = fc.string({
  unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)),
  maxLength: 60,
});
const headerLines = fc.oneof(
  fc.tuple(
    fc.constantFrom(
      'content-type',
      'content-encoding',
      'x-signature',
      'authorization',
      'x-alga-hops',
      'x-forwarded-for',
      'cookie',
      'expect',
      'upgrade',
      'connection',
      '__proto__',
      'constructor',
      'webhook-timestamp',
      'webhook-signature',
      'webhook-id',
      'x-slack-signature',
      'x-slack-request-timestamp',
    ),
    fc.oneof(
      latin1,
      fc.constantFrom(
        'application/x-www-form-urlencoded',
        'multipart/form-data',
        'gzip',
        '100-continue',
        'close',
        'Bearer',
        'Basic Og==',
        'v0=00',
        '99999999999999999999',
        '127.0.0.1, ::1',
      ),
    ),
  ),
  fc.tuple(fc.stringMatching(/^[\w!#$%&'*+.^`|~-]{1,20}$/), latin1),
);
const bodies = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  fc.json({ maxDepth: 5 }).map((text) => Buffer.from(text)),
  fc
    .constantFrom(
      '{"a":{"b":["x"]}}',
      '{"a":{"b":"x"}}',
      '"\\ud800"',
      '{"__proto__":{"a":1}}',
      '{"a":{"b":"\\u0000"}}',
      '[[[',
      '1e999',
      '-0',
      'payload={',
      'payload=%5B1%5D',
      '&&&=',
      '%',
      '\uFEFF{}',
    )
    .map((text) => Buffer.from(text)),
  fc.constantFrom('[', '{"a":').map((text) => Buffer.from(text.repeat(5_000))),
  fc.constant(Buffer.alloc(21_000, 0x20)),
);
const targets = fc.oneof(
  { weight: 6, arbitrary: fc.nat().map((n) => paths[n % paths.length]!) },
  fc.constantFrom(
    '/api/inbound/',
    '/api/inbound/a/b',
    '/api/inbound/default/%00',
    '/api/v1/webhooks/receive/%ff',
    '/api/v1/webhooks/linear',
    '//api/inbound/a/b',
    '*',
    'http://x/api/inbound/a/b',
    'a:1',
  ),
  latin1.map((text) => `/api/inbound/${text.replaceAll(/\s/g, '')}`),
);
const searches = fc.oneof(
  fc.constant(''),
  latin1.map((text) => `?${text.replaceAll(/\s/g, '')}`),
  fc.constantFrom(
    '?validationToken=%00',
    '?validationToken=x',
    '?challenge=%ff',
    '?token=%',
    '?token=a&token=b',
    '?=&=&',
    '?hub.mode=subscribe',
  ),
);

it('no request is answered 500, breaks the process, or is logged as an error', async () => {
  await fc.assert(
    fc.asyncProperty(
      methods,
      targets,
      searches,
      fc.array(headerLines, { maxLength: 8 }),
      bodies,
      fc.constantFrom('length', 'chunked', 'short', 'none', 'both'),
      fc.boolean(),
      async (method, target, search, headers, content, framing, isSigned) => {
        const lines = headers.map(([name, value]) => `${name}: ${value}`);
        if (isSigned) lines.push(`X-Signature: ${sign(content)}`);
        if (framing === 'length' || framing === 'both') lines.push(`Content-Length: ${content.length}`);
        if (framing === 'short') lines.push(`Content-Length: ${content.length + 10}`);
        if (framing === 'chunked' || framing === 'both') lines.push('Transfer-Encoding: chunked');
        const chunked = framing === 'chunked' || framing === 'both';
        const framed = chunked
          ? Buffer.concat([Buffer.from(`${content.length.toString(16)}\r\n`), content, Buffer.from('\r\n0\r\n\r\n')])
          : content;
        const head = `${method} ${target}${search} HTTP/1.1\r\nHost: x\r\n${lines.join('\r\n')}\r\n\r\n`;
        const statuses = await send(Buffer.concat([Buffer.from(head, 'latin1'), framed]));
        expect(statuses.filter((status) => status >= 500)).toEqual([]);
      },
    ),
    { numRuns: 1_500 },
  );
  expect((await fetch(`${program.url}/healthz`)).status).toBe(200);
  expect(program.output()).not.toMatch(/"level":"(warn|error|fatal)"/);
  const { inboundDeliveries } = await program.graphql(
    `{ inboundDeliveries(first: 100) { totalCount nodes { id requestBody requestHeaders requestPath idempotencyKey eventType } } }`,
  );
  expect(inboundDeliveries.totalCount).toBeGreaterThan(50);
  await program.graphql(`{ inboundWebhooks(first: 100) { nodes { samplePayload refusals { count } } } }`);
}, 120_000);

import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, test, vi } from 'vitest';
import { AddressPolicy, parseCidrs } from '../src/platform/outbound/addresses.ts';
import type { Exchange, OutboundRequest } from '../src/platform/outbound/exchange.ts';
import { OutboundError } from '../src/platform/outbound/failures.ts';
import { createSender, type LocalSender } from '../src/platform/outbound/sender.ts';
import { eventually } from './harness/eventually.ts';
import { type RawServer, startRawServer } from './harness/rawServer.ts';

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

const senders: LocalSender[] = [];
const unexpected: unknown[] = [];

beforeEach(() => {
  unexpected.length = 0;
});

afterEach(async () => {
  await Promise.all(senders.splice(0).map((sender) => sender.close()));
  expect(unexpected).toEqual([]);
});

function policy(allow = '127.0.0.0/8', ...ownPorts: number[]): AddressPolicy {
  const read = parseCidrs(allow);
  if ('error' in read) throw new Error(read.error);
  return new AddressPolicy({ allow: read.cidrs, ownPorts: () => new Set(ownPorts) });
}

function sender(options: Partial<Parameters<typeof createSender>[0]> = {}): LocalSender {
  const made = createSender({ policy: policy(), report: (error) => unexpected.push(error), ...options });
  senders.push(made);
  return made;
}

function post(url: string, more: Partial<OutboundRequest> = {}): OutboundRequest {
  return {
    url,
    headers: ['content-type', 'application/json', 'User-Agent', 'hookgraph/0.1.0', 'X-Alga-Event-Id', 'evt_1'],
    body: Buffer.from('{"a":1}'),
    timeoutMs: 5_000,
    verifySsl: true,
    ...more,
  };
}

function sendTo(server: RawServer, more?: Partial<OutboundRequest>, via = sender()): Promise<Exchange> {
  return via.send(post(`http://127.0.0.1:${server.port}/hook`, more));
}

describe('a request', () => {
  it('arrives as given, byte for byte, asking for no compression and keeping the connection', async () => {
    await using server = await startRawServer((socket) => socket.write(OK));
    const exchange = await sender().send(
      post(`http://127.0.0.1:${server.port}/a%20b/?q=1&q=2#fragment`, { method: 'PUT' }),
    );
    expect(exchange).toMatchObject({ responseStatus: 200, error: null, responseTruncated: false, retryAfter: null });
    expect(exchange.responseBody?.toString()).toBe('ok');
    expect(exchange.responseHeaders).toEqual([['content-length', '2']]);
    expect(server.requests[0]?.body).toBe('{"a":1}');
    expect(server.requests[0]?.head.split('\r\n')).toEqual([
      'PUT /a%20b/?q=1&q=2 HTTP/1.1',
      `host: 127.0.0.1:${server.port}`,
      'connection: keep-alive',
      'content-type: application/json',
      'User-Agent: hookgraph/0.1.0',
      'X-Alga-Event-Id: evt_1',
      'accept-encoding: identity',
      'content-length: 7',
    ]);
  });

  it('tells when it began and how long it took', async () => {
    await using server = await startRawServer((socket) => socket.write(OK));
    const before = Date.now();
    const exchange = await sendTo(server);
    expect(exchange.startedAt).toBeGreaterThanOrEqual(before);
    expect(exchange.startedAt).toBeLessThanOrEqual(Date.now());
    expect(Number.isInteger(exchange.durationMs)).toBe(true);
    expect(exchange.durationMs).toBeLessThanOrEqual(Date.now() - before + 1);
  });

  it('shares a connection with those before it, and opens one for each at the same time', async () => {
    await using server = await startRawServer((socket) => socket.write(OK));
    const via = sender();
    for (let i = 0; i < 5; i++) await sendTo(server, {}, via);
    expect(server.sockets).toHaveLength(1);
    await Promise.all(Array.from({ length: 20 }, () => sendTo(server, {}, via)));
    expect(server.sockets).toHaveLength(20);
    expect(via.idle).toEqual({ verifying: 20, unverifying: 0 });
  });

  it('leaves no more than 256 connections of its origin idle behind', async () => {
    await using server = await startRawServer((_, { ofServer }) => {
      if (ofServer === 300) for (const socket of server.sockets) socket.write(OK);
    });
    const via = sender();
    for (const { error } of await Promise.all(Array.from({ length: 300 }, () => sendTo(server, {}, via)))) {
      expect(error).toBeNull();
    }
    expect(via.idle.verifying).toBe(256);
    await eventually(() => expect(server.sockets.filter((socket) => !socket.destroyed)).toHaveLength(256));
  });

  it('is the last on a connection that is older than a minute', async () => {
    await using server = await startRawServer((socket) => socket.write(OK));
    const via = sender();
    await sendTo(server, {}, via);
    const now = performance.now();
    vi.spyOn(performance, 'now').mockImplementation(() => now + 61_000);
    await sendTo(server, {}, via);
    vi.restoreAllMocks();
    expect(via.idle.verifying).toBe(0);
    await sendTo(server, {}, via);
    expect(server.requests.map(({ connection }) => connection)).toEqual([0, 0, 1]);
  });

  it('never goes through a proxy of the environment', async () => {
    await using server = await startRawServer((socket) => socket.write(OK));
    await using proxy = await startRawServer((socket) => socket.write(OK));
    for (const name of ['http_proxy', 'HTTP_PROXY', 'all_proxy']) vi.stubEnv(name, `http://127.0.0.1:${proxy.port}`);
    vi.stubEnv('NODE_USE_ENV_PROXY', '1');
    expect((await sendTo(server)).error).toBeNull();
    vi.unstubAllEnvs();
    expect(proxy.sockets).toHaveLength(0);
  });

  it('that cannot be written is an UNKNOWN failure that is reported once', async () => {
    const reported: unknown[] = [];
    await using server = await startRawServer((socket) => socket.write(OK));
    const exchange = await sendTo(
      server,
      { headers: ['x', 'a\r\nb'] },
      sender({ report: (error) => reported.push(error) }),
    );
    expect(exchange).toMatchObject({ responseStatus: null, error: { code: 'UNKNOWN' } });
    expect(reported).toHaveLength(1);
    expect((await sender().send(post('ftp://example.com'))).error).toMatchObject({ code: 'UNKNOWN' });
  });
});

describe('an answer', () => {
  test.each([
    [200, null],
    [201, null],
    [204, null],
    [299, null],
    [300, 'REDIRECT'],
    [304, 'REDIRECT'],
    [400, 'HTTP_STATUS'],
    [410, 'HTTP_STATUS'],
    [500, 'HTTP_STATUS'],
    [599, 'HTTP_STATUS'],
  ])('with status %i is judged %s', async (status, code) => {
    const body = status === 204 || status === 304 ? '' : 'content-length: 3\r\n';
    await using server = await startRawServer((socket) =>
      socket.write(`HTTP/1.1 ${status} X\r\n${body}\r\n${body && 'abc'}`),
    );
    const exchange = await sendTo(server);
    expect(exchange.responseStatus).toBe(status);
    expect(exchange.error?.code ?? null).toBe(code);
    expect(exchange.responseBody?.toString()).toBe(body && 'abc');
  });

  test.each([301, 302, 303, 307, 308])('that redirects (%i) is not followed', async (status) => {
    await using elsewhere = await startRawServer((socket) => socket.write(OK));
    await using server = await startRawServer((socket) =>
      socket.write(
        `HTTP/1.1 ${status} Moved\r\nlocation: http://127.0.0.1:${elsewhere.port}/\r\ncontent-length: 0\r\n\r\n`,
      ),
    );
    expect((await sendTo(server)).error).toMatchObject({
      code: 'REDIRECT',
      message: expect.stringContaining('never followed'),
    });
    expect(elsewhere.sockets).toHaveLength(0);
  });

  it('has its Retry-After handed on', async () => {
    await using server = await startRawServer((socket) =>
      socket.write('HTTP/1.1 503 Busy\r\nRetry-After: 120\r\ncontent-length: 0\r\n\r\n'),
    );
    expect(await sendTo(server)).toMatchObject({ responseStatus: 503, retryAfter: '120' });
  });

  it('keeps its headers in order, repeated ones too, up to a hundred', async () => {
    const lines = Array.from({ length: 150 }, (_, i) => `Set-Cookie: c${i}=\xe9\r\n`).join('');
    await using server = await startRawServer((socket) =>
      socket.write(`HTTP/1.1 200 OK\r\n${lines}Retry-After: 7\r\ncontent-length: 0\r\n\r\n`, 'latin1'),
    );
    const exchange = await sendTo(server);
    expect(exchange.responseHeaders).toHaveLength(100);
    expect(exchange.responseHeaders?.[99]).toEqual(['set-cookie', 'c99=é']);
    expect(exchange.retryAfter).toBe('7');
  });

  it('of up to 64 KiB is read to its end and cut to 8 KiB, and the connection is used again', async () => {
    const body = 'x'.repeat(64 * 1024);
    await using server = await startRawServer((socket) =>
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 65536\r\n\r\n${body}`),
    );
    const via = sender();
    for (let i = 0; i < 3; i++) {
      const exchange = await sendTo(server, {}, via);
      expect(exchange).toMatchObject({ error: null, responseTruncated: true });
      expect(exchange.responseBody?.toString()).toBe('x'.repeat(8 * 1024));
    }
    expect(server.sockets).toHaveLength(1);
  });

  it('of exactly 8 KiB is whole, in however many pieces', async () => {
    await using server = await startRawServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
      for (let i = 0; i < 64; i++) socket.write(`80\r\n${String(i % 10).repeat(128)}\r\n`);
      socket.write('0\r\n\r\n');
    });
    const exchange = await sendTo(server);
    expect(exchange.responseTruncated).toBe(false);
    expect(exchange.responseBody?.toString()).toBe(
      Array.from({ length: 64 }, (_, i) => String(i % 10).repeat(128)).join(''),
    );
  });

  test.each(['content-length: 70000', 'connection: close\r\ncontent-length: 70000', 'connection: close'])(
    'larger than 64 KiB (%s) is judged by its status, and the connection is cut',
    async (header) => {
      await using server = await startRawServer((socket) =>
        socket.write(`HTTP/1.1 200 OK\r\n${header}\r\n\r\n${'x'.repeat(70_000)}`),
      );
      const via = sender();
      expect(await sendTo(server, {}, via)).toMatchObject({
        error: null,
        responseStatus: 200,
        responseTruncated: true,
      });
      expect(via.idle.verifying).toBe(0);
      await eventually(() => expect(server.sockets[0]?.destroyed).toBe(true));
    },
  );

  it('whose body never ends is judged by its status, and the connection is cut', async () => {
    await using server = await startRawServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
      const pour = (): void => {
        while (!socket.destroyed && socket.write(`1000\r\n${'x'.repeat(4096)}\r\n`));
        if (!socket.destroyed) socket.once('drain', pour);
      };
      pour();
    });
    const exchange = await sendTo(server);
    expect(exchange).toMatchObject({ error: null, responseStatus: 200, responseTruncated: true });
    expect(exchange.responseBody).toHaveLength(8 * 1024);
    await eventually(() => expect(server.sockets[0]?.destroyed).toBe(true));
  });

  test.each([
    [200, null],
    [500, 'HTTP_STATUS'],
  ])('with status %i whose body trickles ends with the deadline', async (status, code) => {
    await using server = await startRawServer((socket) => {
      socket.write(`HTTP/1.1 ${status} X\r\ntransfer-encoding: chunked\r\n\r\n`);
      const timer = setInterval(() => socket.write('1\r\nx\r\n'), 20);
      socket.once('close', () => clearInterval(timer));
    });
    const exchange = await sendTo(server, { timeoutMs: 300 });
    expect(exchange).toMatchObject({ responseStatus: status, responseTruncated: true });
    expect(exchange.error?.code ?? null).toBe(code);
    expect(exchange.durationMs).toBeGreaterThanOrEqual(295);
    await eventually(() => expect(server.sockets[0]?.destroyed).toBe(true));
  });

  it('whose body breaks off is judged by its status', async () => {
    await using server = await startRawServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc', () => socket.resetAndDestroy());
    });
    const exchange = await sendTo(server);
    expect(exchange).toMatchObject({ error: null, responseStatus: 200, responseTruncated: true });
  });

  it('after interim ones is the one that counts', async () => {
    await using server = await startRawServer((socket) =>
      socket.write(`HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n`),
    );
    expect(await sendTo(server)).toMatchObject({ responseStatus: 410, responseHeaders: [['content-length', '0']] });
  });

  test.each([
    ['one header', 'x: ', 'y'.repeat(1_000)],
    ['many headers', '', 'x: y\r\n'.repeat(200)],
  ])('with endless headers (%s) is too large', async (_, start, piece) => {
    await using server = await startRawServer((socket) => pour(socket, `HTTP/1.1 200 OK\r\n${start}`, piece));
    expect(await sendTo(server)).toMatchObject({ responseStatus: null, error: { code: 'RESPONSE_TOO_LARGE' } });
    await eventually(() => expect(server.sockets[0]?.destroyed).toBe(true));
  });

  test.each([
    ['reason phrase', 'HTTP/1.1 200 ', 'y'.repeat(1_000)],
    ['interim answers', '', 'HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n'.repeat(20)],
  ])('with an endless %s is too large', async (_, start, piece) => {
    await using server = await startRawServer((socket) => pour(socket, start, piece));
    expect(await sendTo(server)).toMatchObject({ responseStatus: null, error: { code: 'RESPONSE_TOO_LARGE' } });
    await eventually(() => expect(server.sockets[0]?.destroyed).toBe(true));
  });

  it('with an endless chunk extension is judged by its status and cut', async () => {
    await using server = await startRawServer((socket) =>
      pour(socket, 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;', 'y'.repeat(1_000)),
    );
    expect(await sendTo(server)).toMatchObject({ error: null, responseStatus: 200, responseTruncated: true });
    await eventually(() => expect(server.sockets[0]?.destroyed).toBe(true));
  });

  test.each([
    'HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n',
    'SSH-2.0-OpenSSH_9.9\r\n',
    '\0\0\0\0',
    'HTTP/1.1 999999 X\r\n\r\n',
    'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab',
    'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
  ])('that is not HTTP is a failure that says so: %j', async (bytes) => {
    await using server = await startRawServer((socket) => socket.write(bytes));
    expect((await sendTo(server)).error).toEqual({
      code: 'UNKNOWN',
      message: 'The endpoint answered with something that is not valid HTTP/1.1.',
    });
  });

  it('has a status from 200 to 999, or none: history goes by it, and a receiver can make no more of them', async () => {
    let status = '';
    await using server = await startRawServer((socket) =>
      socket.end(`HTTP/1.1 ${status} X\r\ncontent-length: 0\r\n\r\n`),
    );
    // undici asserts that a status is no smaller than 100.
    const via = sender({ report: () => undefined });
    const kept = async (text: string): Promise<number | null> => {
      status = text;
      return (await sendTo(server, {}, via)).responseStatus;
    };
    for (const text of ['200', '600', '999']) expect(await kept(text), text).toBe(Number(text));
    for (const text of ['0', '000', '099', '199', '20', '2e2', '1000', '99999', '-200', '65736', '4294967496']) {
      expect(await kept(text), text).toBeNull();
    }
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.integer().map(String), fc.string({ maxLength: 6 })), async (text) => {
        const found = await kept(text);
        expect(found === null || (Number.isInteger(found) && found >= 200 && found <= 999)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  it('of any bytes whatever ends the exchange, and the sender goes on', async () => {
    let bytes = Buffer.alloc(0);
    await using server = await startRawServer((socket) => socket.end(bytes));
    const reported: unknown[] = [];
    const via = sender({ report: (error) => reported.push(error) });
    const piece = fc.oneof(
      fc.constantFrom(
        'HTTP/1.1 ',
        '200 ',
        '103 x\r\n\r\n',
        '404',
        '\r\n',
        '\r\n\r\n',
        ': ',
        'content-length: 5',
        'transfer-encoding: chunked',
      ),
      fc.constantFrom('connection: close', '5\r\nhello\r\n', '0\r\n\r\n', '\0', 'retry-after: 1', 'x', '\xff\xfe'),
      fc.string({ maxLength: 5 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 12 }), fc.boolean(), async (pieces, proper) => {
        bytes = Buffer.from((proper ? 'HTTP/1.1 200 OK\r\n' : '') + pieces.join(''), 'latin1');
        const exchange = await sendTo(server, { timeoutMs: 2_000 }, via);
        expect(exchange.error === null).toBe(
          exchange.responseStatus !== null && Math.trunc(exchange.responseStatus / 100) === 2,
        );
        expect(exchange.responseHeaders === null).toBe(exchange.responseStatus === null);
      }),
      { numRuns: 150 },
    );
    bytes = Buffer.from(OK);
    expect((await sendTo(server, {}, via)).error).toBeNull();
    expect(reported).toEqual([]);
  });
});

describe('an endpoint', () => {
  it('that never answers is a timeout after the given time, and its connection is cut', async () => {
    await using server = await startRawServer(() => {});
    const exchange = await sendTo(server, { timeoutMs: 200 });
    expect(exchange).toMatchObject({ responseStatus: null, responseHeaders: null, responseBody: null });
    expect(exchange.error).toEqual({ code: 'TIMEOUT', message: expect.stringContaining('within 0.2 s') });
    expect(exchange.durationMs).toBeGreaterThanOrEqual(195);
    expect(exchange.durationMs).toBeLessThan(2_000);
    await eventually(() => expect(server.sockets[0]?.destroyed).toBe(true));
  });

  it('whose name is never resolved is a timeout that says it was not reached', async () => {
    const exchange = await sender({ resolve: () => new Promise(() => {}) }).send(
      post('http://hang.test/', { timeoutMs: 100 }),
    );
    expect(exchange.error).toEqual({ code: 'TIMEOUT', message: expect.stringContaining('No connection') });
  });

  it('that hangs delays nobody else, not even behind the same origin', async () => {
    await using server = await startRawServer((socket, { ofServer }) => {
      if (ofServer > 300) socket.write(OK);
    });
    const via = sender({
      resolve: (name) => (name === 'hang.test' ? new Promise(() => {}) : Promise.resolve(['127.0.0.1'])),
    });
    const hanging = Array.from({ length: 300 }, () => sendTo(server, {}, via));
    hanging.push(...Array.from({ length: 300 }, () => via.send(post('http://hang.test/'))));
    await eventually(() => expect(server.requests).toHaveLength(300));
    expect(await Promise.race([sendTo(server, {}, via), ...hanging])).toMatchObject({ responseStatus: 200 });
    await via.close();
    for (const exchange of await Promise.all(hanging)) expect(exchange.error).not.toBeNull();
  });

  it('that nobody listens at refuses the connection', async () => {
    const server = await startRawServer(() => {});
    await server[Symbol.asyncDispose]();
    expect((await sendTo(server)).error).toMatchObject({ code: 'CONNECTION_REFUSED' });
  });

  it('whose name does not exist is a DNS failure', async () => {
    const resolve = () => Promise.reject(new OutboundError('DNS', 'The host name of the URL does not exist.'));
    const exchange = await sender({ resolve }).send(post('http://none.test/'));
    expect(exchange.error).toEqual({ code: 'DNS', message: 'The host name of the URL does not exist.' });
    const none = await sender({ resolve: () => Promise.resolve([]) }).send(post('http://none.test/'));
    expect(none.error).toMatchObject({ code: 'DNS' });
  });

  test.each([
    ['resets', (socket: { resetAndDestroy(): unknown }) => socket.resetAndDestroy()],
    ['ends', (socket: { end(): unknown }) => socket.end()],
  ])('that %s a new connection without an answer is asked once', async (_, hangUp) => {
    await using server = await startRawServer(hangUp);
    expect((await sendTo(server)).error).toMatchObject({ code: 'CONNECTION_RESET' });
    expect(server.requests).toHaveLength(1);
  });

  test.each([
    ['resets', (socket: { resetAndDestroy(): unknown }) => socket.resetAndDestroy()],
    ['ends', (socket: { end(): unknown }) => socket.end()],
  ])('that %s a kept connection just as a request comes gets it again on a new one', async (_, hangUp) => {
    await using server = await startRawServer((socket, { ofConnection }) => {
      if (ofConnection === 1) socket.write(OK);
      else hangUp(socket);
    });
    const via = sender();
    await sendTo(server, {}, via);
    expect((await sendTo(server, { body: Buffer.from('again') }, via)).error).toBeNull();
    expect(server.requests.map(({ body, connection }) => [body, connection])).toEqual([
      ['{"a":1}', 0],
      ['again', 0],
      ['again', 1],
    ]);
  });

  it('that then hangs up on the new connection too is not asked a third time', async () => {
    await using server = await startRawServer((socket, { ofServer }) => {
      if (ofServer === 1) socket.write(OK);
      else socket.resetAndDestroy();
    });
    const via = sender();
    await sendTo(server, {}, via);
    expect((await sendTo(server, {}, via)).error).toMatchObject({ code: 'CONNECTION_RESET' });
    expect(server.requests).toHaveLength(3);
  });

  it('that hangs up in the middle of an answer on a kept connection is not asked again', async () => {
    await using server = await startRawServer((socket, { ofConnection }) => {
      if (ofConnection === 1) socket.write(OK);
      else socket.write('HTTP/1.1 2', () => socket.resetAndDestroy());
    });
    const via = sender();
    await sendTo(server, {}, via);
    expect((await sendTo(server, {}, via)).error?.code).toBe('CONNECTION_RESET');
    expect(server.requests).toHaveLength(2);
  });

  it('that closes after each answer costs a connection each, and keeps none', async () => {
    await using server = await startRawServer((socket) => socket.end(`HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok`));
    const via = sender();
    for (let i = 0; i < 5; i++) expect((await sendTo(server, {}, via)).error).toBeNull();
    expect(server.requests).toHaveLength(5);
    await eventually(() => expect(via.idle.verifying).toBe(0));
  });

  it('that was idle for as long as it asked for is let go', async () => {
    await using server = await startRawServer((socket) =>
      socket.write('HTTP/1.1 200 OK\r\nkeep-alive: timeout=3\r\ncontent-length: 0\r\n\r\n'),
    );
    const via = sender();
    await sendTo(server, {}, via);
    expect(via.idle.verifying).toBe(1);
    await eventually(() => expect(server.sockets[0]?.destroyed).toBe(true));
    await eventually(() => expect(via.idle.verifying).toBe(0));
  });

  it('that says something on an idle connection loses it', async () => {
    await using server = await startRawServer((socket) => socket.write(OK));
    const via = sender();
    await sendTo(server, {}, via);
    server.sockets[0]?.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil');
    await eventually(() => expect(via.idle.verifying).toBe(0));
    expect((await sendTo(server, {}, via)).responseBody?.toString()).toBe('ok');
  });
});

describe('an address that is not public', () => {
  test.each([
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f.1',
    '017700000001',
    '[::ffff:127.0.0.1]',
    '[::1]',
    'localhost',
    'x.localhost.',
  ])('is never connected to: %s', async (host) => {
    await using server = await startRawServer((socket) => socket.write(OK));
    const exchange = await sender({ policy: policy('') }).send(post(`http://${host}:${server.port}/`));
    expect(exchange.error).toEqual({
      code: 'BLOCKED_ADDRESS',
      message: expect.stringContaining('HOOKGRAPH_ALLOW_TARGETS'),
    });
    expect(exchange.error?.message).not.toContain('127');
    expect(server.sockets).toHaveLength(0);
  });

  test.each(['127.0.0.1', '127.1', '0x7f.1', 'localhost', 'x.localhost.', 'LOCALHOST'])(
    'is where the operator allowed it: %s',
    async (host) => {
      await using server = await startRawServer((socket) => socket.write(OK));
      expect((await sender().send(post(`http://${host}:${server.port}/`))).error).toBeNull();
    },
  );

  it('of IPv6 is reached likewise', async ({ skip }) => {
    skip(
      !Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1')),
      'no IPv6 here',
    );
    await using server = await startRawServer((socket) => socket.write(OK), { host: '::1' });
    const via = sender({ policy: policy('::1') });
    expect((await via.send(post(`http://[::1]:${server.port}/`))).error).toBeNull();
    expect(server.requests[0]?.head).toContain(`host: [::1]:${server.port}`);
  });

  it("is not connected to on hookgraph's own port, whatever is allowed", async () => {
    await using server = await startRawServer((socket) => socket.write(OK));
    const via = sender({ policy: policy('0.0.0.0/0 ::/0', server.port) });
    for (const host of ['127.0.0.1', 'localhost', '[::ffff:127.0.0.1]']) {
      const exchange = await via.send(post(`http://${host}:${server.port}/`));
      expect(exchange.error).toMatchObject({ code: 'BLOCKED_ADDRESS', message: expect.stringContaining('itself') });
    }
    expect(server.sockets).toHaveLength(0);
  });

  it('hidden among public ones refuses the name', async () => {
    await using server = await startRawServer((socket) => socket.write(OK));
    const via = sender({ policy: policy(''), resolve: () => Promise.resolve(['8.8.8.8', '127.0.0.1']) });
    expect((await via.send(post(`http://mixed.test:${server.port}/`))).error).toMatchObject({
      code: 'BLOCKED_ADDRESS',
    });
    expect(server.sockets).toHaveLength(0);
  });

  it('that a name turns to after it was fine (DNS rebinding) is not connected to', async () => {
    const answer = 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n';
    await using server = await startRawServer((socket) => socket.end(answer), { host: '127.0.0.2' });
    await using inside = await startRawServer((socket) => socket.end(answer));
    const answers = [['127.0.0.2'], ['127.0.0.1'], ['169.254.169.254'], ['127.0.0.2']];
    const via = sender({ policy: policy('127.0.0.2'), resolve: () => Promise.resolve(answers.shift()!) });
    const codes: (string | null)[] = [];
    for (let i = 0; i < 4; i++)
      codes.push((await via.send(post(`http://rebind.test:${server.port}/`))).error?.code ?? null);
    expect(codes).toEqual([null, 'BLOCKED_ADDRESS', 'BLOCKED_ADDRESS', null]);
    expect(server.requests[0]?.head).toContain(`host: rebind.test:${server.port}`);
    expect(inside.sockets).toHaveLength(0);
  });

  it('is noticed even when a connection ended up there unchecked, before a byte is sent', async () => {
    class Blind extends AddressPolicy {
      override choose(addresses: readonly string[]): readonly string[] {
        return addresses;
      }
    }
    let bytes = 0;
    const server = createServer((socket) => socket.on('data', (chunk) => (bytes += chunk.length)));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    for (const scheme of ['http', 'https']) {
      const via = sender({ policy: new Blind({ allow: [], ownPorts: () => new Set() }) });
      expect((await via.send(post(`${scheme}://127.0.0.1:${port}/`))).error).toMatchObject({ code: 'BLOCKED_ADDRESS' });
    }
    await new Promise((resolve) => server.close(resolve));
    expect(bytes).toBe(0);
  });

  it('that is dead does not hide another of the same name that lives', async () => {
    await using server = await startRawServer((socket) => socket.write(OK), { host: '127.0.0.2' });
    const via = sender({ resolve: () => Promise.resolve(['127.0.0.3', '127.0.0.2']) });
    expect((await via.send(post(`http://two.test:${server.port}/`))).error).toBeNull();
  });
});

describe('an exchange', () => {
  it('ends when the sender is closed, with all connections, and none begins after', async () => {
    await using server = await startRawServer((socket, { ofServer }) => {
      if (ofServer === 1) socket.write(OK);
    });
    const via = sender();
    await sendTo(server, {}, via);
    const running = [sendTo(server, {}, via), sendTo(server, {}, via), via.send(post('http://127.0.0.1:1/'))];
    await eventually(() => expect(server.requests).toHaveLength(3));
    await via.close();
    for (const exchange of await Promise.all(running)) expect(exchange.error).not.toBeNull();
    expect((await sendTo(server, {}, via)).error).toMatchObject({ code: 'UNKNOWN' });
    await eventually(() => expect(server.sockets.every((socket) => socket.destroyed)).toBe(true));
  });
});

/** Writes a start and then the same piece for ever. */
function pour(socket: RawServer['sockets'][number], start: string, piece: string): void {
  socket.write(start);
  const more = (): void => {
    while (!socket.destroyed && socket.write(piece));
    if (!socket.destroyed) socket.once('drain', more);
  };
  more();
}

import { once } from 'node:events';
import { Agent, get, request, type IncomingMessage, type RequestOptions } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { createHttpServer, sendJson, type HttpServer, type HttpServerOptions } from '../src/platform/httpServer.ts';
import { createLogger } from '../src/platform/logs.ts';
import { createMetrics } from '../src/platform/metrics.ts';
import { StartupError } from '../src/platform/startupError.ts';

let opened: HttpServer[] = [];
let logged: string[] = [];
afterEach(async () => {
  await Promise.all(opened.map(async (server) => await server.close(0)));
  opened = [];
  logged = [];
});

/** A server on a free port of loopback that is closed after the test. */
async function start(
  options: Partial<HttpServerOptions> = {},
): Promise<{ http: HttpServer; url: string; port: number }> {
  const http = createHttpServer({
    routes: [],
    ready: async () => [],
    metrics: createMetrics(),
    log: createLogger({ logLevel: 'info' }, { write: (line) => void logged.push(line) }),
    ...options,
  });
  opened.push(http);
  const { url, port } = await http.listen(0, '127.0.0.1');
  return { http, url, port };
}

/** An answer, read to its end. */
async function answer(url: string, options: RequestOptions = {}): Promise<{ response: IncomingMessage; body: string }> {
  const sent = get(url, options);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const chunks = await response.setEncoding('utf8').toArray();
  return { response, body: chunks.join('') };
}

/** A promise with its resolver, to hold a handler until the test lets it go. */
function gate(): { opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

/** Everything that arrives on a raw connection until the other side ends it. */
async function exchange(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.setEncoding('utf8').write(text);
  const chunks = (await socket.toArray()) as string[];
  return chunks.join('');
}

describe('the addresses of every process', () => {
  test('/healthz is 200 as long as the process lives, ready or not', async () => {
    const { url } = await start({ ready: async () => ['no database'] });
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
  });

  test('/readyz is 200, or 503 with the reasons', async () => {
    let reasons: string[] = [];
    const { url } = await start({ ready: async () => reasons });
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    reasons = ['no database'];
    const response = await fetch(`${url}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({ ready: false, reasons: ['no database'] });
  });

  test('/readyz is 503 within seconds when the check fails or hangs', async () => {
    const failing = await start({ ready: async () => await Promise.reject(new Error('hunter2')) });
    const failed = await fetch(`${failing.url}/readyz`);
    expect([failed.status, await failed.text()]).toEqual([503, expect.not.stringContaining('hunter2')]);
    const hanging = await start({ ready: async () => await new Promise(() => {}) });
    expect((await fetch(`${hanging.url}/readyz`)).status).toBe(503);
  });

  test('/metrics counts requests by route, method and status', async () => {
    const { url } = await start({
      routes: [{ prefix: '/api/inbound/', handler: (_request, response) => sendJson(response, 202, {}) }],
    });
    await fetch(`${url}/api/inbound/a/b`, { method: 'POST' });
    await fetch(`${url}/api/inbound/c/d`, { method: 'POST' });
    await fetch(`${url}/no/such`);
    const response = await fetch(`${url}/metrics`);
    expect(response.headers.get('content-type')).toContain('text/plain');
    const text = await response.text();
    expect(text).toContain('hookgraph_http_requests_total{route="/api/inbound/",method="POST",status="202"} 2');
    expect(text).toContain('hookgraph_http_requests_total{route="none",method="GET",status="404"} 1');
    expect(text).toContain('process_cpu_seconds_total');
  });

  test('they are read only', async () => {
    const { url } = await start();
    const response = await fetch(`${url}/healthz`, { method: 'POST' });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });
});

describe('routing', () => {
  const named = (name: string) => (_request: IncomingMessage, response: Parameters<typeof sendJson>[0]) =>
    sendJson(response, 200, name);

  test('an exact path goes first, then the longest prefix; the query plays no part', async () => {
    const { url } = await start({
      routes: [
        { prefix: '/a/', handler: named('short') },
        { prefix: '/a/b/', handler: named('long') },
        { path: '/a/b/c', handler: named('exact') },
      ],
    });
    const ask = async (path: string): Promise<unknown> => await (await fetch(url + path)).json();
    expect(await ask('/a/x')).toBe('short');
    expect(await ask('/a/b/x?y=/a/b/c')).toBe('long');
    expect(await ask('/a/b/c?x')).toBe('exact');
  });

  test('an unknown address is 404 with JSON', async () => {
    const { url } = await start({ routes: [{ path: '/a', handler: named('a') }] });
    const response = await fetch(`${url}/a/`);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ error: { code: 'NOT_FOUND' } });
  });

  test('an absolute request target is understood', async () => {
    const { port } = await start();
    const text = await exchange(
      port,
      'GET http://x.example/healthz?a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    );
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
  });
});

describe('a handler that fails', () => {
  test('is answered 500 without its reason, and logged once, without the query', async () => {
    const { url } = await start({
      routes: [{ path: '/a', handler: async () => await Promise.reject(new Error('hunter2')) }],
    });
    const response = await fetch(`${url}/a?token=t0ken`);
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('hunter2');
    expect(logged).toHaveLength(1);
    expect(logged[0]).toContain('hunter2');
    expect(logged[0]).not.toContain('t0ken');
  });

  test('amid its answer has the connection cut, and the server goes on', async () => {
    const { url } = await start({
      routes: [
        {
          path: '/a',
          handler: (_request, response) => {
            response.writeHead(200, { 'Content-Length': 100 });
            response.write('half');
            throw new Error('broken');
          },
        },
      ],
    });
    await expect(fetch(`${url}/a`).then(async (response) => await response.text())).rejects.toThrow();
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
  });
});

test('oversized headers are refused, and the server goes on', async () => {
  const { url, port } = await start();
  const text = await exchange(port, `GET /healthz HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(20_000)}\r\n\r\n`);
  expect(text).toMatch(/^HTTP\/1\.1 431 /);
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
});

describe('listening', () => {
  test('on a port in use fails with one line that names it', async () => {
    const { port } = await start();
    const second = createHttpServer({
      routes: [],
      ready: async () => [],
      metrics: createMetrics(),
      log: createLogger({ logLevel: 'silent' }),
    });
    const error = await second.listen(port, '127.0.0.1').catch((error: unknown) => error);
    expect(error).toBeInstanceOf(StartupError);
    expect((error as StartupError).lines).toEqual([expect.stringContaining(`Port ${port} on 127.0.0.1 is in use`)]);
  });

  test('on an address of another machine fails with one line', async () => {
    const http = createHttpServer({
      routes: [],
      ready: async () => [],
      metrics: createMetrics(),
      log: createLogger({ logLevel: 'silent' }),
    });
    await expect(http.listen(0, '192.0.2.1')).rejects.toThrow(/^HOST 192\.0\.2\.1 is no address of this machine/);
  });
});

describe('WebSocket requests', () => {
  test('reach the handler of their path and no other', async () => {
    const sockets = new WebSocketServer({ noServer: true });
    const { port } = await start({
      routes: [
        {
          path: '/graphql',
          handler: (_request, response) => sendJson(response, 200, 'plain'),
          onUpgrade: (request, socket, head) =>
            sockets.handleUpgrade(request, socket, head, (client) => client.send('hello')),
        },
        { path: '/plain', handler: (_request, response) => sendJson(response, 200, 'plain') },
      ],
    });
    const client = new WebSocket(`ws://127.0.0.1:${port}/graphql?x`);
    const [message] = (await once(client, 'message')) as [Buffer];
    expect(message.toString()).toBe('hello');
    client.terminate();
    for (const [path, status] of [
      ['/other', 404],
      ['/plain', 200],
    ] as const) {
      const refused = new WebSocket(`ws://127.0.0.1:${port}${path}`);
      const [, response] = (await once(refused, 'unexpected-response')) as [unknown, IncomingMessage];
      expect(response.statusCode).toBe(status);
      response.resume();
    }
  });

  test('are not what an offer of HTTP/2 is taken for', async () => {
    const { url } = await start({
      routes: [
        {
          path: '/a',
          handler: (_request, response) => sendJson(response, 200, 'plain'),
          onUpgrade: (_request, socket) => socket.destroy(),
        },
      ],
    });
    const { body } = await answer(`${url}/a`, { headers: { Connection: 'Upgrade, HTTP2-Settings', Upgrade: 'h2c' } });
    expect(body).toBe('"plain"');
  });

  test('that fail leave the server standing', async () => {
    const { url, port } = await start({
      routes: [
        {
          path: '/a',
          handler: (_request, response) => sendJson(response, 200, 'plain'),
          onUpgrade: () => {
            throw new Error('broken');
          },
        },
      ],
    });
    const refused = new WebSocket(`ws://127.0.0.1:${port}/a`);
    const [, response] = (await once(refused, 'unexpected-response')) as [unknown, IncomingMessage];
    expect(response.statusCode).toBe(500);
    refused.on('error', () => undefined);
    refused.terminate();
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
  });
});

describe('closing', () => {
  test('lets a running request end, closes its connection, and accepts nothing new', async () => {
    const arrived = gate();
    const held = gate();
    const { http, url, port } = await start({
      routes: [
        {
          path: '/slow',
          handler: async (_request, response) => {
            arrived.open();
            await held.opened;
            sendJson(response, 200, 'done');
          },
        },
      ],
    });
    const agent = new Agent({ keepAlive: true });
    const slow = answer(`${url}/slow`, { agent });
    await arrived.opened;
    const closed = http.close(20_000);
    await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow();
    held.open();
    const { response, body } = await slow;
    expect([body, response.headers.connection]).toEqual(['"done"', 'close']);
    await closed;
    agent.destroy();
  });

  test('closes idle keep-alive connections at once', async () => {
    const { http, url } = await start();
    const agent = new Agent({ keepAlive: true });
    await answer(`${url}/healthz`, { agent });
    await http.close(20_000);
    agent.destroy();
  });

  test('says 503 on /readyz to a connection that is still open', async () => {
    const arrived = gate();
    const held = gate();
    const { http, port } = await start({
      routes: [
        {
          path: '/slow',
          handler: async (_request, response) => {
            arrived.open();
            response.writeHead(200, { 'Content-Length': 2 });
            response.flushHeaders();
            await held.opened;
            response.end('ok');
          },
        },
      ],
    });
    const socket: Socket = connect(port, '127.0.0.1');
    const text = socket.setEncoding('utf8').toArray() as Promise<string[]>;
    socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n');
    await arrived.opened;
    const closed = http.close(20_000);
    socket.write('GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(http.server, 'request');
    held.open();
    await closed;
    expect((await text).join('')).toMatch(/200 OK[^]*ok.*HTTP\/1\.1 503 [^]*shutting down/);
  });

  test('cuts at the limit what does not end, WebSockets too', async () => {
    const sockets = new WebSocketServer({ noServer: true });
    const arrived = gate();
    const { http, url, port } = await start({
      routes: [
        {
          path: '/stuck',
          handler: async () => {
            arrived.open();
            await new Promise(() => {});
          },
          onUpgrade: (request, socket, head) => sockets.handleUpgrade(request, socket, head, () => undefined),
        },
      ],
    });
    const client = new WebSocket(`ws://127.0.0.1:${port}/stuck`);
    await once(client, 'open');
    const ended = once(client, 'close');
    const stuck = once(request(`${url}/stuck`).end(), 'response');
    const refused = expect(stuck).rejects.toThrow();
    await arrived.opened;
    await http.close(50);
    await refused;
    await ended;
  });
});

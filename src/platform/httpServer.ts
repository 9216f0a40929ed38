import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from './logs.ts';
import type { Metrics } from './metrics.ts';
import { StartupError } from './startupError.ts';
import { traceOf } from './tracing.ts';
import type { Tracing } from './tracing.ts';

/**
 * Answers requests. What it throws, or rejects with, is logged once and answered 500 without a reason; where an answer
 * had begun, the connection is cut, so that half of one is not taken for the whole.
 */
export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/** Takes a WebSocket request over; the socket is the handler's from then on. */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** A part of the address space. An exact path goes before a prefix, and the longest prefix before shorter ones. */
export type Route = ({ readonly path: string } | { readonly prefix: string }) & {
  readonly handler: RequestHandler;
  /** Without it a WebSocket request is answered like any other request to this route. */
  readonly onUpgrade?: UpgradeHandler;
  /** Says goodbye to the sockets that it took over; called once, when the server begins to close. */
  readonly endUpgraded?: () => Promise<void>;
};

export interface HttpServerOptions {
  readonly routes: readonly Route[];
  /** Why this process can't serve now; empty when it can. Asked for each `/readyz`, given 2 s. */
  readonly ready: () => Promise<readonly string[]>;
  readonly metrics: Metrics;
  /** Gets a span of each request, but for this server's own paths. */
  readonly tracing?: Tracing | null;
  readonly log: Logger;
}

/** The one HTTP server of a process; `/healthz`, `/readyz` and `/metrics` are its own, in every role. */
export interface HttpServer {
  readonly server: Server;
  /** Resolves when it listens; throws a StartupError of one line where the address can't be had. */
  listen(port: number, host: string): Promise<ListeningAddress>;
  /**
   * Stops accepting, has the routes end their WebSockets, lets running requests end and their connections close, and cuts
   * what is left at the limit. `/readyz` says 503 from the call on. Resolves when nothing is open; a second call waits for
   * the first.
   */
  close(limitMs: number): Promise<void>;
}

export interface ListeningAddress {
  readonly host: string;
  readonly port: number;
  /** `http://host:port`, an IPv6 address in brackets. */
  readonly url: string;
}

const readyLimitMs = 2_000;

export function createHttpServer({ routes, ready, metrics, tracing, log }: HttpServerOptions): HttpServer {
  let closing: Promise<void> | null = null;
  const running = new Set<ServerResponse>();
  const upgraded = new Set<Duplex>();

  const own: Route[] = [
    { path: '/healthz', handler: reading((response) => sendJson(response, 200, { status: 'ok' })) },
    {
      path: '/readyz',
      handler: reading(async (response) => {
        const reasons = closing === null ? await reasonsNotReady(ready, log) : ['shutting down'];
        sendJson(response, reasons.length === 0 ? 200 : 503, { ready: reasons.length === 0, reasons });
      }),
    },
    {
      path: '/metrics',
      handler: reading(async (response) => {
        response.setHeader('Content-Type', metrics.registry.contentType);
        response.end(await metrics.registry.metrics());
      }),
    },
  ];
  const find = router([...own, ...routes]);

  const server = createServer(
    {
      headersTimeout: 10_000,
      // Of receiving a request: the largest bodies are a few MiB. Answers may take as long as they want.
      requestTimeout: 60_000,
      connectionsCheckingInterval: 5_000,
      // Longer than the 60 s of usual load balancers, which would otherwise send into a closing connection.
      keepAliveTimeout: 65_000,
      maxHeaderSize: 16_384,
      // Java's client offers HTTP/2 by an Upgrade header on every request: only WebSockets are heeded, where there are any.
      shouldUpgradeCallback: (request) =>
        closing === null &&
        request.headers.upgrade?.toLowerCase() === 'websocket' &&
        find(pathOf(request))?.onUpgrade !== undefined,
    },
    (request, response) => void serve(request, response),
  );
  server.maxHeadersCount = 200;
  server.maxConnections = 20_000;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const route = find(pathOf(request));
    const startedAt = Date.now();
    running.add(response);
    if (closing !== null) response.setHeader('Connection', 'close');
    response.on('close', () => {
      running.delete(response);
      metrics.httpRequests.inc({
        route: route === undefined ? 'none' : nameOf(route),
        method: request.method ?? '',
        status: response.headersSent ? response.statusCode : 0,
      });
      if (tracing && route !== undefined && !own.includes(route)) trace(tracing, route, request, response, startedAt);
      if (closing !== null) server.closeIdleConnections();
    });
    try {
      if (route === undefined) sendError(response, 404, 'NOT_FOUND', 'There is nothing at this address.');
      else await route.handler(request, response);
    } catch (error) {
      fail(request, response, error);
    }
  }

  function fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    // The path alone: a query may hold a token.
    const where = { method: request.method, path: pathOf(request) };
    if (request.destroyed && !request.complete) log.debug({ err: error, ...where }, 'A client left amid its request.');
    else log.error({ err: error, ...where }, 'A request failed.');
    if (response.headersSent || response.destroyed) response.destroy();
    else sendError(response, 500, 'INTERNAL', 'The request failed for a reason inside of hookgraph.');
  }

  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    upgraded.add(socket);
    socket.on('close', () => upgraded.delete(socket));
    // A socket that breaks between here and its handler would end the process.
    socket.on('error', () => socket.destroy());
    try {
      find(pathOf(request))!.onUpgrade!(request, socket, head);
    } catch (error) {
      log.error({ err: error, path: pathOf(request) }, 'A WebSocket request failed.');
      socket.end('HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    }
  });

  async function closeAll(limitMs: number): Promise<void> {
    for (const response of running) if (!response.headersSent) response.setHeader('Connection', 'close');
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const { endUpgraded } of routes) {
      endUpgraded?.().catch((error: unknown) => log.error({ err: error }, 'WebSockets could not be ended.'));
    }
    const cut = setTimeout(() => {
      server.closeAllConnections();
      for (const socket of upgraded) socket.destroy();
    }, limitMs);
    await closed;
    clearTimeout(cut);
  }

  return {
    server,
    listen: async (port, host) => await listen(server, port, host, log),
    close: async (limitMs) => await (closing ??= closeAll(limitMs)),
  };
}

/** The route and not the path: that may name what only its owner knows. */
function trace(
  tracing: Tracing,
  route: Route,
  { method, headers }: IncomingMessage,
  { headersSent, statusCode }: ServerResponse,
  startedAt: number,
): void {
  const parent = traceOf(headers['traceparent'] as string | undefined);
  if (parent === null) return;
  tracing.record({
    name: `${method} ${nameOf(route)}`,
    kind: 'SERVER',
    ...parent,
    startedAt,
    durationMs: Date.now() - startedAt,
    attributes: {
      'http.request.method': method ?? null,
      'http.route': nameOf(route),
      'http.response.status_code': headersSent ? statusCode : null,
    },
    error: statusCode >= 500 ? String(statusCode) : null,
  });
}

/** Answers with JSON. Nothing is sent where the client is gone. */
export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': text.length });
  response.end(text);
}

/** Answers with an error as every plain HTTP address of hookgraph does: `{"error": {"code", "message"}}`. */
export function sendError(response: ServerResponse, status: number, code: string, message: string): void {
  sendJson(response, status, { error: { code, message } });
}

/** The path of a request as it was sent, without its query; an absolute address is read as one. */
export function pathOf(request: IncomingMessage): string {
  const target = request.url ?? '/';
  if (!target.startsWith('/')) return URL.canParse(target) ? new URL(target).pathname : target;
  const query = target.indexOf('?');
  return query === -1 ? target : target.slice(0, query);
}

function reading(answer: (response: ServerResponse) => void | Promise<void>): RequestHandler {
  return async (request, response) => {
    response.setHeader('Cache-Control', 'no-store');
    if (request.method === 'GET' || request.method === 'HEAD') return await answer(response);
    response.setHeader('Allow', 'GET, HEAD');
    return sendError(response, 405, 'METHOD_NOT_ALLOWED', 'This address is read with GET.');
  };
}

function nameOf(route: Route): string {
  return 'path' in route ? route.path : route.prefix;
}

function router(routes: readonly Route[]): (path: string) => Route | undefined {
  const exact = new Map(routes.flatMap((route) => ('path' in route ? [[route.path, route]] : [])));
  const prefixes = routes.filter((route) => 'prefix' in route).toSorted((a, b) => b.prefix.length - a.prefix.length);
  return (path) => exact.get(path) ?? prefixes.find(({ prefix }) => path.startsWith(prefix));
}

/** Hanging or failing to say so is a reason too. */
async function reasonsNotReady(ready: HttpServerOptions['ready'], log: Logger): Promise<readonly string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<readonly string[]>((resolve) => {
    timer = setTimeout(() => resolve([`no answer within ${readyLimitMs} ms`]), readyLimitMs);
  });
  try {
    return await Promise.race([ready(), late]);
  } catch (error) {
    log.error({ err: error }, 'The readiness check failed.');
    return ['the readiness check failed'];
  } finally {
    clearTimeout(timer);
  }
}

async function listen(server: Server, port: number, host: string, log: Logger): Promise<ListeningAddress> {
  await new Promise<void>((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) => reject(refusal(error, port, host));
    server.once('error', refuse);
    server.listen(port, host, () => {
      server.off('error', refuse);
      server.on('error', (error) => log.error({ err: error }, 'The HTTP server had an error.'));
      resolve();
    });
  });
  const address = server.address() as AddressInfo;
  const shown = address.address.includes(':') ? `[${address.address}]` : address.address;
  return { host: address.address, port: address.port, url: `http://${shown}:${address.port}` };
}

function refusal(error: NodeJS.ErrnoException, port: number, host: string): Error {
  const line = refusals[error.code ?? '']?.(port, host);
  return line === undefined ? error : new StartupError(line, { cause: error });
}

const noAddress = (_port: number, host: string): string =>
  `HOST ${host} is no address of this machine: give one that is, 127.0.0.1, or 0.0.0.0 for all.`;

const refusals: Readonly<Record<string, (port: number, host: string) => string>> = {
  EADDRINUSE: (port, host) =>
    `Port ${port} on ${host} is in use: stop what listens there, or give another PORT (0 for any free one).`,
  EACCES: (port) => `Port ${port} is not open to this user: give a PORT above 1023.`,
  EADDRNOTAVAIL: noAddress,
  ENOTFOUND: noAddress,
  EAI_AGAIN: noAddress,
};

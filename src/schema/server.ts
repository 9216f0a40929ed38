import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { GraphQLSchema } from 'graphql';
import { renderGraphiQL } from '@graphql-yoga/render-graphiql';
import { createYoga } from 'graphql-yoga';
import type { Plugin } from 'graphql-yoga';
import type { Logger } from '../platform/logs.ts';
import type { Authenticator, Caller } from '../domain/tenants/authenticator.ts';
import { isAllowedOrigin, keyOfHeaders } from './authentication.ts';
import type { Context, Services } from './builder.ts';
import { createLoaders } from './loaders.ts';
import { unlessOutage, useOperations } from './operations.ts';
import { createSockets } from './sockets.ts';
import type { SocketLimits } from './sockets.ts';
import { publicError, topLevelError, unauthorized } from './topLevelErrors.ts';

const MAX_BODY_BYTES = 8 * 1_024 * 1_024;

export interface GraphqlServerOptions {
  readonly schema: GraphQLSchema;
  readonly authenticator: Authenticator;
  /** Web origins besides this server's own that may use it from a browser. */
  readonly allowedOrigins: readonly string[] | null;
  /** Answers within 2 s; see `databaseProbe`. */
  readonly isDatabaseReachable: () => Promise<boolean>;
  readonly log: Logger;
  /** In production the schema is told only to those who have a key. */
  readonly isProduction: boolean;
  /** The base of the addresses that it shows, as a client addressed it. */
  readonly originOf: (request: IncomingMessage) => string;
  readonly socketLimits?: Partial<SocketLimits>;
}

/** GraphQL on `/graphql` of an HTTP server: operations, the playground, and WebSockets for subscriptions. */
export interface GraphqlServer {
  /** Never rejects; what goes wrong is answered. */
  handler(request: IncomingMessage, response: ServerResponse): Promise<void>;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Ends every WebSocket (1001) and resolves when they are closed. Requests go on. */
  endSockets(): Promise<void>;
  /** The same, and lets go of everything else. */
  close(): Promise<void>;
}

/** What the doors put in: who asks, and until when anybody listens. */
interface Door {
  readonly caller: Caller | null;
  readonly origin: string;
  readonly signal: AbortSignal;
}

interface HttpDoor {
  req: IncomingMessage;
  res: ServerResponse;
}

/** Makes the context of one operation. */
const contextOf = (services: Services, { caller, origin, signal }: Door): Context => ({
  services,
  caller,
  origin,
  signal,
  loaders: createLoaders(services, caller?.tenant.id ?? ''),
});

export const createGraphqlServer = (services: Services, options: GraphqlServerOptions): GraphqlServer => {
  const { authenticator, allowedOrigins, isDatabaseReachable, isProduction, log, originOf, schema } = options;
  const playground = createPlayground();

  /** Who asks is settled before anything is parsed. Over a WebSocket it was when the connection was made. */
  const authentication: Plugin<object, HttpDoor & { door?: Door }> = {
    async onParams({ context, request }) {
      const key = keyOfHeaders(context.req.headers);
      const caller = key === null ? null : await unlessOutage(authenticator.authenticate(key), isDatabaseReachable);
      if (caller === null && (key !== null || isProduction)) throw unauthorized();
      context.door = { caller, origin: originOf(context.req), signal: request.signal };
    },
    onResultProcess({ result }) {
      for (const one of [result].flat()) {
        if ('errors' in one) for (const error of one.errors ?? []) nameTransportCode(error.extensions);
      }
    },
  };

  const yoga = createYoga<HttpDoor & { door?: Door }, Context>({
    schema,
    graphqlEndpoint: '/graphql',
    context: ({ door }) => contextOf(services, door!),
    maskedErrors: { errorMessage: '', maskError: (error) => publicError(error, log) },
    logging: false,
    landingPage: false,
    batching: false,
    multipart: false,
    maxRequestBodySize: MAX_BODY_BYTES,
    healthCheckEndpoint: '/graphql/health-is-elsewhere',
    graphiql: {
      title: 'hookgraph',
      subscriptionsProtocol: 'WS',
      headers: '{ "X-API-Key": "" }',
      defaultQuery: WELCOME,
    },
    renderGraphiQL: playground,
    // Who may is decided below, before yoga sees the request.
    cors: (request) => ({
      origin: request.headers.get('origin') ?? [],
      methods: ['GET', 'POST'],
      allowedHeaders: ['content-type', 'x-api-key', 'authorization'],
      credentials: false,
      maxAge: 600,
    }),
    // Yoga types a plugin by the whole context that only all of them together make.
    plugins: [useOperations(options), authentication] as never[],
  });

  const sockets = createSockets({
    authenticator,
    isDatabaseReachable,
    log,
    limits: options.socketLimits ?? {},
    originOf,
    schema,
    envelop: (door) => yoga.getEnveloped({ door } as never),
  });

  return {
    async handler(request, response) {
      response.setHeader('X-Content-Type-Options', 'nosniff');
      response.setHeader('X-Frame-Options', 'DENY');
      if (!isAllowedOrigin(request.headers, allowedOrigins))
        return refuse(request, response, 403, 'FORBIDDEN', FOREIGN);
      if (request.method === 'POST' && !isJson(request.headers['content-type'])) {
        return refuse(request, response, 415, 'BAD_REQUEST', 'Send the operation as application/json.');
      }
      // Of a body without a length the rest is left unread where it is too large, and nothing can follow it on its connection.
      if (request.headers['transfer-encoding'] !== undefined) response.setHeader('Connection', 'close');
      await yoga(request, response);
    },
    upgrade(request, socket, head) {
      if (isAllowedOrigin(request.headers, allowedOrigins)) sockets.upgrade(request, socket, head);
      else socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    },
    endSockets: () => sockets.close(),
    async close() {
      await sockets.close();
      await yoga.dispose();
    },
  };
};

const FOREIGN =
  'Pages of this origin may not use this server: the operator can allow it with HOOKGRAPH_ALLOWED_ORIGINS.';

const WELCOME = `# Put an API key into the Headers tab below, then press Ctrl-Enter.

query Welcome {
  viewer { tenant { slug } apiKey { name scopes } }
  webhooks { nodes { name url status health { status } } }
}
`;

/** JSON only: a browser sends forms and plain text to other sites without asking first. */
const isJson = (contentType: string | undefined): boolean =>
  /^application\/(?:graphql(?:\+json|-response\+json)?|json)\s*(?:;|$)/i.test(contentType ?? '');

/** Yoga has names of its own for what it refuses before an operation begins. */
const nameTransportCode = (extensions: Record<string, unknown>): void => {
  const { code } = extensions;
  if (code === undefined || code === 'REQUEST_ENTITY_TOO_LARGE' || code === 'OPERATION_RESOLUTION_FAILURE') {
    extensions['code'] = 'BAD_REQUEST';
  }
};

const refuse = (
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  code: 'FORBIDDEN' | 'BAD_REQUEST',
  message: string,
): void => {
  request.resume();
  response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8', Connection: 'close' });
  response.end(JSON.stringify({ errors: [topLevelError(code, message)] }));
};

/** The page holds all that it needs, some 9 MB: put together once. */
const createPlayground = (): typeof renderGraphiQL => {
  let page: string | undefined;
  return (options) => (page ??= renderGraphiQL(options));
};

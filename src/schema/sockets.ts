import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { DocumentNode, ExecutionArgs, GraphQLSchema } from 'graphql';
import { GraphQLError } from 'graphql';
import { CloseCode } from 'graphql-ws';
import type { SubscribeMessage } from 'graphql-ws';
import { useServer as serveSockets } from 'graphql-ws/use/ws';
import type { Extra } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import type { Logger } from '../platform/logs.ts';
import { hashApiKey } from '../platform/secrets.ts';
import type { Authenticator, Caller } from '../domain/tenants/authenticator.ts';
import { keyOfParams } from './authentication.ts';
import { unlessOutage } from './operations.ts';
import { publicError, requestError, topLevelError } from './topLevelErrors.ts';

export interface SocketLimits {
  readonly socketsPerKey: number;
  readonly operationsPerSocket: number;
  /** How often the key of every open socket is looked up again, besides whenever any key is revoked. */
  readonly recheckMs: number;
}

const LIMITS: SocketLimits = { socketsPerKey: 1_000, operationsPerSocket: 1_000, recheckMs: 15_000 };
const MAX_MESSAGE_BYTES = 256 * 1_024;
/** For the closing handshake, when the server stops. */
const CLOSE_GRACE_MS = 1_000;

/** The stages of an operation, for one caller. */
export interface Enveloped {
  readonly parse: (query: string) => DocumentNode;
  readonly validate: (schema: GraphQLSchema, document: DocumentNode) => readonly GraphQLError[];
  readonly contextFactory: () => unknown;
  readonly execute: (args: ExecutionArgs) => Promise<never>;
  readonly subscribe: (args: ExecutionArgs) => Promise<never>;
}

export interface SocketOptions {
  readonly authenticator: Authenticator;
  readonly isDatabaseReachable: () => Promise<boolean>;
  readonly log: Logger;
  readonly limits: Partial<SocketLimits>;
  readonly schema: GraphQLSchema;
  readonly originOf: (request: IncomingMessage) => string;
  readonly envelop: (door: {
    readonly caller: Caller;
    readonly origin: string;
    readonly signal: AbortSignal;
  }) => Enveloped;
}

interface Session {
  readonly caller: Caller;
  readonly keyHash: Buffer;
  readonly ended: AbortController;
}

type Own = Extra & { session?: Session };

export interface Sockets {
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Ends every socket with 1001, by force after a while; a second call waits for the first. */
  close(): Promise<void>;
}

/**
 * Subscriptions over graphql-transport-ws (https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md). The key comes
 * in the connection parameters: a missing one closes the socket with 4401, a wrong one, or one that stops being valid
 * while the socket lives, with 4403. Errors of an operation end that operation only.
 */
export const createSockets = (options: SocketOptions): Sockets => {
  const { authenticator, isDatabaseReachable, log, originOf, schema, envelop } = options;
  const limits = { ...LIMITS, ...options.limits };
  const wss = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, clientTracking: true });
  const sessions = new Map<WebSocket, Session>();
  const perKey = new Map<string, number>();

  const countKey = (id: string, change: 1 | -1): void => {
    const count = (perKey.get(id) ?? 0) + change;
    if (count > 0) perKey.set(id, count);
    else perKey.delete(id);
  };

  const recheck = async (): Promise<void> => {
    for (const [socket, { keyHash }] of sessions) {
      try {
        if ((await authenticator.authenticateHash(keyHash)) === null) socket.close(CloseCode.Forbidden, REVOKED);
      } catch (error) {
        // Nobody can tell while the database is away; the next round will.
        log.debug({ err: error }, 'The keys of open WebSockets could not be looked up.');
        return;
      }
    }
  };
  let rechecking: Promise<void> = Promise.resolve();
  const recheckSoon = (): void => {
    rechecking = rechecking.then(recheck);
  };
  const timer = setInterval(recheckSoon, limits.recheckMs).unref();
  const unwatch = authenticator.watch(recheckSoon);

  const argsOf = async (
    { session, request }: Own,
    payload: SubscribeMessage['payload'],
  ): Promise<ExecutionArgs | readonly GraphQLError[]> => {
    const enveloped = envelop({
      caller: session!.caller,
      origin: originOf(request),
      signal: session!.ended.signal,
    });
    const document = enveloped.parse(payload.query);
    const errors = enveloped.validate(schema, document);
    if (errors.length > 0) return errors;
    return {
      schema,
      document,
      operationName: payload.operationName ?? null,
      variableValues: payload.variables ?? {},
      contextValue: await enveloped.contextFactory(),
      rootValue: enveloped,
    };
  };

  const server = serveSockets<Record<string, unknown>, { session?: Session }>(
    {
      execute: (args) => (args.rootValue as Enveloped).execute(args),
      subscribe: (args) => (args.rootValue as Enveloped).subscribe(args),
      async onConnect({ connectionParams, extra }) {
        const { socket } = extra;
        const key = keyOfParams(connectionParams);
        if (key === null) return refuse(socket, CloseCode.Unauthorized, MISSING);
        let caller: Caller | null;
        try {
          caller = await unlessOutage(authenticator.authenticate(key), isDatabaseReachable);
        } catch (error) {
          return refuse(socket, CloseCode.InternalServerError, publicError(error, log).message);
        }
        if (caller === null) return refuse(socket, CloseCode.Forbidden, WRONG);
        if (socket.readyState !== socket.OPEN) return false;
        const keyId = caller.apiKey.id;
        if ((perKey.get(keyId) ?? 0) >= limits.socketsPerKey) {
          return refuse(socket, CloseCode.TooManyInitialisationRequests, 'Too many connections with this API key.');
        }
        extra.session = { caller, keyHash: hashApiKey(key), ended: new AbortController() };
        sessions.set(socket, extra.session);
        countKey(keyId, 1);
        return true;
      },
      onClose({ extra }) {
        const { session, socket } = extra;
        if (!session) return;
        session.ended.abort();
        sessions.delete(socket);
        countKey(session.caller.apiKey.id, -1);
      },
      // An exception here would close the socket for every operation on it: errors are returned.
      async onSubscribe({ extra, subscriptions }, _id, payload) {
        if (Object.keys(subscriptions).length > limits.operationsPerSocket) {
          return [
            shown(topLevelError('RATE_LIMITED', `At most ${limits.operationsPerSocket} operations on a connection.`)),
          ];
        }
        if (typeof payload.query !== 'string') return [shown(requestError('BAD_REQUEST', 'Send a query.'))];
        try {
          const args = await argsOf(extra, payload);
          return Array.isArray(args) ? args.map(shown) : args;
        } catch (error) {
          return [shown(publicError(error, log))];
        }
      },
      onNext: (_context, _id, _payload, _args, { errors, ...result }) =>
        errors ? ({ ...result, errors: errors.map((error) => shown(error).toJSON()) } as never) : undefined,
      onError: (_context, _id, _payload, errors) => errors.map((error) => shown(publicError(error, log)).toJSON()),
    },
    wss,
  );

  let closing: Promise<void> | null = null;
  const close = async (): Promise<void> => {
    clearInterval(timer);
    unwatch();
    const stragglers = setTimeout(() => {
      for (const socket of wss.clients) socket.terminate();
    }, CLOSE_GRACE_MS);
    await server.dispose();
    clearTimeout(stragglers);
    await rechecking;
  };

  return {
    upgrade(request, socket, head) {
      wss.handleUpgrade(request, socket, head, (webSocket) => {
        wss.emit('connection', webSocket, request);
        // graphql-ws writes to the console what any client can provoke; ws itself closes with the fitting code.
        webSocket.removeAllListeners('error').on('error', (error) => log.debug({ err: error }, 'A WebSocket broke.'));
      });
    },
    close: () => (closing ??= close()),
  };
};

const MISSING = 'Send an API key in the connection parameters: x-api-key, or authorization.';
const WRONG = 'This API key is not valid.';
const REVOKED = 'This API key is not valid any more.';

/** Closes with a reason of our own; graphql-ws would only say "Forbidden". */
const refuse = (socket: WebSocket, code: number, reason: string): false => {
  socket.close(code, reason);
  return false;
};

/** Without what only concerns HTTP. */
const shown = (error: GraphQLError): GraphQLError => {
  const { http: _http, ...extensions } = error.extensions;
  return new GraphQLError(error.message, {
    nodes: error.nodes ?? null,
    source: error.source ?? null,
    positions: error.positions ?? null,
    path: error.path ?? null,
    extensions,
  });
};

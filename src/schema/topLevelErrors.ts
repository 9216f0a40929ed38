import { GraphQLError, Kind } from 'graphql';
import type { Logger } from '../platform/logs.ts';
import { isDatabaseOutage } from '../platform/outage.ts';
import { SandboxUnavailableError } from '../platform/sandbox/sandbox.ts';
import { DomainError } from '../domain/errors.ts';
import { CursorExpiredError } from '../domain/feed/cursor.ts';
import type { Scope } from '../domain/tenants/scopes.ts';

/** The codes of top-level errors; every one of them has one. */
export type TopLevelCode =
  | 'GRAPHQL_PARSE_FAILED'
  | 'GRAPHQL_VALIDATION_FAILED'
  | 'BAD_REQUEST'
  | 'UNAUTHORIZED'
  | 'FORBIDDEN'
  | 'NOT_FOUND'
  | 'CONFLICT'
  | 'QUERY_TOO_COMPLEX'
  | 'RATE_LIMITED'
  | 'CURSOR_EXPIRED'
  | 'SERVICE_UNAVAILABLE'
  | 'INTERNAL_SERVER_ERROR';

/** HTTP status by code, where the request fails as a whole. The others leave it to GraphQL over HTTP. */
const STATUS: Partial<Record<TopLevelCode, number>> = {
  UNAUTHORIZED: 401,
  SERVICE_UNAVAILABLE: 503,
};

/** An error that is told as it is. `http` is read, and taken out, by the server. */
export const topLevelError = (
  code: TopLevelCode,
  message: string,
  more: Readonly<Record<string, unknown>> = {},
): GraphQLError => {
  const status = STATUS[code];
  return new GraphQLError(message, {
    extensions: { code, ...more, ...(status !== undefined && { http: { status } }) },
  });
};

/** For a request that is refused before it runs: 400, except in plain `application/json`, where GraphQL over HTTP has 200. */
export const requestError = (code: TopLevelCode, message: string): GraphQLError =>
  topLevelError(code, message, { http: { status: 400, spec: true } });

export const unauthorized = (): GraphQLError =>
  topLevelError('UNAUTHORIZED', 'Send a valid API key: X-API-Key, or Authorization: Bearer.');

/** @param scopes what would do, each by itself */
export const forbidden = (scopes: readonly Scope[]): GraphQLError =>
  topLevelError('FORBIDDEN', `This API key lacks the scope that this needs: ${scopes.join(' or ')}.`);

export const unavailable = (): GraphQLError =>
  topLevelError('SERVICE_UNAVAILABLE', 'The database is out of reach. Try again shortly.');

/**
 * What a caller is told. Expected failures keep their words and code; the unexpected is logged here, once, with its
 * cause, and told as nothing but INTERNAL_SERVER_ERROR.
 */
export const publicError = (error: unknown, log: Logger): GraphQLError => {
  if (!(error instanceof GraphQLError)) return translated(error, log);
  const cause = error.originalError;
  if (cause != null && !(cause instanceof GraphQLError)) return located(translated(cause, log), error);
  if (cause != null) return located(publicError(cause, log), error);
  if (error.extensions['code'] !== undefined) return error;
  // What graphql-js says about an argument points at it; what it says about a value of ours points at the field.
  const node = error.nodes?.[0];
  if (node !== undefined && node.kind !== Kind.FIELD) return located(requestError('BAD_REQUEST', error.message), error);
  return located(translated(error, log), error);
};

const translated = (error: unknown, log: Logger): GraphQLError => {
  if (error instanceof GraphQLError && error.extensions['code'] !== undefined) return error;
  if (error instanceof CursorExpiredError) {
    return topLevelError('CURSOR_EXPIRED', error.message, { resumeAfter: error.resumeAfter });
  }
  if (error instanceof DomainError) {
    return topLevelError(error.code, error.message, error.path === null ? {} : { path: error.path });
  }
  if (error instanceof SandboxUnavailableError) return topLevelError('SERVICE_UNAVAILABLE', error.message);
  if (isDatabaseOutage(error)) {
    log.warn({ err: error }, 'An operation failed because the database is out of reach.');
    return unavailable();
  }
  log.error({ err: error }, 'An operation failed unexpectedly.');
  return topLevelError('INTERNAL_SERVER_ERROR', 'This failed for a reason inside of hookgraph.');
};

const located = (error: GraphQLError, { nodes, path, source, positions }: GraphQLError): GraphQLError =>
  new GraphQLError(error.message, {
    nodes: nodes ?? null,
    path: path ?? null,
    source: source ?? null,
    positions: positions ?? null,
    extensions: error.extensions,
  });

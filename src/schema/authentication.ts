import type { IncomingHttpHeaders } from 'node:http';
import { Kind, OperationTypeNode } from 'graphql';
import type { DocumentNode, OperationDefinitionNode, SelectionSetNode } from 'graphql';

/**
 * The API key of an HTTP request, `X-API-Key` first, then `Authorization: Bearer`; null without any. Text of another
 * scheme is passed on: it is a wrong key, not a missing one.
 */
export const keyOfHeaders = (headers: IncomingHttpHeaders): string | null =>
  keyOf(headers['x-api-key'], headers.authorization);

/** The same of a WebSocket's connection parameters, whose names may be written in any case. */
export const keyOfParams = (params: Readonly<Record<string, unknown>> | undefined): string | null => {
  const byName = new Map(Object.entries(params ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
  return keyOf(byName.get('x-api-key'), byName.get('authorization'));
};

const keyOf = (apiKey: unknown, authorization: unknown): string | null => {
  if (typeof apiKey === 'string' && apiKey.trim() !== '') return apiKey.trim();
  if (typeof authorization !== 'string' || authorization.trim() === '') return null;
  return authorization.trim().replace(/^bearer\s+/i, '');
};

/** Whether a browser page of this origin may talk to this server: its own, and those that the operator named. */
export const isAllowedOrigin = (
  { origin, host }: IncomingHttpHeaders,
  allowedOrigins: readonly string[] | null,
): boolean => {
  // Programs send none; a browser cannot leave it out where it matters.
  if (origin === undefined) return true;
  if (allowedOrigins?.includes(origin)) return true;
  // By host alone: behind a proxy that ends TLS this server does not know its own scheme.
  return URL.canParse(origin) && /^https?:/.test(origin) && new URL(origin).host === host?.toLowerCase();
};

/** Whether an operation reads nothing but the schema, which it may without a key outside of production. */
export const isIntrospectionOnly = (document: DocumentNode, operation: OperationDefinitionNode): boolean => {
  const fragments = new Map(
    document.definitions.flatMap((node) => (node.kind === Kind.FRAGMENT_DEFINITION ? [[node.name.value, node]] : [])),
  );
  const only = (set: SelectionSetNode): boolean =>
    set.selections.every((node) =>
      node.kind === Kind.FIELD
        ? node.name.value === '__schema' || node.name.value === '__type'
        : only(node.kind === Kind.INLINE_FRAGMENT ? node.selectionSet : fragments.get(node.name.value)!.selectionSet),
    );
  return operation.operation === OperationTypeNode.QUERY && only(operation.selectionSet);
};

import SchemaBuilder from '@pothos/core';
import ComplexityPlugin from '@pothos/plugin-complexity';
import ErrorsPlugin from '@pothos/plugin-errors';
import RelayPlugin from '@pothos/plugin-relay';
import ScopeAuthPlugin from '@pothos/plugin-scope-auth';
import type { AuthFailure } from '@pothos/plugin-scope-auth';
import { GraphQLScalarType } from 'graphql';
import { DateTimeResolver, JSONResolver } from 'graphql-scalars';
import type { Sql } from '../platform/database.ts';
import type { BulkOperations } from '../domain/bulk/bulkOperations.ts';
import type { BulkProgress } from '../domain/bulk/bulkProgress.ts';
import type { ActionRegistry } from '../domain/actions/actionRegistry.ts';
import type { TestDeliveries } from '../domain/deliveries/delivery.ts';
import type { DeliveryRetry } from '../domain/deliveries/deliveryRetry.ts';
import type { Desk } from '../domain/desk/desk.ts';
import type { DeskReader } from '../domain/desk/deskReader.ts';
import type { Publisher } from '../domain/events/event.ts';
import type { EventTypes } from '../domain/events/eventTypes.ts';
import type { FeedChange } from '../domain/feed/change.ts';
import type { FeedReader } from '../domain/feed/feedReader.ts';
import type { FeedFilter } from '../domain/feed/filter.ts';
import type { Inbound } from '../domain/inbound/inbound.ts';
import type { Mapper } from '../domain/mapping/mapper.ts';
import type { ApiKeys } from '../domain/tenants/apiKeys.ts';
import type { Caller } from '../domain/tenants/authenticator.ts';
import type { Scope } from '../domain/tenants/scopes.ts';
import type { Tenants } from '../domain/tenants/tenants.ts';
import type { HealthFeed } from '../domain/webhooks/healthFeed.ts';
import type { WebhookList } from '../domain/webhooks/webhookList.ts';
import type { Webhooks } from '../domain/webhooks/webhooks.ts';
import type { Workflows } from '../domain/workflows/workflows.ts';
import { complexityError, MAX_COST } from './limits.ts';
import type { Loaders } from './loaders.ts';
import { forbidden, unauthorized } from './topLevelErrors.ts';

/** What the domain does for GraphQL; `main.ts` makes it. */
export interface Services {
  /** Reads of history and health, each its own statement. */
  readonly sql: Sql;
  readonly tenants: Tenants;
  readonly apiKeys: ApiKeys;
  readonly webhooks: Webhooks;
  readonly webhookList: WebhookList;
  readonly eventTypes: EventTypes;
  readonly publisher: Publisher;
  readonly testDeliveries: TestDeliveries;
  readonly deliveryRetry: Pick<DeliveryRetry, 'retry'>;
  readonly bulk: Pick<BulkOperations, keyof BulkOperations>;
  readonly bulkProgress: Pick<BulkProgress, 'follow'>;
  /** Null where the service desk is off: then the schema has nothing that asks for it. */
  readonly desk: { readonly changes: Desk; readonly reader: DeskReader } | null;
  readonly feed: Pick<FeedReader<FeedChange, FeedFilter>, 'subscribe' | 'read'>;
  readonly healthFeed: Pick<HealthFeed, 'subscribe'>;
  readonly inbound: Inbound;
  readonly actions: ActionRegistry;
  readonly mapper: Pick<Mapper, 'preview'>;
  readonly workflows: Workflows;
}

/** Of one operation, over HTTP or a WebSocket. */
export interface Context {
  readonly services: Services;
  /** Null for nobody, who may read the schema and nothing else; see {@link callerOf}. */
  readonly caller: Caller | null;
  /** Scheme, host and port by which this server was addressed, or what the operator says instead; no slash at its end. */
  readonly origin: string;
  readonly loaders: Loaders;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

/** Who asks. Throws UNAUTHORIZED where nobody does, which the server refuses long before. */
export const callerOf = ({ caller }: Context): Caller => {
  if (caller === null) throw unauthorized();
  return caller;
};

/** The tenant that everything in this operation belongs to. */
export const tenantOf = (context: Context): string => callerOf(context).tenant.id;

export const builder = new SchemaBuilder<{
  Context: Context;
  DefaultFieldNullability: false;
  DefaultEdgesNullability: false;
  DefaultNodeNullability: false;
  AuthScopes: { scope: Scope; anyOf: readonly Scope[] };
  Connection: { totalCount: () => Promise<number> };
  Scalars: {
    ID: { Input: string; Output: string };
    DateTime: { Input: Date; Output: Date };
    JSON: { Input: unknown; Output: unknown };
    URL: { Input: string; Output: string };
  };
}>({
  // The first plugin is the outermost: an error of any other becomes a member of the field's union, or goes on up.
  plugins: [ErrorsPlugin, ComplexityPlugin, ScopeAuthPlugin, RelayPlugin],
  defaultFieldNullability: false,
  complexity: {
    // Lists cost what their own fields say: a connection multiplies by its page, never twice by its nodes.
    defaultListMultiplier: 1,
    limit: { complexity: MAX_COST },
    complexityError,
  },
  scopeAuth: {
    authScopes: ({ caller }) => ({
      scope: (scope) => caller?.apiKey.scopes.includes(scope) ?? false,
      anyOf: (scopes) => scopes.some((scope) => caller?.apiKey.scopes.includes(scope)),
    }),
    authorizeOnSubscribe: true,
    unauthorizedError: (_parent, _context, _info, { failure }) => forbidden(wantedScopes(failure)),
  },
  errors: {
    directResult: true,
    defaultUnionOptions: { name: ({ fieldName }) => `${fieldName[0]!.toUpperCase()}${fieldName.slice(1)}Result` },
  },
  relay: {
    idFieldOptions: { description: 'A TypeID: a prefix that tells the kind, and the same text everywhere.' },
    nodeQueryOptions: false,
    nodesQueryOptions: false,
    cursorType: 'String',
    edgeCursorType: 'String',
    pageInfoCursorType: 'String',
    edgesFieldOptions: { nullable: false, description: 'The page with a cursor for each item.' },
    nodeFieldOptions: { nullable: false, description: 'The item.' },
    cursorFieldOptions: { description: 'Where the item stands in the list.' },
    nodesOnConnection: { description: 'The page without cursors.' },
    pageInfoFieldOptions: { description: 'Whether and where the list goes on.' },
    nodeTypeOptions: { description: 'Whatever has an id; `node(id:)` finds it again.' },
    pageInfoTypeOptions: { description: 'Where a page stands in its list.' },
    hasNextPageFieldOptions: { description: 'Whether more follows this page.' },
    hasPreviousPageFieldOptions: { description: 'Whether anything comes before this page.' },
    startCursorFieldOptions: { description: 'Cursor of the first item; null on an empty page.' },
    endCursorFieldOptions: { description: 'Cursor of the last item; null on an empty page.' },
  },
});

/** Fields ask for one scope, or for any of some. */
const wantedScopes = (failure: AuthFailure): Scope[] => {
  if ('failures' in failure) return failure.failures.flatMap(wantedScopes);
  return 'parameter' in failure ? [failure.parameter as Scope | Scope[]].flat() : [];
};

const describedScalar = (resolver: GraphQLScalarType, description: string): GraphQLScalarType =>
  new GraphQLScalarType({ ...resolver.toConfig(), description });

// Already text: JSON.stringify is slow on all of an answer that has a Date in it (3.6 ms for a timeline of 720 points, now 0.5).
builder.addScalarType(
  'DateTime',
  new GraphQLScalarType({
    ...DateTimeResolver.toConfig(),
    description: 'A moment as RFC 3339 text, such as `2026-03-02T09:15:00.000Z`.',
    serialize: (value) => DateTimeResolver.serialize(value).toISOString(),
  }),
);
builder.addScalarType('JSON', describedScalar(JSONResolver, 'Any JSON value.'));
builder.scalarType('URL', {
  description: 'An http or https URL, exactly as it was saved.',
  serialize: (value) => value,
  parseValue: (value) => {
    if (typeof value === 'string' && URL.canParse(value)) return value;
    throw new TypeError('This is not a URL.');
  },
});

builder.queryType({ description: 'Everything that can be read.' });
builder.mutationType({ description: 'Everything that can be changed. An expected failure is a member of the result.' });
builder.subscriptionType({ description: 'Everything that can be followed, over a WebSocket (graphql-ws).' });

import type { GraphQLSchema } from 'graphql';
import { builder } from './builder.ts';
import './errors.ts';
import './apiKey.ts';
import './tenant.ts';
import './webhook.ts';
import './webhookMutations.ts';
import './delivery.ts';
import './deliveryRetry.ts';
import './analytics.ts';
import './event.ts';
import './eventType.ts';
import './feed.ts';
import './bulkOperation.ts';
import './webhookHealthFeed.ts';
import './inboundWebhook.ts';
import './forward.ts';
import './inboundDelivery.ts';
import './inboundVerification.ts';
import './inboundFeed.ts';
import './inboundMutations.ts';
import './inboundMapping.ts';
import './workflow.ts';
import './node.ts';

export interface SchemaOptions {
  /** Whether the service desk has its types in it. */
  readonly desk: boolean;
}

let core: GraphQLSchema | null = null;
let whole: Promise<GraphQLSchema> | null = null;

/**
 * The GraphQL schema, each made once. `schema.graphql` is the text of the one with everything. What belongs to a module
 * is loaded only where it is wanted; the core is made before, because what the builder once knows it keeps.
 */
export const buildSchema = async ({ desk }: SchemaOptions): Promise<GraphQLSchema> => {
  core ??= builder.toSchema();
  return desk ? (whole ??= withDesk()) : core;
};

const withDesk = async (): Promise<GraphQLSchema> => {
  await import('./desk/index.ts');
  return builder.toSchema();
};

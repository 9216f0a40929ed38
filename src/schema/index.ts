import { builder } from './builder.ts';
import './errors.ts';
import './apiKey.ts';
import './tenant.ts';
import './webhook.ts';
import './webhookMutations.ts';
import './delivery.ts';
import './event.ts';
import './eventType.ts';
import './feed.ts';
import './node.ts';

/** The whole GraphQL schema. `schema.graphql` is its text. */
export const schema = builder.toSchema();

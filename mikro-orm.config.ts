import { Migration0001Foundation } from './migrations/0001-foundation.ts';
import { Migration0002Lanes } from './migrations/0002-lanes.ts';
import { Migration0003Desk } from './migrations/0003-desk.ts';
import { Migration0004Rollups } from './migrations/0004-rollups.ts';
import { Migration0005Bulk } from './migrations/0005-bulk.ts';
import { Migration0006Health } from './migrations/0006-health.ts';
import { Migration0007Inbound } from './migrations/0007-inbound.ts';
import { Migration0008Workflows } from './migrations/0008-workflows.ts';
import { Migration0009Forwards } from './migrations/0009-forwards.ts';
import { Migration0010Lists } from './migrations/0010-lists.ts';
import { Migration0011TenantFacets } from './migrations/0011-tenant-facets.ts';
import { Migration0013PackedLatencies } from './migrations/0013-packed-latencies.ts';
import { Migration0014FanOut } from './migrations/0014-fan-out.ts';
import { Migration0015NarrowedSubscriptions } from './migrations/0015-narrowed-subscriptions.ts';
import { Migration0016Held } from './migrations/0016-held.ts';
import { Migration0017Fortnights } from './migrations/0017-fortnights.ts';
import { Migration0018SteadyQueues } from './migrations/0018-steady-queues.ts';
import { Migration0019CountedMethods } from './migrations/0019-counted-methods.ts';
import type { DatabaseSchema } from './src/platform/database.ts';
import { Asset } from './src/domain/desk/asset.ts';
import { Client } from './src/domain/desk/client.ts';
import { Ticket } from './src/domain/desk/ticket.ts';
import { TicketComment } from './src/domain/desk/ticketComment.ts';
import { RegisteredEventType } from './src/domain/events/eventType.ts';
import { InboundWebhook } from './src/domain/inbound/inboundWebhook.ts';
import { ApiKey } from './src/domain/tenants/apiKey.ts';
import { Tenant } from './src/domain/tenants/tenant.ts';
import { Webhook } from './src/domain/webhooks/webhook.ts';

/** The entities and migrations of this installation, in order. Migrations only ever go forward. */
export const schema: DatabaseSchema = {
  entities: [Tenant, ApiKey, Webhook, RegisteredEventType, Client, Ticket, TicketComment, Asset, InboundWebhook],
  migrations: [
    Migration0001Foundation,
    Migration0002Lanes,
    Migration0003Desk,
    Migration0004Rollups,
    Migration0005Bulk,
    Migration0006Health,
    Migration0007Inbound,
    Migration0008Workflows,
    Migration0009Forwards,
    Migration0010Lists,
    Migration0011TenantFacets,
    Migration0013PackedLatencies,
    Migration0014FanOut,
    Migration0015NarrowedSubscriptions,
    Migration0016Held,
    Migration0017Fortnights,
    Migration0018SteadyQueues,
    Migration0019CountedMethods,
  ],
};

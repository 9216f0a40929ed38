import { Migration } from '@mikro-orm/migrations';

/**
 * The inbound direction. What was received stands in `inbound_delivery`, partitioned by time like `delivery`; a row is
 * written once by the receiver and changed once more, by whoever ends its dispatch. What waits for that is in
 * `inbound_open`: `id` is the delivery's, and a row there means `dispatch_status = 'PENDING'`. It has the shape that lanes
 * read (`webhook_id, band, next_at, seq`), and is deleted by the transaction that writes the outcome. Giving up for good also
 * deletes the delivery's row of `inbound_key`, so that the sender's next try counts.
 */
export class Migration0007Inbound extends Migration {
  override up(): void {
    this.addSql(`
create table inbound_webhook (
  id uuid primary key,
  tenant_id uuid not null references tenant (id),
  name text not null,
  slug text not null,
  description text,
  source text not null,
  status text not null,
  auth_type text not null,
  auth_preset text,
  auth_config text not null,
  secret text,
  verify_token text,
  events text[] not null,
  event_type_source text,
  idempotency_source text,
  idempotency_window_seconds integer not null,
  handler_type text not null,
  handler_action text,
  handler_field_mapping text,
  handler_workflow_id uuid,
  url text,
  forward_secret text,
  previous_forward_secret text,
  previous_forward_secret_expires_at timestamptz,
  rate_limit_per_minute integer not null,
  sample_armed boolean not null default false,
  sample text,
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (tenant_id, slug)
)`);
    this.addSql(`create index inbound_webhook_tenant on inbound_webhook (tenant_id, id)`);
    this.addSql(
      `create index inbound_webhook_workflow on inbound_webhook (handler_workflow_id) where handler_workflow_id is not null`,
    );

    // Apart from the webhook: every receiver adds to it each second, and those updates are to be HOT.
    this.addSql(`
create table inbound_counter (
  webhook_id uuid primary key references inbound_webhook (id) on delete cascade,
  deliveries bigint not null default 0,
  last_delivery_at timestamptz,
  unauthorized bigint not null default 0,
  inactive bigint not null default 0,
  rate_limited bigint not null default 0,
  invalid_body bigint not null default 0,
  too_large bigint not null default 0,
  unsupported bigint not null default 0
) with (fillfactor = 50)`);

    // Headers are JSON as text, the body is what came: neither is trusted to be storable as anything else.
    this.addSql(`
create table inbound_delivery (
  id uuid primary key,
  tenant_id uuid not null,
  webhook_id uuid not null,
  received_at timestamptz not null,
  event_type text,
  auth_status text not null,
  dispatch_status text not null,
  idempotency_key text,
  duplicate_of uuid,
  method text not null,
  path text not null,
  headers text not null,
  content_type text,
  body bytea,
  source_ip text,
  response_status integer not null,
  duration_ms integer not null,
  handler_outcome text,
  attempt_count integer not null default 0,
  is_test boolean not null default false,
  is_replay boolean not null default false,
  replayed_from uuid,
  workflow_run_id uuid,
  hops smallint not null default 0
) partition by range (id)`);
    this.addSql(`create index inbound_delivery_tenant on inbound_delivery (tenant_id, id)`);
    this.addSql(`create index inbound_delivery_webhook on inbound_delivery (webhook_id, id)`);

    this.addSql(`create sequence inbound_seq as bigint cache 1`);
    this.addSql(`
create table inbound_open (
  id uuid primary key,
  tenant_id uuid not null,
  webhook_id uuid not null,
  is_test boolean not null default false,
  band smallint not null default 0,
  seq bigint not null default nextval('inbound_seq'),
  attempts integer not null default 0,
  next_at timestamptz not null,
  created_at timestamptz not null,
  expires_at timestamptz not null
) with (
  fillfactor = 90,
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_vacuum_insert_scale_factor = 0.2,
  autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 1000
)`);
    this.addSql(`create index inbound_open_due on inbound_open (webhook_id, band, next_at, seq)`);
    this.addSql(`create index inbound_open_next on inbound_open (next_at)`);

    // The key is a SHA-256 of what the sender gave: any length, and 32 bytes in the index.
    this.addSql(`
create table inbound_key (
  webhook_id uuid not null,
  key bytea not null,
  delivery_id uuid not null,
  expires_at timestamptz not null,
  primary key (webhook_id, key)
)`);
    this.addSql(`create index inbound_key_expiry on inbound_key (expires_at)`);

    // One outbox, one sequence and one feed for both directions; who reads one kind steps over nothing of the other.
    this.addSql(`alter table feed_outbox add column kind smallint not null default 0`);
    this.addSql(`alter table feed add column kind smallint not null default 0`);
    this.addSql(`drop index feed_tenant`);
    this.addSql(`create index feed_stream on feed (tenant_id, kind, seq)`);
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

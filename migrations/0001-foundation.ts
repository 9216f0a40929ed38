import { Migration } from '@mikro-orm/migrations';

/**
 * The first shape of the database. What grows with traffic (`event`, `delivery`, `attempt`) is range-partitioned by
 * time on its UUIDv7 id, `feed` on its sequence number; the partitions themselves are made by
 * `src/domain/retention/partitions.ts`, never here. No foreign key points at a partitioned table.
 */
export class Migration0001Foundation extends Migration {
  override up(): void {
    this.addSql(`
create table installation (
  id boolean primary key default true check (id),
  generation uuid not null default gen_random_uuid(),
  canary text,
  created_at timestamptz not null default now()
)`);
    this.addSql(`insert into installation default values`);

    this.addSql(`
create table tenant (
  id uuid primary key,
  slug text not null unique,
  name text not null,
  is_first boolean not null default false,
  created_at timestamptz not null default now()
)`);
    this.addSql(`create unique index tenant_only_first on tenant (is_first) where is_first`);

    this.addSql(`
create table api_key (
  id uuid primary key,
  tenant_id uuid not null references tenant (id),
  name text not null,
  prefix text not null,
  hash bytea not null unique,
  scopes text[] not null,
  created_at timestamptz not null default now(),
  last_used_at timestamptz,
  expires_at timestamptz,
  revoked_at timestamptz
)`);
    this.addSql(`create index api_key_tenant on api_key (tenant_id, id)`);

    this.addSql(`
create table webhook (
  id uuid primary key,
  tenant_id uuid not null references tenant (id),
  name text not null,
  description text,
  url text not null,
  event_types text[] not null,
  status text not null,
  verify_ssl boolean not null default true,
  entity_ids text[] not null default '{}',
  payload_fields text[],
  timeout_seconds integer not null,
  retry_schedule integer[] not null,
  max_concurrency integer not null,
  secret text not null,
  previous_secret text,
  previous_secret_expires_at timestamptz,
  disabled_at timestamptz,
  disabled_reason text,
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
)`);
    this.addSql(`create index webhook_tenant on webhook (tenant_id, id)`);

    // One row per event type or wildcard that a webhook names: what an event matches is found by index alone.
    this.addSql(`
create table webhook_subscription (
  tenant_id uuid not null,
  pattern text not null,
  webhook_id uuid not null references webhook (id) on delete cascade,
  primary key (tenant_id, pattern, webhook_id)
)`);
    this.addSql(`create index webhook_subscription_webhook on webhook_subscription (webhook_id)`);

    // Apart from the webhook: settles write it for every batch, and it stays narrow so that those updates are HOT.
    this.addSql(`
create table webhook_health (
  webhook_id uuid primary key references webhook (id) on delete cascade,
  consecutive_failures integer not null default 0,
  failing_since timestamptz,
  last_delivery_at timestamptz,
  last_success_at timestamptz,
  last_failure_at timestamptz
) with (fillfactor = 50)`);

    // Outlives its webhook until the lane's holder has cancelled what was open: hence the name, and no foreign key.
    this.addSql(`
create table lane (
  webhook_id uuid primary key,
  tenant_id uuid not null,
  webhook_name text not null,
  next_due_at timestamptz,
  held_until timestamptz,
  crashes integer not null default 0
) with (fillfactor = 70)`);
    this.addSql(`create index lane_due on lane (next_due_at) where next_due_at is not null`);

    this.addSql(`
create table event_type (
  tenant_id uuid not null references tenant (id),
  name text not null,
  description text not null,
  schema text,
  example text,
  deprecated boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, name)
)`);

    // body is the envelope, byte for byte as it is signed and sent.
    this.addSql(`
create table event (
  id uuid primary key,
  tenant_id uuid not null,
  type text not null,
  entity_id text,
  source text not null,
  is_test boolean not null default false,
  occurred_at timestamptz not null,
  published_at timestamptz not null,
  body text not null
) partition by range (id)`);
    this.addSql(`create index event_tenant on event (tenant_id, id)`);

    this.addSql(`
create table event_key (
  tenant_id uuid not null,
  key text not null,
  fingerprint bytea not null,
  event_id uuid not null,
  matched_count integer not null default 0,
  expires_at timestamptz not null,
  primary key (tenant_id, key)
)`);
    this.addSql(`create index event_key_expiry on event_key (expires_at)`);

    this.addSql(`create sequence delivery_seq as bigint cache 1`);
    // What is pending or retrying: small, churning, therefore vacuumed and analysed early.
    this.addSql(`
create table delivery_open (
  id uuid primary key,
  tenant_id uuid not null,
  webhook_id uuid not null,
  event_id uuid not null,
  event_type text not null,
  is_test boolean not null default false,
  band smallint not null default 0,
  seq bigint not null default nextval('delivery_seq'),
  attempts integer not null default 0,
  cycle_attempts integer not null default 0,
  trigger text not null default 'INITIAL',
  next_at timestamptz not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  payload_fields text[],
  response_status integer,
  duration_ms integer,
  error_code text,
  error_message text
) with (
  fillfactor = 90,
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_vacuum_insert_scale_factor = 0.2,
  autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 1000
)`);
    this.addSql(`create index delivery_open_due on delivery_open (webhook_id, band, next_at, seq)`);
    this.addSql(`create index delivery_open_next on delivery_open (next_at)`);
    this.addSql(`create index delivery_open_tenant on delivery_open (tenant_id, id)`);
    this.addSql(`create index delivery_open_webhook on delivery_open (webhook_id, id)`);

    // What has ended. Rows are inserted by the settle that ended them and never updated.
    this.addSql(`
create table delivery (
  id uuid primary key,
  tenant_id uuid not null,
  webhook_id uuid not null,
  event_id uuid not null,
  event_type text not null,
  status text not null,
  is_test boolean not null,
  attempts integer not null,
  created_at timestamptz not null,
  completed_at timestamptz not null,
  payload_fields text[],
  response_status integer,
  duration_ms integer,
  error_code text,
  error_message text
) partition by range (id)`);
    this.addSql(`create index delivery_tenant on delivery (tenant_id, id)`);
    this.addSql(`create index delivery_webhook on delivery (webhook_id, id)`);

    // Its id derives from delivery and number (derive_id), so that a delivery's attempts need no index of their own.
    this.addSql(`
create table attempt (
  id uuid primary key,
  tenant_id uuid not null,
  delivery_id uuid not null,
  number integer not null,
  trigger text not null,
  started_at timestamptz not null,
  duration_ms integer not null,
  request_headers text not null,
  response_status integer,
  response_headers text,
  response_body bytea,
  response_truncated boolean not null,
  error_code text,
  error_message text
) partition by range (id)`);

    // One row per settle and tenant, moved on by the sequencer.
    this.addSql(`
create table feed_outbox (
  id bigint generated always as identity primary key,
  tenant_id uuid not null,
  at timestamptz not null default clock_timestamp(),
  changes text not null
) with (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0.1, autovacuum_analyze_threshold = 1000
)`);
    this.addSql(`create sequence feed_seq as bigint cache 1`);
    this.addSql(`
create table feed (
  seq bigint primary key,
  tenant_id uuid not null,
  at timestamptz not null,
  changes text not null
) partition by range (seq)`);
    this.addSql(`create index feed_tenant on feed (tenant_id, seq)`);

    // A UUIDv7 with the millisecond of `base` and 74 bits of a hash of base and salt: the same pair, the same id. One
    // expression, hashing three times, because only that is inlined: as a function with a FROM it cost 18 us a row.
    this.addSql(`
create function derive_id(base uuid, salt text) returns uuid
language sql immutable parallel safe as $$
  select overlay(
    overlay(
      base::text
      placing '7' || substr(encode(sha256((base::text || salt)::bytea), 'hex'), 1, 3) from 15)
    placing substr('89ab', 1 + (get_byte(sha256((base::text || salt)::bytea), 1) & 3), 1) ||
      substr(encode(sha256((base::text || salt)::bytea), 'hex'), 5, 3) || '-' ||
      substr(encode(sha256((base::text || salt)::bytea), 'hex'), 8, 12) from 20)::uuid
$$`);
    // Milliseconds since the epoch, as JavaScript counts time.
    this.addSql(`
create function epoch_ms(t timestamptz) returns double precision
language sql immutable strict parallel safe as $$ select extract(epoch from t)::double precision * 1000 $$`);
    this.addSql(`
create function from_epoch_ms(ms double precision) returns timestamptz
language sql immutable strict parallel safe as $$ select to_timestamp(ms / 1000) $$`);
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

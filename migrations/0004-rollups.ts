import { Migration } from '@mikro-orm/migrations';

/**
 * What analytics and health rates are read from. Whatever changes the status of a real delivery adds a row to
 * `rollup_outbox`; the fold moves those into `rollup` and `rollup_type`, which have a row per webhook (and per tenant, under
 * the id of zeros), grain and stretch of time. `minute` counts minutes since the epoch, `grain` is the length in minutes: 1,
 * 60 or 1440.
 */
export class Migration0004Rollups extends Migration {
  override up(): void {
    // Counts are changes, and may be negative: one that was RETRYING is no more. latencies: buckets, one for each attempt.
    this.addSql(`
create table rollup_outbox (
  id bigint generated always as identity primary key,
  tenant_id uuid not null,
  webhook_id uuid not null,
  event_type text not null,
  minute integer not null,
  delivered integer not null,
  abandoned integer not null,
  cancelled integer not null,
  retrying integer not null,
  failed integer not null,
  latencies smallint[]
) with (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0.1, autovacuum_analyze_threshold = 1000
)`);
    this.addSql(`create index rollup_outbox_webhook on rollup_outbox (tenant_id, webhook_id)`);

    // latency: attempts by bucket, without the zeros at the end. The current rows are written every few seconds: HOT.
    this.addSql(`
create table rollup (
  tenant_id uuid not null,
  webhook_id uuid not null,
  grain smallint not null,
  minute integer not null,
  delivered bigint not null,
  abandoned bigint not null,
  cancelled bigint not null,
  retrying bigint not null,
  failed bigint not null,
  latency bigint[] not null,
  primary key (tenant_id, webhook_id, grain, minute)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.1)`);
    this.addSql(`create index rollup_age on rollup (grain, minute)`);
    this.addSql(`
create table rollup_type (
  tenant_id uuid not null,
  webhook_id uuid not null,
  grain smallint not null,
  minute integer not null,
  event_type text not null,
  delivered bigint not null,
  abandoned bigint not null,
  cancelled bigint not null,
  retrying bigint not null,
  failed bigint not null,
  primary key (tenant_id, webhook_id, grain, minute, event_type)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.1)`);
    this.addSql(`create index rollup_type_age on rollup_type (grain, minute)`);

    this.addSql(`
create function add_latency(a bigint[], b bigint[]) returns bigint[]
language sql immutable parallel safe as $$
  select array(select coalesce(x, 0) + coalesce(y, 0) from unnest(a, b) with ordinality as t (x, y, i) order by i)
$$`);
    // The minute of a UUIDv7, since the epoch.
    this.addSql(`
create function minute_of(id uuid) returns integer
language sql immutable strict parallel safe as $$
  select ((('x' || substr(id::text, 1, 8) || substr(id::text, 10, 4))::bit(48)::bigint) / 60000)::integer
$$`);
    // What is open after an attempt was never counted, and will be taken out of the count when it ends.
    this.addSql(`
insert into rollup_outbox (tenant_id, webhook_id, event_type, minute, delivered, abandoned, cancelled, retrying, failed)
select tenant_id, webhook_id, event_type, minute_of(id), 0, 0, 0, count(*), count(*)
from delivery_open where attempts > 0 and not is_test group by tenant_id, webhook_id, event_type, minute_of(id)`);
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

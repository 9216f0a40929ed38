import { Migration } from '@mikro-orm/migrations';

/**
 * Forwards: deliveries of inbound requests, by the lane of their inbound webhook. Their `event_id` is the inbound delivery,
 * their `webhook_id` the inbound webhook, whose body goes as it came.
 */
export class Migration0009Forwards extends Migration {
  override up(): void {
    this.addSql(`alter table delivery_open add column is_forward boolean not null default false`);
    this.addSql(`alter table delivery add column is_forward boolean not null default false`);
    // What gives up for good frees the key that it claimed.
    this.addSql(`alter table inbound_open add column key bytea`);
    // What a lane delivers for. A paused inbound webhook receives nothing; what it received before is still forwarded.
    this.addSql(`
create view lane_target as
  select id, tenant_id, status, version from webhook
  union all
  select id, tenant_id, case when url is null or status = 'DISABLED' then 'DISABLED' else 'ACTIVE' end, version from inbound_webhook`);
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

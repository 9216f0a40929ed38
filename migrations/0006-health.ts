import { Migration } from '@mikro-orm/migrations';

/** Webhooks that fail for a day are disabled, and what befalls webhooks becomes events. */
export class Migration0006Health extends Migration {
  override up(): void {
    // disable_at: when the streak of failures ends the webhook, written once it is long enough for that.
    // failing_told_at: when the streak was announced. changed_at: when the status of health last became another.
    this.addSql(`
alter table webhook_health
  add column disable_at timestamptz,
  add column failing_told_at timestamptz,
  add column changed_at timestamptz`);
    // Of the few that have failed for half a day. One on failing_since would hold every failing and disabled webhook,
    // and one over a counter would cost each settle its HOT update.
    this.addSql(`create index webhook_health_disable on webhook_health (disable_at) where disable_at is not null`);

    // What settles have to announce, moved on by the health watch. detail is JSON text.
    this.addSql(`
create table operational_outbox (
  id bigint generated always as identity primary key,
  tenant_id uuid not null,
  webhook_id uuid not null,
  type text not null,
  at timestamptz not null default clock_timestamp(),
  detail text not null
) with (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0.1, autovacuum_analyze_threshold = 1000
)`);
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

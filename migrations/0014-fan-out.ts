import { Migration } from '@mikro-orm/migrations';

/**
 * Events whose deliveries were too many to be written with them. A row says which webhooks are left: those from the next to the
 * last in the order of their ids, but for those that have theirs. It is gone with the last slice. `turn` is who waits longest.
 */
export class Migration0014FanOut extends Migration {
  override up(): void {
    this.addSql(`
create table fan_out (
  event_id uuid primary key,
  tenant_id uuid not null,
  event_type text not null,
  entity_id text,
  published_at timestamptz not null,
  patterns text not null,
  next_webhook uuid not null,
  last_webhook uuid not null,
  written_webhooks uuid[] not null,
  turn bigint generated always as identity
)`);
    this.addSql(`create index fan_out_turn on fan_out (turn)`);
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

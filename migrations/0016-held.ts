import { Migration } from '@mikro-orm/migrations';

/** What the feed calls held is known of each delivery; of a lane, which change of its webhook's status was told to the end. */
export class Migration0016Held extends Migration {
  override up(): void {
    // is_held: the feed has called it held, and not taken that back.
    this.addSql(`alter table delivery_open add column is_held boolean not null default false`);
    this.addSql(`
update delivery_open o set is_held = true from lane l where l.webhook_id = o.webhook_id and o.id <= l.held_told_to`);
    // status_changes: how often its webhook was paused, resumed or enabled. status_told: up to which of these the feed was told
    // what that means for each of its deliveries.
    this.addSql(`
alter table lane
  add column status_changes integer not null default 0,
  add column status_told integer not null default 0`);
    this.addSql(`
update lane l set status_changes = 1, status_told = case
    when w.status = 'PAUSED' and l.held_told_to = 'ffffffff-ffff-ffff-ffff-ffffffffffff' then 1 else 0 end
from webhook w where w.id = l.webhook_id and (w.status = 'PAUSED' or l.held_told_to is not null)`);
    this.addSql(`alter table lane drop column held_told_to`);
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

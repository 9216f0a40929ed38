import { Migration } from '@mikro-orm/migrations';

/** A subscription names the entity that it is narrowed to, one row for each; the empty text where it is for all. */
export class Migration0015NarrowedSubscriptions extends Migration {
  override up(): void {
    this.addSql(`alter table webhook_subscription add column entity_id text not null default ''`);
    this.addSql(`alter table webhook_subscription drop constraint webhook_subscription_pkey`);
    this.addSql(`
insert into webhook_subscription (tenant_id, pattern, entity_id, webhook_id)
select s.tenant_id, s.pattern, named.id, s.webhook_id
from webhook w join webhook_subscription s on s.webhook_id = w.id cross join unnest(w.entity_ids) as named(id)`);
    this.addSql(`
delete from webhook_subscription s using webhook w
where w.id = s.webhook_id and w.entity_ids <> '{}' and s.entity_id = ''`);
    this.addSql(`alter table webhook_subscription add primary key (tenant_id, pattern, entity_id, webhook_id)`);
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

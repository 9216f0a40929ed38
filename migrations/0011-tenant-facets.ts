import { Migration } from '@mikro-orm/migrations';

/**
 * Facets are registered of tenants alone: to look up those of each webhook cost a settle of 500 deliveries to 100 webhooks a thousand
 * probes, 10 ms. A list of a webhook goes by the tenant's, of which it may lack some.
 */
export class Migration0011TenantFacets extends Migration {
  override up(): void {
    this.addSql(`delete from delivery_facet where webhook_id <> '00000000-0000-0000-0000-000000000000'`);
    this.addSql(`alter table delivery_facet drop column webhook_id`);
    this.addSql(`alter table delivery_facet add primary key (tenant_id, facet)`);
    this.addSql(`
create or replace function register_facets() returns trigger language plpgsql as $$
begin
  insert into delivery_facet (tenant_id, facet, event_type, status, response_status, is_test)
  select d.tenant_id, d.facet, d.event_type, d.status, d.response_status, d.is_test
  from (select distinct tenant_id, facet, event_type, status, response_status, is_test from added) d
  where not exists (select from delivery_facet f where f.tenant_id = d.tenant_id and f.facet = d.facet)
  order by 1, 2
  on conflict do nothing;
  return null;
end $$`);
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

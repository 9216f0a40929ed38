import { Migration } from '@mikro-orm/migrations';

/**
 * What lists with filters walk. All that a delivery's history can be filtered by, except its webhook, is one number, its facet,
 * which no other tenant has;
 * `delivery_facet` knows which facets a webhook and a tenant have, so that a filter becomes a few ranges of one index.
 */
export class Migration0010Lists extends Migration {
  override up(): void {
    // PostgreSQL's own hashes, each the seed of the next: md5 of a text cost five times as much, 4 ms in a settle of 500. They are
    // the same in every version, because hash partitions are dumped and restored by them.
    this.addSql(`
create function facet_of(
  tenant_id uuid, event_type text, status text, response_status integer, is_test boolean
) returns bigint
language sql immutable parallel safe as $$
  select hashtextextended(event_type, hashtextextended(status,
    uuid_hash_extended(tenant_id, (coalesce(response_status, -1) * 2 + is_test::integer)::bigint)))
$$`);
    this.addSql(`
alter table delivery
  add column facet bigint generated always as (facet_of(tenant_id, event_type, status, response_status, is_test)) stored`);
    this.addSql(`create index delivery_facet_id on delivery (facet, id)`);
    this.addSql(`create index delivery_webhook_facet on delivery (webhook_id, facet, id)`);

    // Without statistics the planner assumes that facets and types are many, and goes by their indexes. Where it knew that nearly
    // all rows of a partition have one, it walked the primary key for whatever other. New partitions get the same.
    this.addSql(`
do $$
declare part record;
begin
  for part in select inhrelid::regclass as name, inhparent = 'delivery'::regclass as of_delivery from pg_inherits
    where inhparent in ('delivery'::regclass, 'event'::regclass) loop
    execute format('alter table %s alter column %I set statistics 0', part.name,
      case when part.of_delivery then 'facet' else 'type' end);
  end loop;
end $$`);

    // webhook_id: zeros for the whole tenant.
    this.addSql(`
create table delivery_facet (
  tenant_id uuid not null,
  webhook_id uuid not null,
  facet bigint not null,
  event_type text not null,
  status text not null,
  response_status integer,
  is_test boolean not null,
  primary key (tenant_id, webhook_id, facet)
)`);
    // A trigger, because a facet that is not registered is a delivery that lists don't show, whoever recorded it. In the
    // order of the key, so that two that meet a new one never wait for each other.
    this.addSql(`
create function register_facets() returns trigger language plpgsql as $$
begin
  insert into delivery_facet (tenant_id, webhook_id, facet, event_type, status, response_status, is_test)
  select d.tenant_id, owner.id, d.facet, d.event_type, d.status, d.response_status, d.is_test
  from (select distinct tenant_id, webhook_id, facet, event_type, status, response_status, is_test from added) d
  cross join lateral (values (d.webhook_id), ('00000000-0000-0000-0000-000000000000'::uuid)) as owner (id)
  where not exists (select from delivery_facet f
    where f.tenant_id = d.tenant_id and f.webhook_id = owner.id and f.facet = d.facet)
  order by 1, 2, 3
  on conflict do nothing;
  return null;
end $$`);
    this.addSql(`
create trigger register_facets after insert on delivery
referencing new table as added for each statement execute function register_facets()`);
    this.addSql(`
insert into delivery_facet (tenant_id, webhook_id, facet, event_type, status, response_status, is_test)
select distinct d.tenant_id, owner.id, d.facet, d.event_type, d.status, d.response_status, d.is_test
from delivery d
cross join lateral (values (d.webhook_id), ('00000000-0000-0000-0000-000000000000'::uuid)) as owner (id)`);

    this.addSql(`create index delivery_open_test on delivery_open (tenant_id) where is_test`);

    // Lists of events leave out tests.
    this.addSql(`create index event_tenant_type on event (tenant_id, type, id) where not is_test`);
    this.addSql(
      `create index event_tenant_entity on event (tenant_id, entity_id, id) where entity_id is not null and not is_test`,
    );
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

import { Migration } from '@mikro-orm/migrations';

/** The service desk, and how often what caused an event had passed through hookgraph. */
export class Migration0003Desk extends Migration {
  override up(): void {
    this.addSql(`alter table event add column hops smallint not null default 0`);

    // The last number given out; its row is locked from there to the commit, so numbers have no gaps.
    this.addSql(`
create table ticket_counter (
  tenant_id uuid primary key references tenant (id),
  last_number integer not null
) with (fillfactor = 50)`);

    // properties is JSON text: jsonb would reorder its keys and refuse some of its texts.
    this.addSql(`
create table client (
  id uuid primary key,
  tenant_id uuid not null references tenant (id),
  name text not null,
  external_id text,
  is_active boolean not null default true,
  properties text not null default '{}',
  created_at timestamptz not null,
  updated_at timestamptz not null
)`);
    this.addSql(`create index client_tenant on client (tenant_id, id)`);
    this.addSql(`create unique index client_external on client (tenant_id, external_id)`);

    // closed_at is set exactly while the status is one that closes.
    this.addSql(`
create table ticket (
  id uuid primary key,
  tenant_id uuid not null references tenant (id),
  number integer not null,
  title text not null,
  description text,
  status text not null,
  priority text not null,
  client_id uuid references client (id),
  contact_name text,
  contact_email text,
  assigned_to text,
  board text,
  tags text[] not null default '{}',
  due_date timestamptz,
  external_id text,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  closed_at timestamptz
)`);
    this.addSql(`create index ticket_tenant on ticket (tenant_id, id)`);
    this.addSql(`create unique index ticket_number on ticket (tenant_id, number)`);
    this.addSql(`create unique index ticket_external on ticket (tenant_id, external_id)`);
    // A list by status reads a page of each status and merges them.
    this.addSql(`create index ticket_status on ticket (tenant_id, status, id)`);
    this.addSql(`create index ticket_assigned on ticket (tenant_id, assigned_to, id) where assigned_to is not null`);
    this.addSql(`create index ticket_client on ticket (client_id, id) where client_id is not null`);

    this.addSql(`
create table ticket_comment (
  id uuid primary key,
  tenant_id uuid not null,
  ticket_id uuid not null references ticket (id),
  text text not null,
  author text,
  is_internal boolean not null,
  created_at timestamptz not null
)`);
    this.addSql(`create index ticket_comment_ticket on ticket_comment (ticket_id, id)`);

    this.addSql(`
create table asset (
  id uuid primary key,
  tenant_id uuid not null references tenant (id),
  external_id text not null,
  name text not null,
  asset_type text not null,
  status text not null,
  client_id uuid references client (id),
  serial_number text,
  location text,
  rmm_snapshot text,
  created_at timestamptz not null,
  updated_at timestamptz not null
)`);
    this.addSql(`create index asset_tenant on asset (tenant_id, id)`);
    this.addSql(`create unique index asset_external on asset (tenant_id, external_id)`);
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

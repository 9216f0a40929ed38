import { Migration } from '@mikro-orm/migrations';

/** Retrying, recovering and cancelling many deliveries, as operations that run in the background. */
export class Migration0005Bulk extends Migration {
  override up(): void {
    // parameters: JSON text. scan_after: everything up to this id was looked at, by the count or, once it is done, by the
    // work. tries: slices in a row that failed.
    this.addSql(`
create table bulk_operation (
  id uuid primary key,
  tenant_id uuid not null references tenant (id),
  kind text not null,
  parameters text not null,
  status text not null default 'RUNNING',
  is_counted boolean not null default false,
  scan_after uuid not null default '00000000-0000-0000-0000-000000000000',
  total integer not null default 0,
  succeeded integer not null default 0,
  failed integer not null default 0,
  tries integer not null default 0,
  started_at timestamptz not null default clock_timestamp(),
  completed_at timestamptz,
  error text
) with (fillfactor = 50)`);
    this.addSql(`create index bulk_operation_running on bulk_operation (tenant_id, id) where status = 'RUNNING'`);
    this.addSql(`create index bulk_operation_ended on bulk_operation (completed_at) where completed_at is not null`);
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

import { Migration } from '@mikro-orm/migrations';

/**
 * Workflows, in versions: a run keeps the one that it began with. A deleted workflow keeps its row for as long as runs of it
 * may be kept. Runs and their steps are partitioned by time: a run's id derives from its inbound delivery, whose millisecond
 * it has, so there is one run for each delivery. A step's `id` is its run's.
 */
export class Migration0008Workflows extends Migration {
  override up(): void {
    this.addSql(`
create table workflow (
  id uuid primary key,
  tenant_id uuid not null references tenant (id),
  name text not null,
  description text,
  version integer not null default 1,
  deleted_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
)`);
    this.addSql(`create index workflow_tenant on workflow (tenant_id, id) where deleted_at is null`);
    this.addSql(`create index workflow_deleted on workflow (deleted_at) where deleted_at is not null`);

    // Steps are JSON as text, in the order in which they run.
    this.addSql(`
create table workflow_version (
  workflow_id uuid not null references workflow (id) on delete cascade,
  version integer not null,
  steps text not null,
  created_at timestamptz not null default now(),
  replaced_at timestamptz,
  primary key (workflow_id, version)
)`);
    this.addSql(
      `create index workflow_version_replaced on workflow_version (replaced_at) where replaced_at is not null`,
    );

    this.addSql(`
create table workflow_run (
  id uuid primary key,
  tenant_id uuid not null,
  workflow_id uuid not null,
  version integer not null,
  delivery_id uuid not null,
  status text not null,
  error text,
  started_at timestamptz not null default now(),
  completed_at timestamptz
) partition by range (id)`);
    this.addSql(`create index workflow_run_tenant on workflow_run (tenant_id, id)`);
    this.addSql(`create index workflow_run_workflow on workflow_run (workflow_id, id)`);

    this.addSql(`
create table workflow_run_step (
  id uuid not null,
  position smallint not null,
  name text not null,
  status text not null,
  attempts integer not null default 0,
  output text,
  error text,
  started_at timestamptz,
  completed_at timestamptz,
  primary key (id, position)
) partition by range (id)`);
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

import { Migration } from '@mikro-orm/migrations';

/** What one webhook may ask of its lane: a condition, headers of its own, a rate limit, strict order, a circuit breaker. */
export class Migration0002Lanes extends Migration {
  override up(): void {
    // headers: encrypted JSON, a list of [name, value]; header_names: the names alone, which are no secret.
    this.addSql(`
alter table webhook
  add column condition text,
  add column headers text,
  add column header_names text[] not null default '{}',
  add column rate_limit_per_minute integer,
  add column ordering text not null default 'NONE',
  add column resumed_at timestamptz`);
    // limiter_at: GCRA's theoretical arrival time. held_told_to: open deliveries up to this id were told as HELD.
    this.addSql(`
alter table lane
  add column circuit_until timestamptz,
  add column limiter_at timestamptz,
  add column held_told_to uuid`);
    // Under strict order a failed delivery keeps its place, which is next_at, and waits here.
    this.addSql(`alter table delivery_open add column retry_at timestamptz`);
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

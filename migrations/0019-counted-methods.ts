import { Migration } from '@mikro-orm/migrations';

/** Requests by a method that receivers don't take are counted like all that are refused. */
export class Migration0019CountedMethods extends Migration {
  override up(): void {
    this.addSql(`alter table inbound_counter add column method bigint not null default 0`);
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

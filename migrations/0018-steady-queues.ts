import { Migration } from '@mikro-orm/migrations';

/**
 * Tables that fill and empty again all the time keep the room that they once took. Giving it back at each vacuum takes an
 * exclusive lock, behind which publishing and settling wait (60 ms were seen), only to ask for it again with the next load
 * (https://www.postgresql.org/docs/current/sql-createtable.html#RELOPTION-VACUUM-TRUNCATE).
 */
export class Migration0018SteadyQueues extends Migration {
  override up(): void {
    for (const table of ['delivery_open', 'inbound_open', 'feed_outbox', 'rollup_outbox', 'operational_outbox']) {
      this.addSql(`alter table ${table} set (vacuum_truncate = false, toast.vacuum_truncate = false)`);
    }
  }

  override down(): void {
    throw new Error('hookgraph migrates forward only: restore the backup that you took before upgrading.');
  }
}

import { Client } from 'pg';
import { pino } from 'pino';
import { beforeAll, expect, it } from 'vitest';
import { ensurePartitions } from '../src/domain/retention/partitions.ts';
import { Retention } from '../src/jobs/retention.ts';
import { lowestIdAt, newId } from '../src/platform/ids.ts';
import { useDatabase } from './harness/ownDatabase.ts';
import { until } from './harness/program.ts';

const DAY_MS = 86_400_000;
const NOW = Date.now();

const own = useDatabase(3);
let retention: Retention;

beforeAll(() => {
  retention = new Retention(own.database, pino({ level: 'silent' }), 30);
});

/** An inbound delivery of so many days ago; one that waits where asked for. */
const receive = async (daysAgo: number, waits = false): Promise<string> => {
  const at = NOW - daysAgo * DAY_MS;
  await ensurePartitions(own.database, at);
  const id = `${lowestIdAt(at).slice(0, 24)}${newId().slice(24)}`;
  await own.database.sql.query(
    `with kept as (
       insert into inbound_delivery (id, tenant_id, webhook_id, received_at, auth_status, dispatch_status, method, path, headers,
         response_status, duration_ms)
       values ($1, $1, $1, from_epoch_ms($2), 'VERIFIED', 'PENDING', 'POST', '/', '{}', 200, 1))
     insert into inbound_open (id, tenant_id, webhook_id, next_at, created_at, expires_at)
     select $1, $1, $1, now(), now(), now() where $3`,
    [id, at, waits],
  );
  return id;
};

const kept = async (): Promise<string[]> =>
  (await own.database.sql.query<{ id: string }>(`select id from inbound_delivery order by id`)).map(({ id }) => id);

it('what was received is dropped once it is older than the retention, and not before', async () => {
  const [old, young] = [await receive(45), await receive(29)];
  expect(await kept()).toEqual([old, young]);
  await retention.runOnce(NOW);
  expect(await kept()).toEqual([young]);
});

it('what still waits keeps its day, and those after it, whatever their age', async () => {
  const [older, waiting, later] = [await receive(50), await receive(45, true), await receive(40)];
  await retention.runOnce(NOW);
  expect(await kept()).toEqual(expect.arrayContaining([waiting, later]));
  expect(await kept()).not.toContain(older);
  await own.database.sql.query(`delete from inbound_open`);
  await retention.runOnce(NOW);
  expect(await kept()).not.toContain(waiting);
});

it.each([
  [
    'event_key',
    `insert into event_key (tenant_id, key, fingerprint, event_id, expires_at)
     select $1, n::text, '', $1, now() + $2::text::interval from generate_series(1, $3::int) n`,
  ],
  [
    'inbound_key',
    `insert into inbound_key (webhook_id, key, delivery_id, expires_at)
     select $1, sha256(n::text::bytea), $1, now() + $2::text::interval from generate_series(1, $3::int) n`,
  ],
])('keys of %s are forgotten when their time is over, however many there are', async (table, insert) => {
  await own.database.sql.query(insert, [newId(), '-1 s', 12_000]);
  await own.database.sql.query(insert, [newId(), '1 hour', 3]);
  await retention.runOnce(NOW);
  const [left] = await own.database.sql.query<{ n: number }>(`select count(*)::int as n from ${table}`);
  expect(left!.n).toBe(3);
});

/** Tables of days whose partition is not attached. */
const detached = async (): Promise<string[]> =>
  (
    await own.database.sql.query<{ name: string }>(
      `select relname as name from pg_class c where relname ~ '_p\\d{8}$' and relkind = 'r'
         and not exists (select from pg_inherits where inhrelid = c.oid and not inhdetachpending)`,
    )
  ).map(({ name }) => name);

it('what a crash left detached is dropped by the next turn, and a day that somebody detached to keep is not', async () => {
  await receive(60);
  const [archived] = await own.database.sql.query<{ name: string }>(
    `select tableoid::regclass::text as name from inbound_delivery order by id limit 1`,
  );
  await own.database.sql.query(`alter table inbound_delivery detach partition ${archived!.name}`);
  await own.database.sql.query(
    `create function crash() returns event_trigger language plpgsql as $$ begin raise 'a crash'; end $$`,
  );
  await own.database.sql.query(
    `create event trigger crash on ddl_command_start when tag in ('DROP TABLE') execute function crash()`,
  );
  await expect(retention.runOnce(NOW)).rejects.toThrow('a crash');
  await own.database.sql.query(`drop event trigger crash`);
  expect(await detached()).toHaveLength(2);
  await retention.runOnce(NOW);
  expect(await detached()).toEqual([archived!.name]);
  await own.database.sql.query(`drop table ${archived!.name}`);
});

it('a day whose detaching waited for a long report in vain is dropped when that has ended, and so are the others', async () => {
  const days = [await receive(60), await receive(61)];
  expect(await kept()).toEqual(expect.arrayContaining(days));
  const report = new Client({ connectionString: own.url });
  await report.connect();
  try {
    await own.database.sql.query(
      `insert into event_key (tenant_id, key, fingerprint, event_id, expires_at) values ($1, 'over', '', $1, now())`,
      [newId()],
    );
    await report.query('begin isolation level repeatable read');
    await report.query(
      'select count(*) from inbound_delivery, event, delivery, attempt, workflow_run, workflow_run_step',
    );
    const turn = retention.runOnce(NOW).catch((error: unknown) => error);
    await until('retention waits', async () => {
      const cancelled = await own.database.sql.query(
        `select pg_cancel_backend(pid) from pg_stat_activity where query like 'alter table % detach %' and wait_event_type = 'Lock'`,
      );
      return cancelled.length > 0;
    });
    expect(await turn).toMatchObject({ code: '57014' });
    expect(await own.database.sql.query(`select from event_key where key = 'over'`)).toEqual([]);
    expect(await detached()).toHaveLength(1);
  } finally {
    await report.end();
  }
  await retention.runOnce(NOW);
  expect(await detached()).toEqual([]);
  expect(await kept()).not.toEqual(expect.arrayContaining(days));
});

// oxlint-disable typescript/no-explicit-any -- answers are whatever the queries ask for
import { describe, expect, it } from 'vitest';
import { bulkOf } from './harness/bulk.ts';
import { runSql, selectSql } from './harness/database.ts';
import { spawnProgram, until } from './harness/program.ts';
import type { TestProgram } from './harness/program.ts';
import { usePrograms } from './harness/programs.ts';
import { tenantOf } from './harness/tenant.ts';
import type { TestTenant } from './harness/tenant.ts';

const TYPE = 'ticket.created';
const MANY = 12_000;
const WAIT_MS = 60_000;
/** The secrets of copied webhooks can't be opened, and workers say so of each. */
const SILENT = { HOOKGRAPH_LOG_LEVEL: 'silent' };

const scene = usePrograms();

const start = (roles: string): Promise<TestProgram> => scene.start({ HOOKGRAPH_ROLES: roles, ...SILENT });

/** So many webhooks for the type that are paused, so that what they get is open and stays so. */
const createPaused = async ({
  tenant,
  count,
  type = TYPE,
}: {
  tenant: TestTenant;
  count: number;
  type?: string;
}): Promise<void> => {
  const { id } = await tenant.createWebhook(scene.receiver.url, [type]);
  await tenant.update(id, { status: 'PAUSED' });
  const [{ uuid }] = await selectSql(scene.database.url, `select id as uuid from webhook order by id desc limit 1`);
  await runSql(
    scene.database.url,
    `with made as (
       insert into webhook select (jsonb_populate_record(w, jsonb_build_object('id',
         overlay(w.id::text placing lpad(to_hex(n), 8, '0') from 29)))).*
       from webhook w cross join generate_series(1, $2::int) as n where w.id = $1 returning id, tenant_id, name
     ), subscribed as (
       insert into webhook_subscription select (jsonb_populate_record(s, jsonb_build_object('webhook_id', made.id))).*
       from made cross join webhook_subscription s where s.webhook_id = $1
     ), healthy as (insert into webhook_health (webhook_id) select id from made)
     insert into lane (webhook_id, tenant_id, webhook_name) select id, tenant_id, name from made`,
    [uuid, count - 1],
  );
};

/** Open deliveries, their webhooks, and events that are not fanned out to the end. */
const counts = async (): Promise<{ open: number; webhooks: number; unfinished: number }> =>
  (
    await selectSql(
      scene.database.url,
      `select count(*)::int as open, count(distinct webhook_id)::int as webhooks,
         (select count(*)::int from fan_out) as unfinished from delivery_open`,
    )
  )[0];
const fannedOut = (): Promise<boolean> => until('the fan-out', async () => (await counts()).unfinished === 0, WAIT_MS);
const received = (path: string): any[] =>
  scene.receiver.requests.filter((request) => request.path === path).map(({ body }) => JSON.parse(body));

describe('an event for more webhooks than are written with it', () => {
  it('is answered with all that match, and reaches each of them once: the last ones later', async () => {
    const tenant = tenantOf(await start('api'));
    await createPaused({ tenant, count: MANY });
    const last = await tenant.createWebhook(`${scene.receiver.url}/last`, [TYPE, 'ticket.*']);
    const published = await tenant.publish(TYPE, { n: 1 }, { idempotencyKey: 'once' });
    expect(published).toMatchObject({ matchedCount: MANY + 1, duplicate: false });
    expect(await counts()).toEqual({ open: 5_000, webhooks: 5_000, unfinished: 1 });
    const again = await tenant.publish(TYPE, { n: 1 }, { idempotencyKey: 'once' });
    expect(again).toMatchObject({ matchedCount: MANY + 1, duplicate: true });

    await tenant.createWebhook(`${scene.receiver.url}/too-late`, [TYPE]);
    await start('worker');
    await tenant.reached(last.id, 'DELIVERED');
    await fannedOut();
    expect(await counts()).toEqual({ open: MANY, webhooks: MANY, unfinished: 0 });
    expect(received('/hook/last').map(({ event_id }) => event_id)).toEqual([published.event.id]);
    expect(received('/hook/too-late')).toEqual([]);
  }, 120_000);

  it('comes to each once though the worker that fans it out is killed, and the next one too', async () => {
    const tenant = tenantOf(await start('api'));
    await createPaused({ tenant, count: 30_000 });
    const last = await tenant.createWebhook(scene.receiver.url, [TYPE]);
    await tenant.publish(TYPE);
    let open = 5_000;
    for (let kills = 0; kills < 2; kills++) {
      const victim = await spawnProgram(scene.database.url, { HOOKGRAPH_ROLES: 'worker', ...SILENT });
      await until('a slice more', async () => (await counts()).open > open, WAIT_MS);
      victim.child.kill('SIGKILL');
      await victim.ended;
      ({ open } = await counts());
    }
    await start('worker');
    await tenant.reached(last.id, 'DELIVERED');
    await fannedOut();
    expect(await counts()).toEqual({ open: 30_000, webhooks: 30_000, unfinished: 0 });
    expect(scene.receiver.requests).toHaveLength(1);
  }, 120_000);

  it('is not overtaken where strict order is asked for, and not given twice to those that recover meanwhile', async () => {
    const tenant = tenantOf(await start('api'));
    await createPaused({ tenant, count: 6_000 });
    const strict = await tenant.createWebhook(`${scene.receiver.url}/strict`, ['ticket.*'], { ordering: 'STRICT' });
    const loose = await tenant.createWebhook(`${scene.receiver.url}/loose`, ['ticket.*']);
    const disabled = await tenant.createWebhook(`${scene.receiver.url}/disabled`, ['ticket.*']);
    const since = new Date(Date.now() - 60_000).toISOString();
    for (let n = 0; n < 10; n++) await tenant.publish(n % 5 === 0 ? TYPE : 'ticket.closed', { n });
    expect((await counts()).unfinished).toBe(2);
    await tenant.update(disabled.id, { status: 'DISABLED' });
    await bulkOf(tenant).recover(loose.id, since);
    await start('worker');
    await fannedOut();
    await tenant.reached(strict.id, 'DELIVERED', 10);
    await tenant.reached(loose.id, 'DELIVERED', 10);
    const numbers = (path: string): number[] => received(path).map(({ data }) => data.n);
    const all = Array.from({ length: 10 }, (_, n) => n);
    expect(numbers('/hook/strict')).toEqual(all);
    expect(new Set(numbers('/hook/loose'))).toEqual(new Set(all));
    expect(numbers('/hook/loose')).toHaveLength(10);
    expect(numbers('/hook/disabled')).toEqual([]);
  }, 120_000);
});

it('of many events at once each has fewer deliveries with it, and all of them in the end', async () => {
  const tenant = tenantOf(await start('api'));
  await createPaused({ tenant, count: 60 });
  const { results } = await tenant.publishMany(Array.from({ length: 1_000 }, (_, n) => ({ type: TYPE, data: { n } })));
  expect(new Set(results.map(({ matchedCount }: any) => matchedCount))).toEqual(new Set([60]));
  expect(await counts()).toEqual({ open: 50_000, webhooks: 50, unfinished: 1_000 });
  await start('worker');
  await fannedOut();
  expect(await counts()).toEqual({ open: 60_000, webhooks: 60, unfinished: 0 });
}, 120_000);

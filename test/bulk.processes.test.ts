import { beforeEach, describe, expect, it } from 'vitest';
import { bulkOf, followOperation } from './harness/bulk.ts';
import type { Operation } from './harness/bulk.ts';
import { until } from './harness/program.ts';
import type { ProgramProcess, TestProgram } from './harness/program.ts';
import { usePrograms } from './harness/programs.ts';
import { tenantOf } from './harness/tenant.ts';

const COUNT = 5_000;

const scene = usePrograms();
let api: TestProgram;

beforeEach(async () => {
  api = await scene.start({ HOOKGRAPH_ROLES: 'api' });
});

const worker = (): Promise<ProgramProcess> => scene.spawn({ HOOKGRAPH_ROLES: 'worker' });

/** Events that no webhook wanted, and a paused webhook that wants them now. */
const webhookThatMissed = async (): Promise<string> => {
  const tenant = tenantOf(api);
  for (let at = 0; at < COUNT; at += 1_000) {
    await tenant.publishMany(
      Array.from({ length: 1_000 }, (_, n) => ({ type: 'ticket.created', data: { n: at + n } })),
    );
  }
  const { id } = await tenant.createWebhook(scene.receiver.url, ['ticket.created']);
  await tenant.update(id, { status: 'PAUSED' });
  return id;
};

const held = async (): Promise<number> =>
  (await api.graphql(`{ deliveries(filter: { status: [HELD] }) { totalCount } }`)).deliveries.totalCount;

describe('an operation on many deliveries', () => {
  it.each([
    ['is killed', 'SIGKILL'],
    ['is stopped', 'SIGTERM'],
  ] as const)(
    'goes on where it was when its worker %s, and does nothing twice',
    async (_, signal) => {
      const bulk = bulkOf(tenantOf(api));
      const id = await webhookThatMissed();
      const started = await bulk.recover(id, new Date(0));
      const first = await worker();
      const following = followOperation(api, started.id, ({ processed }) => {
        if (processed >= 1_000) first.child.kill(signal);
      });
      const how = await first.ended;
      expect(how).toBe(signal === 'SIGKILL' ? 'SIGKILL' : 0);
      const before = (await bulk.find(started.id)) as Operation;
      expect(before.status).toBe('RUNNING');
      expect(before.processed).toBeLessThan(COUNT);
      expect(await held()).toBe(before.succeeded);
      await worker();
      const told = await following;
      expect(told.at(-1)).toMatchObject({ status: 'COMPLETED', total: COUNT, succeeded: COUNT, failed: 0 });
      expect(await held()).toBe(COUNT);
    },
    90_000,
  );

  it('waits for a worker where there is none, and is done once by many', async () => {
    const bulk = bulkOf(tenantOf(api));
    const id = await webhookThatMissed();
    const started = await bulk.recover(id, new Date(0));
    expect(started).toMatchObject({ status: 'RUNNING', processed: 0 });
    await Promise.all([worker(), worker()]);
    expect(await bulk.ended(started, 40_000)).toMatchObject({ status: 'COMPLETED', succeeded: COUNT });
    expect(await held()).toBe(COUNT);
    await tenantOf(api).update(id, { isActive: true });
    await until('all at the receiver', () => scene.receiver.requests.length >= COUNT, 60_000);
    expect(new Set(scene.receiver.requests.map(({ body }) => JSON.parse(body).data.n)).size).toBe(COUNT);
    expect(scene.receiver.requests).toHaveLength(COUNT);
  }, 120_000);

  it('is refused while twenty of the tenant run already, and for nobody else', async () => {
    const tenant = tenantOf(api);
    await tenant.publish('ticket.created');
    const { id } = await tenant.createWebhook(scene.receiver.url, ['ticket.created']);
    const bulk = bulkOf(tenant);
    const started: Operation[] = [];
    for (let n = 0; n < 20; n++) started.push(await bulk.recover(id, new Date(0)));
    expect(started.every(({ status }) => status === 'RUNNING')).toBe(true);
    expect(await bulk.recover(id, new Date(0))).toMatchObject({ code: 'CONFLICT' });
    const { tenantCreate } = await tenant.graphql(
      `mutation { tenantCreate(input: { slug: "other" }) { ... on TenantCreateSuccess { secret } } }`,
    );
    const other = tenantOf(api, tenantCreate.secret);
    await other.publish('ticket.created');
    const theirs = await other.createWebhook(scene.receiver.url, ['ticket.created']);
    expect(await bulkOf(other).recover(theirs.id, new Date(0))).toMatchObject({ status: 'RUNNING', total: 1 });
    await bulk.callOff(started[0]!.id);
    expect(await bulk.recover(id, new Date(0))).toMatchObject({ status: 'RUNNING' });
    await worker();
    const ended = await Promise.all(started.map((operation) => bulk.ended(operation, 30_000)));
    expect(ended.reduce((sum, { succeeded }) => sum + succeeded, 0)).toBeLessThanOrEqual(1);
    await until('once for each tenant', () => scene.receiver.requests.length === 2);
  }, 60_000);
});

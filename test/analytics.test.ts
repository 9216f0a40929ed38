// oxlint-disable typescript/no-explicit-any -- answers are whatever the queries ask for
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { schema } from '../mikro-orm.config.ts';
import { foldOnce } from '../src/domain/analytics/fold.ts';
import { openDatabase } from '../src/platform/database.ts';
import type { Database } from '../src/platform/database.ts';
import { until } from './harness/program.ts';
import { useScene } from './harness/scene.ts';
import { tenantOf } from './harness/tenant.ts';
import type { TestTenant } from './harness/tenant.ts';

const scene = useScene();
let database: Database;
beforeAll(async () => {
  database = await openDatabase({ url: scene.database.url, poolSize: 1, schema });
});
afterAll(() => database.close());

let tenants = 0;
/** One of a test's own, so that its figures are nobody else's. */
const newTenant = async (): Promise<TestTenant> => {
  const { tenantCreate } = await scene.tenant.graphql(
    `mutation ($slug: String!) { tenantCreate(input: { slug: $slug }) { ... on TenantCreateSuccess { secret } } }`,
    { slug: `analytics-${++tenants}` },
  );
  return tenantOf(scene.program, tenantCreate.secret);
};

const ANALYTICS = `total byStatus { status count } byEventType { eventType count succeeded failed }
  timeline { at succeeded failed p95Ms } latency { p50Ms p95Ms p99Ms } successRate`;

const ofTenant = async (tenant: TestTenant, args = ''): Promise<any> =>
  (await tenant.graphql(`{ analytics${args} { ${ANALYTICS} } }`)).analytics;
const ofWebhook = async (tenant: TestTenant, id: string, args = ''): Promise<any> =>
  (
    await tenant.graphql(
      `query ($id: ID!) { webhook(id: $id) { health { successRate } analytics${args} { ${ANALYTICS} } } }`,
      {
        id,
      },
    )
  ).webhook;

const statuses = (analytics: any): Record<string, number> =>
  Object.fromEntries(analytics.byStatus.map(({ status, count }: any) => [status, count]));
const summed = (analytics: any): { succeeded: number; failed: number } => ({
  succeeded: analytics.timeline.reduce((sum: number, point: any) => sum + point.succeeded, 0),
  failed: analytics.timeline.reduce((sum: number, point: any) => sum + point.failed, 0),
});

const foldAll = async (): Promise<void> => {
  // Null while the program's own fold is at it.
  await until('everything is folded', async () => (await foldOnce(database, Date.now())) === 0);
};

/** What counting the deliveries one by one gives. */
const counted = async (tenant: TestTenant, webhookId: string): Promise<Record<string, number>> => {
  const counts: Record<string, number> = {};
  for (const { status, isTest } of await tenant.deliveriesOf(webhookId)) {
    if (!isTest && status !== 'PENDING' && status !== 'HELD' && status !== 'FILTERED') {
      counts[status] = (counts[status] ?? 0) + 1;
    }
  }
  return counts;
};

describe('analytics', () => {
  it('are those of the deliveries, before and after they are folded, of a webhook and of its tenant', async () => {
    const tenant = await newTenant();
    const [good, bad] = [await tenant.registerType(), await tenant.registerType()];
    scene.receiver.answer = ({ body }) => ({ status: JSON.parse(body).event_type === bad ? 500 : 200, delayMs: 20 });
    const hook = await tenant.createWebhook(scene.receiver.url, [good, bad], { retrySchedule: [] });
    const patient = await tenant.createWebhook(scene.receiver.url, [bad], { retrySchedule: [3_600] });
    await tenant.publishMany(Array.from({ length: 7 }, (_, n) => ({ type: good, data: { n } })));
    await tenant.publishMany(Array.from({ length: 3 }, (_, n) => ({ type: bad, data: { n } })));
    await tenant.reached(hook.id, 'DELIVERED', 7);
    await tenant.reached(hook.id, 'ABANDONED', 3);
    await tenant.reached(patient.id, 'RETRYING', 3);

    const check = async (): Promise<void> => {
      const { analytics, health } = await ofWebhook(tenant, hook.id);
      expect(analytics.total).toBe(10);
      expect(statuses(analytics)).toEqual({ DELIVERED: 7, ABANDONED: 3 });
      expect(statuses(analytics)).toEqual(await counted(tenant, hook.id));
      expect(analytics.byEventType).toEqual([
        { eventType: good, count: 7, succeeded: 7, failed: 0 },
        { eventType: bad, count: 3, succeeded: 0, failed: 3 },
      ]);
      expect(summed(analytics)).toEqual({ succeeded: 7, failed: 3 });
      expect(analytics.timeline.length).toBeGreaterThanOrEqual(720);
      expect(analytics.successRate).toBe(0.7);
      expect(health.successRate).toBe(0.7);
      expect(analytics.latency.p50Ms).toBeGreaterThanOrEqual(18);
      expect(analytics.latency.p99Ms).toBeGreaterThanOrEqual(analytics.latency.p50Ms);
      expect(analytics.timeline.at(-1).p95Ms ?? analytics.timeline.at(-2).p95Ms).toBeGreaterThanOrEqual(18);

      expect(await ofWebhook(tenant, patient.id)).toMatchObject({
        health: { successRate: 0 },
        analytics: { total: 3, byStatus: [{ status: 'RETRYING', count: 3 }], successRate: 0 },
      });
      const all = await ofTenant(tenant);
      expect(statuses(all)).toEqual({ DELIVERED: 7, ABANDONED: 3, RETRYING: 3 });
      expect(all.byEventType).toEqual([
        { eventType: good, count: 7, succeeded: 7, failed: 0 },
        { eventType: bad, count: 6, succeeded: 0, failed: 6 },
      ]);
      for (const bucket of ['MINUTE', 'DAY']) {
        const from = new Date(Date.now() - 86_400_000).toISOString();
        const other = await ofTenant(tenant, `(bucket: ${bucket}, range: { from: "${from}" })`);
        expect(summed(other)).toEqual({ succeeded: 7, failed: 6 });
        expect({ ...other, timeline: all.timeline }).toEqual(all);
      }
    };
    await check();
    await foldAll();
    await check();
  });

  it('count a delivery once, however often it is tried', async () => {
    const tenant = await newTenant();
    const type = await tenant.registerType();
    scene.receiver.answer = (_request, index) => ({ status: index === 0 ? 500 : 200 });
    const { id } = await tenant.createWebhook(scene.receiver.url, [type], { retrySchedule: [1] });
    await tenant.publish(type);
    await tenant.reached(id, 'RETRYING');
    expect(statuses((await ofWebhook(tenant, id)).analytics)).toEqual({ RETRYING: 1 });
    await foldAll();
    await tenant.reached(id, 'DELIVERED');
    for (const when of ['before', 'after']) {
      const { analytics, health } = await ofWebhook(tenant, id);
      expect(statuses(analytics), when).toEqual({ DELIVERED: 1 });
      expect(summed(analytics)).toEqual({ succeeded: 1, failed: 0 });
      expect(health.successRate).toBe(1);
      await foldAll();
    }
  });

  it('follow a delivery that is sent again', async () => {
    const tenant = await newTenant();
    const type = await tenant.registerType();
    scene.receiver.answer = () => ({ status: 500 });
    const { id } = await tenant.createWebhook(scene.receiver.url, [type], { retrySchedule: [] });
    await tenant.publish(type);
    const [abandoned] = await tenant.reached(id, 'ABANDONED');
    await foldAll();
    await tenant.update(id, { isActive: false });
    await tenant.graphql(`mutation ($id: ID!) { deliveryRetry(id: $id) { __typename } }`, { id: abandoned.id });
    expect(statuses((await ofWebhook(tenant, id)).analytics)).toEqual({ RETRYING: 1 });
    scene.receiver.answer = () => ({});
    await tenant.update(id, { isActive: true });
    await tenant.reached(id, 'DELIVERED');
    await foldAll();
    const { analytics, health } = await ofWebhook(tenant, id);
    expect(analytics).toMatchObject({ total: 1, byStatus: [{ status: 'DELIVERED', count: 1 }], successRate: 1 });
    expect(health.successRate).toBe(1);
  });

  it('count what is cancelled, and keep what a deleted webhook had in the figures of the tenant', async () => {
    const tenant = await newTenant();
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(scene.receiver.url, [type]);
    await tenant.publish(type);
    await tenant.reached(id, 'DELIVERED');
    scene.receiver.answer = () => ({ status: 500 });
    await tenant.publish(type);
    await tenant.reached(id, 'RETRYING');
    await tenant.update(id, { isActive: false });
    await tenant.publish(type);
    await tenant.update(id, { status: 'DISABLED' });
    await tenant.reached(id, 'CANCELLED', 2);
    const { analytics } = await ofWebhook(tenant, id);
    expect(statuses(analytics)).toEqual({ DELIVERED: 1, CANCELLED: 2 });
    // One of them had failed, the other had not been tried.
    expect(analytics.byEventType).toEqual([{ eventType: type, count: 3, succeeded: 1, failed: 1 }]);
    expect(analytics.successRate).toBe(0.5);
    await tenant.remove(id);
    expect(await ofTenant(tenant)).toEqual(analytics);
    await foldAll();
    expect(await ofTenant(tenant)).toEqual(analytics);
  });

  it('leave out tests', async () => {
    const tenant = await newTenant();
    const { id } = await tenant.createWebhook(scene.receiver.url, ['ticket.created']);
    expect((await tenant.sendTest(id)).delivery.status).toBe('DELIVERED');
    const nothing = { total: 0, byStatus: [], byEventType: [], successRate: null, latency: { p50Ms: null } };
    expect(await ofWebhook(tenant, id)).toMatchObject({ health: { successRate: null }, analytics: nothing });
    await foldAll();
    expect(await ofWebhook(tenant, id)).toMatchObject({ health: { successRate: null }, analytics: nothing });
    expect(await ofTenant(tenant)).toMatchObject(nothing);
  });

  it('show nothing of another tenant', async () => {
    const [tenant, stranger] = [await newTenant(), await newTenant()];
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(scene.receiver.url, [type]);
    await tenant.publish(type);
    await tenant.reached(id, 'DELIVERED');
    expect((await ofTenant(tenant)).total).toBe(1);
    expect((await ofTenant(stranger)).total).toBe(0);
    expect(await ofWebhook(stranger, id)).toBeNull();
  });
});

describe('a timeline', () => {
  const refused = async (args: string): Promise<any> => {
    const tenant = await newTenant();
    try {
      return await tenant.graphql(`{ analytics${args} { total } }`);
    } catch (error) {
      const [{ message, extensions }] = (error as any).response.errors;
      return { message, code: extensions.code, path: extensions.path };
    }
  };
  const ago = (hours: number): string => new Date(Date.now() - hours * 3_600_000).toISOString();

  it('has every bucket of its range, in UTC, zeros too', async () => {
    const tenant = await newTenant();
    const { timeline } = await ofTenant(
      tenant,
      `(bucket: DAY, range: { from: "2026-02-27T23:59:59Z", to: "2026-03-02T00:00:01+00:00" })`,
    );
    expect(timeline).toEqual(
      ['2026-02-27', '2026-02-28', '2026-03-01', '2026-03-02'].map((day) => ({
        at: `${day}T00:00:00.000Z`,
        succeeded: 0,
        failed: 0,
        p95Ms: null,
      })),
    );
    expect((await ofTenant(tenant, `(range: { to: "${ago(1)}" })`)).timeline).toHaveLength(1);
  });

  it('that is too long, empty or not kept any more is refused, with the field and a remedy', async () => {
    expect(await refused('(bucket: MINUTE)')).toEqual({
      message: expect.stringMatching(/at most 1500.*range\.from.*HOUR/),
      code: 'BAD_REQUEST',
      path: ['range'],
    });
    expect(await refused(`(range: { from: "${ago(24 * 63)}" })`)).toMatchObject({
      message: expect.stringMatching(/1513 buckets, at most 1500.*ask for DAY/),
      path: ['range', 'from'],
    });
    expect(await refused(`(bucket: DAY, range: { from: "0001-01-01T00:00:00Z" })`)).toMatchObject({
      code: 'BAD_REQUEST',
      path: ['range', 'from'],
    });
    expect(await refused(`(bucket: MINUTE, range: { from: "${ago(72)}", to: "${ago(71)}" })`)).toMatchObject({
      message: expect.stringMatching(/kept for 2 days/),
      path: ['range', 'from'],
    });
    expect(await refused(`(range: { from: "${ago(1)}", to: "${ago(2)}" })`)).toMatchObject({
      message: expect.stringMatching(/nothing in it/),
      path: ['range', 'from'],
    });
    expect(await refused(`(range: { from: "${ago(-5)}" })`)).toMatchObject({ path: ['range', 'from'] });
    for (const range of ['from: "9000-01-01T00:00:00Z", to: "9000-01-02T00:00:00Z"', 'to: "9999-12-31T00:00:00Z"']) {
      expect(await refused(`(bucket: DAY, range: { ${range} })`)).toMatchObject({ code: 'BAD_REQUEST' });
    }
    expect(await refused('(range: { to: "0001-01-02T00:00:00Z" })')).toMatchObject({ code: 'BAD_REQUEST' });
    expect(await refused('(bucket: DAY, range: { to: "0001-01-02T00:00:00Z" })')).toEqual({ analytics: { total: 0 } });
    expect(await refused(`(bucket: DAY, range: { from: "${ago(24 * 1_400)}" })`)).toEqual({ analytics: { total: 0 } });
  });
});

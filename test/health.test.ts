// oxlint-disable typescript/no-explicit-any -- answers are whatever the queries ask for
import { describe, expect, it } from 'vitest';
import { decodeId } from '../src/platform/ids.ts';
import { runSql } from './harness/database.ts';
import { followFeed, pollFeed } from './harness/feed.ts';
import { followHealth } from './harness/health.ts';
import type { HealthFollower } from './harness/health.ts';
import { startTestProgram, until } from './harness/program.ts';
import type { TestProgram } from './harness/program.ts';
import { startReceiver } from './harness/receiver.ts';
import type { Receiver } from './harness/receiver.ts';
import { useScene } from './harness/scene.ts';
import { tenantOf } from './harness/tenant.ts';
import type { TestTenant } from './harness/tenant.ts';

const scene = useScene();

let tenants = 0;
/** One of a test's own, so that it hears of nobody else's webhooks. */
const newTenant = async (): Promise<TestTenant & { key: string }> => {
  const { tenantCreate } = await scene.tenant.graphql(
    `mutation ($slug: String!) { tenantCreate(input: { slug: $slug }) { ... on TenantCreateSuccess { secret } } }`,
    { slug: `health-${++tenants}` },
  );
  return { ...tenantOf(scene.program, tenantCreate.secret), key: tenantCreate.secret };
};

const withReceiver = async (work: (receiver: Receiver) => Promise<void>): Promise<void> => {
  const receiver = await startReceiver();
  try {
    await work(receiver);
  } finally {
    await receiver.close();
  }
};

const bodiesOf = (receiver: Receiver): any[] => receiver.requests.map(({ body }) => JSON.parse(body));

const typesOf = (receiver: Receiver): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { event_type } of bodiesOf(receiver)) counts[event_type] = (counts[event_type] ?? 0) + 1;
  return counts;
};

const HEALTH = `query ($id: ID!) { webhook(id: $id) {
  status disabledAt disabledReason health { status consecutiveFailures failingSince disablesAt } } }`;
const healthOf = async (tenant: TestTenant, id: string): Promise<any> => (await tenant.graphql(HEALTH, { id })).webhook;

/** Lets so much time pass for what a webhook's health remembers. */
const age = (webhookId: string, interval: string): Promise<void> =>
  runSql(
    scene.database.url,
    `update webhook_health set failing_since = failing_since - $2::interval, last_failure_at = last_failure_at - $2::interval,
       disable_at = disable_at - $2::interval where webhook_id = $1`,
    [decodeId('webhook', webhookId), interval],
  );

describe('a webhook', () => {
  it('that answers 410 is disabled at once, which others hear of', async () => {
    const tenant = await newTenant();
    const type = await tenant.registerType();
    await withReceiver(async (listener) => {
      await tenant.createWebhook(listener.url, ['webhook.*']);
      scene.receiver.answer = () => ({ status: 410 });
      const gone = await tenant.createWebhook(`${scene.receiver.url}/hidden?token=hidden`, [type], { name: 'Gone' });
      await tenant.publish(type);
      await until('the news', () => listener.requests.length > 0);
      expect(await healthOf(tenant, gone.id)).toMatchObject({ status: 'DISABLED', health: { status: 'DISABLED' } });
      expect(bodiesOf(listener)).toEqual([
        expect.objectContaining({
          event_type: 'webhook.disabled',
          data: {
            webhook_id: gone.id,
            webhook_name: 'Gone',
            host: new URL(scene.receiver.url).host,
            reason: expect.stringContaining('410'),
            disabled_at: expect.any(String),
            consecutive_failures: 1,
            failing_since: expect.any(String),
          },
        }),
      ]);
      expect(listener.requests[0]!.body).not.toContain('hidden');
    });
  });

  it('that keeps failing is announced once, until it succeeds', async () => {
    const tenant = await newTenant();
    const type = await tenant.registerType();
    await withReceiver(async (listener) => {
      await tenant.createWebhook(listener.url, ['webhook.failing']);
      let status = 500;
      scene.receiver.answer = () => ({ status });
      const { id } = await tenant.createWebhook(scene.receiver.url, [type], { retrySchedule: [] });
      const publish = async (times: number): Promise<void> => {
        for (let n = 0; n < times; n++) {
          const before = scene.receiver.requests.length;
          await tenant.publish(type);
          await until('the attempt', () => scene.receiver.requests.length > before);
        }
      };
      await publish(5);
      await tenant.reached(id, 'ABANDONED', 5);
      await until('the news', () => listener.requests.length > 0);
      status = 200;
      await publish(1);
      await tenant.reached(id, 'DELIVERED');
      status = 500;
      await publish(3);
      await until('the second news', () => listener.requests.length > 1);
      expect(bodiesOf(listener).map(({ data }) => [data.webhook_id, data.consecutive_failures])).toEqual([
        [id, expect.any(Number)],
        [id, 3],
      ]);
    });
  });

  it('whose failures reach 24 hours with the next one is disabled, and what is open is cancelled', async () => {
    const tenant = await newTenant();
    const type = await tenant.registerType();
    await withReceiver(async (listener) => {
      await tenant.createWebhook(listener.url, ['webhook.disabled']);
      const [begin] = (await followFeed(scene.program, null, () => true, tenant.key)).batches;
      scene.receiver.answer = () => ({ status: 500 });
      const { id } = await tenant.createWebhook(scene.receiver.url, [type], { retrySchedule: [86_400] });
      await tenant.publish(type);
      await tenant.reached(id, 'RETRYING');
      await age(id, '23 hours 59 minutes');
      await tenant.publish(type);
      await tenant.reached(id, 'RETRYING', 2);
      const { status, health } = await healthOf(tenant, id);
      expect(status).toBe('ACTIVE');
      expect(Date.parse(health.disablesAt) - Date.parse(health.failingSince)).toBe(24 * 3_600_000);

      await age(id, '1 minute');
      await tenant.publish(type);
      await tenant.reached(id, 'CANCELLED', 3);
      expect(await healthOf(tenant, id)).toMatchObject({
        status: 'DISABLED',
        disabledReason: expect.stringMatching(/failed for 24 hours: 3 attempts in a row since .* UTC/),
        health: { status: 'DISABLED', disablesAt: null },
      });
      await until('the news', () => listener.requests.length > 0);
      expect(bodiesOf(listener)[0].data).toMatchObject({ webhook_id: id, consecutive_failures: 3 });
      const told = await until('the feed', async () => {
        const events = await pollFeed(scene.program, begin!.cursor, tenant.key);
        return events.filter(({ status }) => status === 'CANCELLED').length === 3 ? events : null;
      });
      expect(told.filter(({ status }) => status === 'CANCELLED').map(({ webhookId }) => webhookId)).toEqual([
        id,
        id,
        id,
      ]);
    });
  });

  it('whose failures reach 24 hours by time alone is disabled too, and what is open is cancelled', async () => {
    const tenant = await newTenant();
    const type = await tenant.registerType();
    await withReceiver(async (listener) => {
      await tenant.createWebhook(listener.url, ['*']);
      scene.receiver.answer = () => ({ status: 500 });
      const { id } = await tenant.createWebhook(scene.receiver.url, [type], { retrySchedule: [86_400] });
      await tenant.publish(type);
      await tenant.reached(id, 'RETRYING');
      await age(id, '13 hours');
      await tenant.publish(type);
      await tenant.reached(id, 'RETRYING', 2);
      expect((await healthOf(tenant, id)).health.disablesAt).not.toBeNull();
      await age(id, '11 hours');
      await tenant.reached(id, 'CANCELLED', 2);
      expect(await healthOf(tenant, id)).toMatchObject({ status: 'DISABLED' });
      await until('the news', () => typesOf(listener)['webhook.disabled']);
      expect(typesOf(listener)).toEqual({ [type]: 2, 'webhook.failing': 1, 'webhook.disabled': 1 });
    });
  });

  it('that is enabled again has neither streak nor mark, and a fresh count', async () => {
    const tenant = await newTenant();
    const type = await tenant.registerType();
    let status = 410;
    scene.receiver.answer = () => ({ status });
    const { id } = await tenant.createWebhook(scene.receiver.url, [type], { retrySchedule: [86_400] });
    await tenant.publish(type);
    await until('the disabling', async () => (await healthOf(tenant, id)).status === 'DISABLED');
    await age(id, '48 hours');
    await tenant.update(id, { isActive: true });
    expect(await healthOf(tenant, id)).toEqual({
      status: 'ACTIVE',
      disabledAt: null,
      disabledReason: null,
      health: { status: 'HEALTHY', consecutiveFailures: 0, failingSince: null, disablesAt: null },
    });
    status = 500;
    await tenant.publish(type);
    await tenant.reached(id, 'RETRYING');
    expect(await healthOf(tenant, id)).toMatchObject({
      status: 'ACTIVE',
      health: { status: 'FAILING', consecutiveFailures: 1 },
    });
  });
});

describe('a delivery', () => {
  it('that is given up is announced to whoever subscribes to that, and costs nothing where nobody does', async () => {
    const tenant = await newTenant();
    const type = await tenant.registerType();
    scene.receiver.answer = () => ({ status: 503 });
    const { id } = await tenant.createWebhook(scene.receiver.url, [type], { name: 'Failing', retrySchedule: [] });
    await tenant.publish(type);
    await tenant.reached(id, 'ABANDONED');
    await withReceiver(async (listener) => {
      await tenant.createWebhook(listener.url, ['delivery.*']);
      const { event } = await tenant.publish(type);
      await until('the news', () => listener.requests.length > 0);
      const [newest] = await tenant.reached(id, 'ABANDONED', 2);
      expect(bodiesOf(listener)).toEqual([
        expect.objectContaining({
          event_type: 'delivery.abandoned',
          data: {
            webhook_id: id,
            webhook_name: 'Failing',
            host: new URL(scene.receiver.url).host,
            delivery_id: newest.id,
            event_id: event.id,
            event_type: type,
            attempts: 1,
            response_status: 503,
            error: newest.error,
            abandoned_at: expect.any(String),
          },
        }),
      ]);
      const { events } = await tenant.graphql(`{ events { nodes { type } } }`);
      expect(events.nodes.map((one: any) => one.type)).toEqual(['delivery.abandoned', type, type]);
    });
  });

  it('that is given up is announced once, though two processes deliver and watch', async () => {
    const tenant = await newTenant();
    const type = await tenant.registerType();
    const beside = await startTestProgram(scene.database.url);
    try {
      await withReceiver(async (listener) => {
        await tenant.createWebhook(listener.url, ['delivery.abandoned']);
        scene.receiver.answer = () => ({ status: 500 });
        const failing = await Promise.all(
          Array.from({ length: 6 }, () => tenant.createWebhook(scene.receiver.url, [type], { retrySchedule: [] })),
        );
        for (let n = 0; n < 5; n++) await tenant.publish(type);
        const abandoned = await Promise.all(failing.map(({ id }) => tenant.reached(id, 'ABANDONED', 5)));
        await until('the news', () => listener.requests.length >= 30);
        const told = bodiesOf(listener).map(({ data }) => data.delivery_id);
        expect(told).toHaveLength(30);
        expect(new Set(told)).toEqual(new Set(abandoned.flat().map(({ id }) => id)));
      });
    } finally {
      await beside.stop();
    }
  });

  it('of an operational event causes none, though two webhooks fail at everything', async () => {
    const tenant = await newTenant();
    const type = await tenant.registerType();
    await withReceiver(async (second) => {
      for (const receiver of [scene.receiver, second]) {
        receiver.answer = () => ({ status: 500 });
        await tenant.createWebhook(receiver.url, ['*'], { retrySchedule: [] });
      }
      // Eight failures of each: the circuit stays closed.
      const rounds = 2;
      for (let round = 1; round <= rounds; round++) {
        await tenant.publish(type);
        // The watch goes by the order of its outbox: with this round's, all that earlier ones caused has come.
        for (const receiver of [scene.receiver, second]) {
          await until('the news of both', () => typesOf(receiver)['delivery.abandoned'] === 2 * round);
        }
      }
      for (const receiver of [scene.receiver, second]) {
        await until('the announced streaks', () => typesOf(receiver)['webhook.failing'] === 2);
        expect(typesOf(receiver)).toEqual({ [type]: rounds, 'delivery.abandoned': 2 * rounds, 'webhook.failing': 2 });
      }
    });
  });
});

describe('webhookHealthChanged', () => {
  /** Changes webhooks of the tenant until the follower hears of it: from then on it misses nothing. */
  const established = async (tenant: TestTenant, webhookId: string, follower: HealthFollower): Promise<void> => {
    let isActive = false;
    await until('the subscription', async () => {
      await tenant.update(webhookId, { isActive });
      isActive = !isActive;
      return follower.told.length > 0;
    });
    await tenant.update(webhookId, { isActive: true });
    await until('the last of these', () => follower.told.at(-1)?.status === 'ACTIVE');
  };

  const follows = async (program: TestProgram): Promise<void> => {
    const tenant = await newTenant();
    const stranger = await newTenant();
    const type = await tenant.registerType();
    let status = 500;
    scene.receiver.answer = () => ({ status });
    const { id } = await tenant.createWebhook(scene.receiver.url, [type], { retrySchedule: [] });
    const other = await tenant.createWebhook(scene.receiver.url, ['a.b']);
    const theirs = await stranger.createWebhook(scene.receiver.url, ['a.b']);
    await using one = followHealth(program, id, tenant.key);
    await using all = followHealth(program, null, tenant.key);
    await using strangers = followHealth(program, null, stranger.key);
    await using strangersOfIt = followHealth(program, id, stranger.key);
    await established(tenant, id, one);
    await established(tenant, other.id, all);
    await established(stranger, theirs.id, strangers);
    expect(new Set(one.told.map((webhook) => webhook.id))).toEqual(new Set([id]));

    const next = async (act: () => Promise<unknown>, expected: object): Promise<void> => {
      const before = { one: one.told.length, all: all.told.length };
      await act();
      for (const follower of [one, all] as const) {
        await until(JSON.stringify(expected), () =>
          follower.told.slice(follower === one ? before.one : before.all).some((webhook) => {
            try {
              expect(webhook).toMatchObject({ id, ...expected });
              return true;
            } catch {
              return false; // another state on its way there
            }
          }),
        );
      }
    };
    await next(() => tenant.publish(type), { health: { status: 'FAILING' } });
    status = 200;
    await next(() => tenant.publish(type), { health: { status: 'HEALTHY' } });
    await next(() => tenant.update(id, { isActive: false }), { status: 'PAUSED' });
    await next(() => tenant.update(id, { isActive: true }), { status: 'ACTIVE' });
    status = 410;
    await next(() => tenant.publish(type), {
      status: 'DISABLED',
      disabledReason: expect.stringContaining('410'),
      health: { status: 'DISABLED' },
    });
    expect(new Set(strangers.told.map((webhook) => webhook.id))).toEqual(new Set([theirs.id]));
    expect(strangersOfIt.told).toEqual([]);
  };

  it('tells each change to the tenant’s subscribers and to nobody else', () => follows(scene.program));

  it('tells those of another process too', async () => {
    const beside = await startTestProgram(scene.database.url, { HOOKGRAPH_ROLES: 'api' });
    try {
      await follows(beside);
    } finally {
      await beside.stop();
    }
  });

  it('needs WEBHOOKS_READ', async () => {
    const { apiKeyCreate } = await scene.tenant.graphql(
      `mutation { apiKeyCreate(input: { name: "x", scopes: [DELIVERIES_READ] }) { ... on ApiKeyCreateSuccess { secret } } }`,
    );
    await using follower = followHealth(scene.program, null, apiKeyCreate.secret);
    await until('the refusal', () => follower.failure);
    expect(follower.failure).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }]);
    expect(follower.told).toEqual([]);
  });
});

import { describe, expect, it } from 'vitest';
import { pollFeed } from './harness/feed.ts';
import { until } from './harness/program.ts';
import { useScene } from './harness/scene.ts';

const scene = useScene();

const numbers = (): number[] =>
  scene.receiver.requests.map((request) => (JSON.parse(request.body) as { data: { n: number } }).data.n);

describe('a condition', () => {
  it('lets through what it is truthy for; the rest is filtered, without an attempt and without a trace in health', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], {
      condition: `data.n > 2 and $contains(event_type, "${type.slice(0, 3)}")`,
    });
    await tenant.publishMany([1, 2, 3, 4].map((n) => ({ type, data: { n } })));
    await tenant.reached(id, 'DELIVERED', 2);
    const filtered = await tenant.reached(id, 'FILTERED', 2);
    expect(new Set(numbers())).toEqual(new Set([3, 4]));
    expect(filtered.map(({ attemptCount }) => attemptCount)).toEqual([0, 0]);
    const { webhook } = await tenant.graphql(
      'query ($id: ID!) { webhook(id: $id) { condition health { status successRate consecutiveFailures } } }',
      { id },
    );
    expect(webhook).toEqual({
      condition: expect.stringContaining('data.n > 2'),
      health: { status: 'HEALTHY', successRate: 1, consecutiveFailures: 0 },
    });
    await until('the feed', async () => {
      const events = (await pollFeed(scene.program, null)).filter(({ webhookId }) => webhookId === id);
      return events.filter(({ status }) => status === 'FILTERED').length === 2;
    });
  });

  it('sees what payloadFields leave out', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], {
      condition: 'data.secret = 1',
      payloadFields: ['n'],
    });
    await tenant.publishMany([
      { type, data: { n: 1, secret: 0 } },
      { type, data: { n: 2, secret: 1 } },
    ]);
    await tenant.reached(id, 'DELIVERED', 1);
    await tenant.reached(id, 'FILTERED', 1);
    expect(receiver.requests.map(({ body }) => JSON.parse(body).data)).toEqual([{ n: 2 }]);
  });

  it('that fails or never ends abandons its own deliveries, says why, and keeps no other webhook from its own', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const failing = await tenant.createWebhook(receiver.url, [type], { condition: '$error("no such thing")' });
    const endless = await tenant.createWebhook(receiver.url, [type], {
      condition: '($f := function($x) { $f($x) }; $f(1))',
    });
    const sound = await tenant.createWebhook(receiver.url, [type], { condition: 'data.n >= 0' });
    await tenant.publishMany(Array.from({ length: 20 }, (_, n) => ({ type, data: { n } })));
    await tenant.reached(sound.id, 'DELIVERED', 20);
    const [failed] = await tenant.reached(failing.id, 'ABANDONED', 20);
    expect(failed).toMatchObject({ attemptCount: 0, error: { code: 'CONDITION_FAILED', message: 'no such thing' } });
    const [ended] = await tenant.reached(endless.id, 'ABANDONED', 20);
    expect(ended).toMatchObject({ attemptCount: 0, error: { code: 'CONDITION_FAILED' } });
  });

  it('that never ends on what somebody sent costs no other webhook its deliveries, not even one with the same condition', async () => {
    const { tenant, receiver } = scene;
    const [hostile, usual] = [await tenant.registerType(), await tenant.registerType()];
    const condition = '($f := function($x) { $f($x) }; data.bad ? $f(1) : true)';
    const struck = await tenant.createWebhook(receiver.url, [hostile], { condition });
    const same = await tenant.createWebhook(receiver.url, [usual], { condition });
    await tenant.publishMany(Array.from({ length: 3 }, () => ({ type: hostile, data: { bad: true } })));
    const ended = await tenant.reached(struck.id, 'ABANDONED', 3);
    expect(ended.map(({ error }) => error.code)).toEqual(Array(3).fill('CONDITION_FAILED'));
    expect(ended.filter(({ error }) => error.message.includes('twice within a minute'))).toHaveLength(1);
    await tenant.publishMany([1, 2, 3].map((n) => ({ type: usual, data: { n } })));
    await tenant.reached(same.id, 'DELIVERED', 3);
    // Saving it again is no evaluation.
    expect(await tenant.update(same.id, { condition })).toMatchObject({ webhook: { status: 'ACTIVE' } });
  });

  it('is compiled when it is saved: one that is no JSONata is refused with its place and changes nothing', async () => {
    const { tenant, receiver } = scene;
    const { id } = await tenant.createWebhook(receiver.url, ['a.b'], { condition: 'data.n = 1' });
    const refused = await tenant.update(id, { condition: 'data.n = (1' });
    expect(refused).toMatchObject({ code: 'BAD_REQUEST', path: ['input', 'condition'] });
    expect(refused.message).toMatch(/^This is no JSONata expression: .*\(after \d+ characters\)/);
    const conditionOf = async (): Promise<unknown> =>
      (await tenant.graphql('query ($id: ID!) { webhook(id: $id) { condition } }', { id })).webhook.condition;
    expect(await conditionOf()).toBe('data.n = 1');
    await tenant.update(id, { condition: null });
    expect(await conditionOf()).toBeNull();
  });
});

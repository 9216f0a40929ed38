import { describe, expect, it } from 'vitest';
import { until } from './harness/program.ts';
import { useScene } from './harness/scene.ts';

const scene = useScene();

const numbers = (): unknown[] =>
  scene.receiver.requests.map((request) => (JSON.parse(request.body) as { data: { n: number } }).data.n);

describe('a webhook', () => {
  it('that is paused holds what comes, and sends it in order when resumed', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], { maxConcurrency: 1 });
    await tenant.update(id, { isActive: false });
    for (let n = 0; n < 5; n++) expect(await tenant.publish(type, { n })).toMatchObject({ matchedCount: 1 });
    const held = await tenant.reached(id, 'HELD', 5);
    for (const delivery of held) expect(delivery).toMatchObject({ attemptCount: 0, nextAttemptAt: null });
    expect(receiver.requests).toHaveLength(0);
    await tenant.update(id, { isActive: true });
    await tenant.reached(id, 'DELIVERED', 5);
    expect(numbers()).toEqual([0, 1, 2, 3, 4]);
  });

  it('that is disabled has what was pending, held or to be repeated cancelled, and gets nothing more', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = () => ({ status: 500 });
    const type = await tenant.registerType();
    const [waiting, paused] = await Promise.all([
      tenant.createWebhook(receiver.url, [type], { retrySchedule: [600] }),
      tenant.createWebhook(receiver.url, [type]),
    ]);
    await tenant.update(paused.id, { status: 'PAUSED' });
    await tenant.publish(type);
    await tenant.reached(waiting.id, 'RETRYING');
    await tenant.reached(paused.id, 'HELD');
    for (const { id } of [waiting, paused]) {
      expect((await tenant.update(id, { status: 'DISABLED' })).webhook.status).toBe('DISABLED');
      const [cancelled] = await tenant.reached(id, 'CANCELLED');
      expect(cancelled.completedAt).not.toBeNull();
    }
    expect(await tenant.publish(type)).toMatchObject({ matchedCount: 0 });
    expect(receiver.requests).toHaveLength(1);
    for (const { id } of [waiting, paused]) await tenant.remove(id);
  });

  it('that is deleted leaves its history, and what was pending is cancelled', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = (_, index) => ({ status: index === 0 ? 200 : 500 });
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], { retrySchedule: [60] });
    await tenant.publish(type);
    await tenant.reached(id, 'DELIVERED');
    await tenant.publish(type);
    await tenant.reached(id, 'RETRYING');
    expect(await tenant.remove(id)).toEqual({ deletedId: id });
    const [cancelled] = await tenant.reached(id, 'CANCELLED');
    expect(cancelled).toMatchObject({ webhook: null, attemptCount: 1 });
    expect(cancelled.attempts).toMatchObject([{ responseStatus: 500 }]);
    const [delivered] = await tenant.reached(id, 'DELIVERED');
    expect(delivered).toMatchObject({ webhook: null, attemptCount: 1 });
    expect(await tenant.publish(type)).toMatchObject({ matchedCount: 0 });
    expect(await tenant.webhook(id)).toBeNull();
  });

  it('that is moved gets what was not sent yet at its new address', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = ({ path }) => ({ status: path === '/new' ? 200 : 500 });
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], { retrySchedule: [1] });
    await tenant.publish(type);
    await until('the first attempt', () => receiver.requests.length === 1);
    await tenant.update(id, { url: new URL('/new', receiver.url).href });
    const [delivery] = await tenant.reached(id, 'DELIVERED');
    expect(delivery.attemptCount).toBe(2);
    expect(receiver.requests.map((request) => request.path)).toEqual(['/hook', '/new']);
  });

  it('never has more requests under way than its maxConcurrency', async () => {
    const { tenant, receiver } = scene;
    let underWay = 0;
    let most = 0;
    receiver.answer = () => {
      underWay += 1;
      most = Math.max(most, underWay);
      setTimeout(() => (underWay -= 1), 29);
      return { delayMs: 30 };
    };
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], { maxConcurrency: 3 });
    await tenant.publishMany(Array.from({ length: 30 }, (_, n) => ({ type, data: { n } })));
    await tenant.reached(id, 'DELIVERED', 30);
    expect(most).toBe(3);
  });

  it.each([
    'http://127.0.0.2/',
    'http://10.1.2.3/',
    'http://[::1]/',
    'http://169.254.169.254/latest',
    'http://2130706434/',
  ])('is not created for the private address %s, nor moved there', async (url) => {
    const { tenant, receiver } = scene;
    await expect(tenant.createWebhook(url, ['ticket.created'])).rejects.toThrow(/"BAD_REQUEST".*\["input","url"\]/);
    const { id } = await tenant.createWebhook(receiver.url, ['ticket.created']);
    expect(await tenant.update(id, { url })).toMatchObject({ code: 'BAD_REQUEST', path: ['input', 'url'] });
    await tenant.remove(id);
  });
});

import { describe, expect, it } from 'vitest';
import { until } from './harness/program.ts';
import { startRawServer } from './harness/rawServer.ts';
import type { Answer, ReceivedRequest } from './harness/receiver.ts';
import { useScene } from './harness/scene.ts';
import { guideVerifies, standardVerifies } from './harness/verification.ts';

const scene = useScene();

const headersOf = (requests: readonly ReceivedRequest[], name: string): unknown[] =>
  requests.map((request) => request.headers[name]);

describe('an attempt that fails', () => {
  it('is repeated on the schedule with the same bytes and a fresh signature, until it is abandoned', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = () => ({ status: 500, body: 'no' });
    const type = await tenant.registerType();
    const { id, value, standardWebhooks } = await tenant.createWebhook(receiver.url, [type], { retrySchedule: [1, 1] });
    await tenant.publish(type);
    const [delivery] = await tenant.reached(id, 'ABANDONED');
    expect(delivery).toMatchObject({ attemptCount: 3, responseStatus: 500, error: { code: 'HTTP_STATUS' } });
    expect(delivery.attempts.map((attempt: { trigger: string }) => attempt.trigger)).toEqual([
      'INITIAL',
      'RETRY',
      'RETRY',
    ]);
    const { requests } = receiver;
    expect(new Set(requests.map((request) => request.body)).size).toBe(1);
    expect(new Set(headersOf(requests, 'x-alga-delivery-id')).size).toBe(1);
    expect(new Set(headersOf(requests, 'webhook-id')).size).toBe(1);
    expect(headersOf(requests, 'x-alga-delivery-attempt')).toEqual(['1', '2', '3']);
    for (const at of [1, 2]) {
      // ±10 % of a second; how late it may be is up to the machine.
      expect(requests[at]!.at - requests[at - 1]!.at).toBeGreaterThanOrEqual(890);
    }
    expect(new Set(headersOf(requests, 'webhook-timestamp')).size).toBeGreaterThan(1);
    for (const request of requests) {
      expect(guideVerifies(request, value)).toBe(true);
      expect(standardVerifies(request, standardWebhooks)).toBe(true);
    }
    expect(await tenant.webhook(id)).toMatchObject({
      status: 'ACTIVE',
      health: { status: 'FAILING', consecutiveFailures: 3 },
    });
  });

  it('and then succeeds makes the webhook healthy again', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = (_, index) => ({ status: index === 0 ? 500 : 204 });
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], { retrySchedule: [1] });
    await tenant.publish(type);
    const [delivery] = await tenant.reached(id, 'DELIVERED');
    expect(delivery).toMatchObject({ attemptCount: 2, responseStatus: 204, error: null, nextAttemptAt: null });
    expect((await tenant.webhook(id)).health).toMatchObject({ status: 'HEALTHY', consecutiveFailures: 0 });
  });

  it('because of a redirect goes nowhere else, and because of a silence ends with the timeout', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = ({ path }) =>
      path === '/elsewhere'
        ? {}
        : path === '/hang'
          ? { hang: true }
          : { status: 307, headers: { location: '/elsewhere' } };
    const type = await tenant.registerType();
    const options = { retrySchedule: [], timeoutSeconds: 1 };
    const redirected = await tenant.createWebhook(receiver.url, [type], options);
    const silent = await tenant.createWebhook(new URL('/hang', receiver.url).href, [type], options);
    await tenant.publish(type);
    const [first] = await tenant.reached(redirected.id, 'ABANDONED');
    expect(first).toMatchObject({ attemptCount: 1, responseStatus: 307, error: { code: 'REDIRECT' } });
    const [second] = await tenant.reached(silent.id, 'ABANDONED');
    expect(second).toMatchObject({ attemptCount: 1, responseStatus: null, error: { code: 'TIMEOUT' } });
    expect(second.attempts[0].durationMs).toBeGreaterThanOrEqual(950);
    expect(receiver.requests.map((request) => request.path).sort()).toEqual(['/hang', '/hook']);
  });

  it.each([
    [429, (): string => '2'],
    [503, (): string => new Date(Date.now() + 3_000).toUTCString()],
  ])('with %s and Retry-After holds the whole webhook back, at no cost of the schedule', async (status, retryAfter) => {
    const { tenant, receiver } = scene;
    receiver.answer = (_, index) => (index === 0 ? { status, headers: { 'retry-after': retryAfter() } } : {});
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], { retrySchedule: [], maxConcurrency: 1 });
    await tenant.publish(type, { n: 1 });
    await until('the first request', () => receiver.requests.length === 1);
    await tenant.publish(type, { n: 2 });
    await tenant.reached(id, 'DELIVERED', 2);
    const [refused, ...others] = receiver.requests;
    expect(others).toHaveLength(2);
    for (const other of others) expect(other.at - refused!.at).toBeGreaterThanOrEqual(1_950);
  });

  it('with 410 disables the webhook, cancels the rest, and enabling begins anew', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = (_, index) => (index === 0 ? { status: 410, delayMs: 200 } : {});
    const type = await tenant.registerType();
    const { id } = await tenant.createWebhook(receiver.url, [type], { maxConcurrency: 1 });
    for (let n = 0; n < 5; n++) await tenant.publish(type, { n });
    await tenant.reached(id, 'ABANDONED');
    await tenant.reached(id, 'CANCELLED', 4);
    expect(await tenant.webhook(id)).toMatchObject({ status: 'DISABLED', health: { status: 'DISABLED' } });
    expect(await tenant.publish(type)).toMatchObject({ matchedCount: 0 });
    expect(receiver.requests).toHaveLength(1);
    expect((await tenant.update(id, { isActive: true })).webhook).toMatchObject({
      status: 'ACTIVE',
      disabledReason: null,
      health: { consecutiveFailures: 0 },
    });
    await tenant.publish(type);
    await tenant.reached(id, 'DELIVERED');
  });

  it('because nobody listens, or nobody has the name, is recorded as that', async () => {
    const { tenant } = scene;
    const type = await tenant.registerType();
    const closed = await startRawServer(() => undefined);
    await closed[Symbol.asyncDispose]();
    const nobody = await tenant.createWebhook(`http://127.0.0.1:${closed.port}/`, [type], { retrySchedule: [] });
    await tenant.publish(type);
    const [delivery] = await tenant.reached(nobody.id, 'ABANDONED');
    expect(delivery).toMatchObject({ responseStatus: null, error: { code: 'CONNECTION_REFUSED' } });
  });
});

describe('a receiver that answers nonsense', () => {
  const nul = Buffer.from('a\0b');
  const surrogate = Buffer.from([0x6e, 0xed, 0xa0, 0x80, 0x6f]);
  const answers: [string, Answer, string, string | null][] = [
    ['NUL bytes', { status: 500, body: nul }, 'ABANDONED', 'HTTP_STATUS'],
    ['NUL bytes with 200', { body: nul }, 'DELIVERED', null],
    ['a lone surrogate', { status: 500, body: surrogate }, 'ABANDONED', 'HTTP_STATUS'],
    ['a header of Latin-1', { headers: { 'x-odd': 'ü' } }, 'DELIVERED', null],
    ['a character cut at 8 KiB', { body: `${'x'.repeat(8_191)}€` }, 'DELIVERED', null],
    ['garbage', { raw: Buffer.from('\0\0\0 what?\r\n\r\n') }, 'ABANDONED', 'UNKNOWN'],
    ['nothing at all', { raw: '' }, 'ABANDONED', 'CONNECTION_RESET'],
    ['half an answer', { raw: 'HTTP/1.1 200 OK\r\nContent-Le' }, 'ABANDONED', 'CONNECTION_RESET'],
  ];

  it('has it recorded, and harms nobody who is settled with it', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    // Answered together, so that they are recorded together.
    receiver.answer = ({ path }) => ({ delayMs: 100, ...answers[Number(path.slice(1))]?.[1] });
    const options = { retrySchedule: [], timeoutSeconds: 3 };
    const webhooks = await Promise.all(
      [...answers.keys(), 'good'].map((name) =>
        tenant.createWebhook(new URL(`/${name}`, receiver.url).href, [type], options),
      ),
    );
    await tenant.publishMany(Array.from({ length: 5 }, (_, n) => ({ type, data: { n } })));
    await tenant.reached(webhooks.at(-1)!.id, 'DELIVERED', 5);
    for (const [index, [name, , status, code]] of answers.entries()) {
      for (const delivery of await tenant.reached(webhooks[index]!.id, status, 5)) {
        expect(delivery.error?.code ?? null, name).toBe(code);
        expect(delivery.attempts, name).toHaveLength(1);
      }
    }
    const [{ attempts }] = (await tenant.deliveriesOf(webhooks[0]!.id)) as [{ attempts: { responseBody: string }[] }];
    expect(attempts[0]!.responseBody).toBe('a\0b');
  });

  it('without end has 8 KiB of its body recorded, and its headers refused', async () => {
    const { tenant } = scene;
    const type = await tenant.registerType();
    const pour = (start: string, piece: string) =>
      startRawServer((socket) => {
        const more = (): void => {
          while (!socket.destroyed && socket.write(piece));
        };
        socket.on('drain', more);
        socket.write(start);
        more();
      });
    await using body = await pour('HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n', 'x'.repeat(10_000));
    await using headers = await pour('HTTP/1.1 200 OK\r\n', `X-More: ${'y'.repeat(1_000)}\r\n`);
    const options = { retrySchedule: [], timeoutSeconds: 3 };
    const [long, endless] = await Promise.all(
      [body, headers].map(({ port }) => tenant.createWebhook(`http://127.0.0.1:${port}/`, [type], options)),
    );
    await tenant.publish(type);
    const [delivered] = await tenant.reached(long!.id, 'DELIVERED');
    expect(delivered.attempts[0]).toMatchObject({ responseTruncated: true, responseBody: 'x'.repeat(8_192) });
    const [refused] = await tenant.reached(endless!.id, 'ABANDONED');
    expect(refused.error.code).toBe('RESPONSE_TOO_LARGE');
  });

  it('slowly delays no other webhook', async () => {
    const { tenant, receiver } = scene;
    receiver.answer = ({ path }) => (path === '/hang' ? { hang: true } : {});
    const type = await tenant.registerType();
    const hanging = await tenant.createWebhook(new URL('/hang', receiver.url).href, [type], {
      timeoutSeconds: 3,
      retrySchedule: [],
    });
    const quick = await tenant.createWebhook(receiver.url, [type]);
    const since = Date.now();
    await tenant.publishMany(Array.from({ length: 20 }, (_, n) => ({ type, data: { n } })));
    await tenant.reached(quick.id, 'DELIVERED', 20);
    expect(Date.now() - since).toBeLessThan(2_500);
    await tenant.remove(hanging.id);
  });
});

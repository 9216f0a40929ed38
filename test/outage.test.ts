import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase } from './harness/database.ts';
import type { TestDatabase } from './harness/database.ts';
import { startTestProgram, until } from './harness/program.ts';
import type { TestProgram } from './harness/program.ts';
import { startProxy } from './harness/proxy.ts';
import type { Proxy } from './harness/proxy.ts';
import { startReceiver } from './harness/receiver.ts';
import type { Receiver } from './harness/receiver.ts';
import { tenantOf } from './harness/tenant.ts';

/** How long a call may take to fail, with some room for a machine that is busy. */
const FAILS_WITHIN_MS = 5_500;

let database: TestDatabase;
let proxy: Proxy;
let program: TestProgram;
let receiver: Receiver;

beforeEach(async () => {
  database = await createTestDatabase();
  proxy = await startProxy(database.url);
  program = await startTestProgram(proxy.url, { HOOKGRAPH_LOG_LEVEL: 'silent' });
  receiver = await startReceiver();
});
afterEach(async () => {
  proxy.mend();
  await program.stop();
  await proxy.close();
  await receiver.close();
  await database.drop();
});

const readiness = async (): Promise<number> => (await fetch(`${program.url}/readyz`)).status;

/** The code that calls fail with; null where they don't. */
const failure = async (): Promise<string | null> => {
  try {
    await program.graphql('{ webhooks { totalCount } }');
    return null;
  } catch (error) {
    return (error as { response: { errors: { extensions: { code: string } }[] } }).response.errors[0]!.extensions.code;
  }
};

const expectOutage = async (): Promise<void> => {
  const since = Date.now();
  expect(await Promise.all([readiness(), failure()])).toEqual([503, 'SERVICE_UNAVAILABLE']);
  expect(Date.now() - since).toBeLessThan(FAILS_WITHIN_MS);
  expect((await fetch(`${program.url}/healthz`)).status).toBe(200);
};

const expectRecovery = async (): Promise<void> => {
  await until('it is ready again', async () => (await readiness()) === 200, 20_000);
  await until('calls are answered again', async () => (await failure()) === null, 20_000);
};

const numbers = (): Set<number> =>
  new Set(receiver.requests.map((request) => (JSON.parse(request.body) as { data: { n: number } }).data.n));

describe('a program that loses its database', () => {
  it.each(['freeze', 'cut'] as const)(
    'because of a %s says so, recovers by itself, and delivers what was committed before and after',
    async (how) => {
      const tenant = tenantOf(program);
      const { id } = await tenant.createWebhook(receiver.url, ['ticket.*'], { maxConcurrency: 4, retrySchedule: [1] });
      receiver.answer = () => ({ delayMs: 50 });
      const events = Array.from({ length: 60 }, (_, n) => ({ type: 'ticket.created', data: { n } }));
      await tenant.publishMany(events);
      await until('it is in the midst of sending', () => receiver.requests.length >= 10);
      proxy[how]();
      await expectOutage();
      proxy.mend();
      await expectRecovery();
      await tenant.publish('ticket.created', { n: 60 });
      await tenant.reached(id, 'DELIVERED', 61);
      expect(numbers().size).toBe(61);
      // What was under way is sent at most once more.
      expect(receiver.requests.length).toBeLessThan(61 + 61);
    },
    90_000,
  );

  it('by having every connection terminated goes on as if nothing had been', async () => {
    const tenant = tenantOf(program);
    const { id } = await tenant.createWebhook(receiver.url, ['ticket.*'], { maxConcurrency: 4 });
    receiver.answer = () => ({ delayMs: 50 });
    await tenant.publishMany(Array.from({ length: 60 }, (_, n) => ({ type: 'ticket.created', data: { n } })));
    await until('it is in the midst of sending', () => receiver.requests.length >= 10);
    const client = new Client({ connectionString: database.url });
    await client.connect();
    await client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid()`,
    );
    await client.end();
    await expectRecovery();
    await tenant.publish('ticket.created', { n: 60 });
    await tenant.reached(id, 'DELIVERED', 61);
    expect(numbers().size).toBe(61);
  }, 60_000);
});

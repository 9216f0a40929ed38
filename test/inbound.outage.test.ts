import { expect, it } from 'vitest';
import { createTestDatabase } from './harness/database.ts';
import { inboundOf, post } from './harness/inbound.ts';
import { startTestProgram, until } from './harness/program.ts';
import { startProxy } from './harness/proxy.ts';
import { tenantOf } from './harness/tenant.ts';

/** How long a sender may wait for its answer, with some room for a machine that is busy. */
const ANSWERS_WITHIN_MS = 8_000;

it('a sender is told to come again while the database is away, and what it was told 200 for is there afterwards', async () => {
  const database = await createTestDatabase();
  const proxy = await startProxy(database.url);
  const program = await startTestProgram(proxy.url, { HOOKGRAPH_LOG_LEVEL: 'silent' });
  const inbound = inboundOf(tenantOf(program));
  const { id, slugUrl } = await inbound.create({ idempotencySource: { type: 'JSONATA', value: 'n' } });
  const accepted = new Set<string>();
  const send = async (n: number): Promise<number> => {
    const { status, headers, json } = await post(slugUrl, `{"n":${n}}`);
    if (status === 200) accepted.add(json.delivery_id);
    else expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    return status;
  };
  expect(await send(0)).toBe(200);
  for (const [round, fail] of (['cut', 'freeze'] as const).entries()) {
    proxy[fail]();
    const since = Date.now();
    const statuses = await Promise.all([1, 2, 3].map((n) => send(10 * round + n)));
    expect(statuses).toEqual([503, 503, 503]);
    expect(Date.now() - since).toBeLessThan(ANSWERS_WITHIN_MS);
    proxy.mend();
    for (const n of [1, 2, 3]) await until('it is taken', async () => (await send(10 * round + n)) === 200, 25_000);
  }
  const kept = await until('all of it', () => inbound.deliveries({ inboundWebhookId: id }).catch(() => null));
  const handled = kept.filter(({ dispatchStatus }) => dispatchStatus === 'DISPATCHED');
  expect(new Set(handled.map((delivery) => delivery.id))).toEqual(accepted);
  expect(accepted.size).toBe(7);
  await program.stop();
  await proxy.close();
  await database.drop();
}, 90_000);

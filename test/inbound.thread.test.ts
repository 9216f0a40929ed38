import { readFileSync, readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { runSql, selectSql } from './harness/database.ts';
import { inboundOf, post } from './harness/inbound.ts';
import { spawnProgram, startTestProgram } from './harness/program.ts';
import { useScene } from './harness/scene.ts';

const scene = useScene();

it('what was refused just before a process stops is counted and recorded', async () => {
  const inbound = inboundOf(scene.tenant);
  const { id, slugUrl } = await inbound.create();
  const other = await startTestProgram(scene.database.url, { HOOKGRAPH_ROLES: 'receiver' });
  const there = slugUrl.replace(scene.program.url, other.url);
  for (let n = 0; n < 3; n++) expect((await post(there, '{}', { 'x-signature': 'wrong' })).status).toBe(401);
  expect((await post(there)).status).toBe(200);
  await other.stop();
  const { refusals, deliveryCount } = await inbound.webhook(id);
  expect(refusals).toContainEqual({ cause: 'UNAUTHORIZED', count: 3 });
  expect(deliveryCount).toBe(1);
  expect(await inbound.deliveries({ inboundWebhookId: id, dispatchStatus: ['REJECTED'] })).toHaveLength(3);
});

it('a day without a partition gets one, and the request that found it missing is kept', async () => {
  const inbound = inboundOf(scene.tenant);
  const { slugUrl } = await inbound.create();
  const today = `inbound_delivery_p${new Date().toISOString().slice(0, 10).replaceAll('-', '')}`;
  await runSql(scene.database.url, `drop table ${today}`);
  const replies = await Promise.all(Array.from({ length: 20 }, () => post(slugUrl)));
  expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
  const [row] = await selectSql(scene.database.url, `select count(*)::int as count from ${today}`);
  expect(row.count).toBe(20);
});

it('an expression that never ends costs a request its key and no other request anything', async () => {
  const inbound = inboundOf(scene.tenant);
  const endless = await inbound.create({
    idempotencySource: { type: 'JSONATA', value: '($f := function($n) { $f($n + 1) }; $f(body.n))' },
  });
  const plain = await inbound.create();
  const slow = post(endless.slugUrl, '{"n":1}');
  const startedAt = performance.now();
  for (let n = 0; n < 10; n++) expect((await post(plain.slugUrl)).status).toBe(200);
  const others = performance.now() - startedAt;
  expect((await slow).status).toBe(200);
  const [kept] = await inbound.deliveries({ inboundWebhookId: endless.id });
  expect(kept.idempotencyKey).toBeNull();
  expect(others).toBeLessThan(5_000);
});

it.runIf(process.platform === 'linux')('is a thread of a process with the role, and of no other', async () => {
  const threadsOf = (pid: number): string[] =>
    readdirSync(`/proc/${pid}/task`).map((task) => readFileSync(`/proc/${pid}/task/${task}/comm`, 'utf8').trim());
  for (const role of ['receiver', 'worker']) {
    const program = await spawnProgram(scene.database.url, { HOOKGRAPH_ROLES: role });
    expect(threadsOf(program.child.pid!).includes('reception')).toBe(role === 'receiver');
    await program.stop();
    expect(await program.ended).toBe(0);
  }
});

import { createSecretKey, randomBytes } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { ReceiverAddress } from '../src/domain/inbound/directory.ts';
import type { InboundRequest } from '../src/domain/inbound/verification/request.ts';
import { StartupError } from '../src/platform/startupError.ts';
import { Reception } from '../src/receivers/reception.ts';
import type { ReceptionOptions } from '../src/receivers/reception.ts';
import { ThreadedReception } from '../src/receivers/threadedReception.ts';
import { runSql, selectSql } from './harness/database.ts';
import { inboundOf, post } from './harness/inbound.ts';
import { spawnProgram, startTestProgram } from './harness/program.ts';
import { useScene } from './harness/scene.ts';
import { tenantOf } from './harness/tenant.ts';

const scene = useScene();

it('what was refused just before a process stops is counted and recorded', async () => {
  const inbound = inboundOf(scene.tenant);
  const { id, slugUrl } = await inbound.create();
  const other = await startTestProgram(scene.database.url, { HOOKGRAPH_ROLES: 'receiver' });
  const there = slugUrl.replace(scene.program.url, other.url);
  for (let n = 0; n < 3; n++) expect((await post(there, '{}', { 'x-signature': 'wrong' })).status).toBe(401);
  expect((await post(there, '{}', { 'content-encoding': 'gzip' })).status).toBe(415);
  expect((await post(there, '{}', {}, 'DELETE')).status).toBe(405);
  expect((await post(there)).status).toBe(200);
  await other.stop();
  const { refusals, deliveryCount } = await inbound.webhook(id);
  for (const [cause, count] of [
    ['UNAUTHORIZED', 3],
    ['UNSUPPORTED', 1],
    ['METHOD', 1],
  ])
    expect(refusals).toContainEqual({ cause, count });
  expect(deliveryCount).toBe(1);
  expect(await inbound.deliveries({ inboundWebhookId: id, dispatchStatus: ['REJECTED'] })).toHaveLength(5);
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

it('a result that nests deeper than any message bears costs a request its key, and the process nothing', async () => {
  const program = await spawnProgram(scene.database.url);
  const inbound = inboundOf(tenantOf(program));
  const nested = (levels: number): string => `$reduce([1..${levels}], function($a, $i) { [[$a]] })`;
  for (const levels of [300, 3_800, 4_500]) {
    const { id, slugUrl } = await inbound.create({ idempotencySource: { type: 'JSONATA', value: nested(levels) } });
    expect((await post(slugUrl)).status).toBe(200);
    const [kept] = await inbound.deliveries({ inboundWebhookId: id });
    expect(kept.idempotencyKey === null).toBe(levels > 300);
  }
  await program.stop();
  expect(await program.ended).toBe(0);
});

it('a flood of requests that are answered unread looks up a hundred addresses at once, and counts for those that are known', async () => {
  const looked: ReceiverAddress[] = [];
  const counted: string[] = [];
  const known = { id: 'known', tenantId: 'tenant', name: 'x', credentialNames: { headers: [], query: [] } };
  const directory = {
    find: (address: ReceiverAddress) => {
      looked.push(address);
      return new Promise<null>(() => undefined);
    },
    known: (address: ReceiverAddress) => ('id' in address ? known : undefined),
  };
  const tally = { refused: (id: string) => void counted.push(id) };
  const reception = new Reception({ directory, tally } as unknown as ReceptionOptions);
  const refuse = (address: ReceiverAddress): void =>
    reception.refusedUnread(address, {} as InboundRequest, 'unsupported', 415, 1);
  for (let n = 0; n < 1_000; n++) refuse({ tenantSlug: 'default', slug: `nowhere-${n}` });
  expect(looked).toHaveLength(100);
  refuse({ id: 'known' });
  expect(looked).toHaveLength(100);
  expect(counted).toEqual(['known']);
});

it('a request whose webhook is another each time it is looked at is to come again, and is not called wrong', async () => {
  const receiver = {
    id: 'changing',
    tenantId: 'tenant',
    name: 'x',
    status: 'ACTIVE',
    events: new Set(),
    eventTypeSource: null,
    idempotencySource: null,
    rateLimitPerMinute: 10,
    credentialNames: { headers: [], query: [] },
  };
  const request = {
    method: 'POST',
    path: '/',
    query: '',
    headers: {},
    body: Buffer.from('{}'),
    receivedAt: Date.now(),
  };
  const receive = async (valid: boolean): Promise<number> => {
    const verifier = { verify: () => ({ valid, authStatus: 'VERIFIED' }), handshake: () => null };
    const directory = {
      find: () => ({ ...receiver, verifier }),
      forget: () => undefined,
      isCurrent: async () => false,
    };
    const reception = new Reception({
      directory,
      receipts: { keep: async () => null },
      hopsHeader: 'x-hops',
    } as unknown as ReceptionOptions);
    return (await reception.receive({ id: 'changing' }, request as unknown as InboundRequest, () => 1)).answer.status;
  };
  expect(await receive(true)).toBe(503);
  expect(await receive(false)).toBe(503);
});

it('that cannot start says why in a line, and can be closed before, then and later', async () => {
  const start = (): ThreadedReception =>
    new ThreadedReception({
      databaseUrl: 'postgres://127.0.0.1:1/x',
      poolSize: 4,
      secretKey: createSecretKey(randomBytes(32)),
      hopsHeader: 'x-hops',
      logLevel: 'silent',
      sandbox: { evaluateAll: async () => [] },
      bell: { ring: () => undefined },
      onKept: () => undefined,
      makePartitions: async () => false,
    });
  await start().close();
  const failed = start();
  await expect(failed.started).rejects.toThrow(StartupError);
  await expect(failed.started).rejects.toThrow(/^Receiving could not start: .*ECONNREFUSED.*\. Check that PostgreSQL/);
  await failed.close();
  await failed.close();
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

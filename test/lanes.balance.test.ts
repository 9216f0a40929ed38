import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { excessOf, roomOf } from '../src/jobs/lanes/balance.ts';
import { inboundOf, post } from './harness/inbound.ts';
import { until } from './harness/program.ts';
import type { TestProgram } from './harness/program.ts';
import { usePrograms } from './harness/programs.ts';
import { tenantOf } from './harness/tenant.ts';

const LANES = 30;
const EVENTS = 400;
const WAIT_MS = 60_000;

const scene = usePrograms();

const start = (roles: string): Promise<TestProgram> => scene.start({ HOOKGRAPH_ROLES: roles });

const metricOf = async ({ url }: TestProgram, name: string): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(String.raw`^${name} (\d+)$`, 'm').exec(text)?.[1] ?? 0);
};

it('a worker has too many lanes only well above its share, and letting go of them brings it there', () => {
  const count = fc.nat(5_000);
  fc.assert(
    fc.property(count, fc.array(count, { maxLength: 8 }), (held, others) => {
      const excess = excessOf(held, others);
      const mean = (held + others.reduce((sum, one) => sum + one, 0)) / (others.length + 1);
      const beyond = held - Math.ceil(mean);
      expect(excess).toBe(held > Math.ceil(mean) * 1.5 && beyond > 10 ? beyond : 0);
      // Who lets go of lanes doesn't take them back at once, and somebody always takes what is left.
      expect(roomOf(held, others) === 0 || excess < 20).toBe(true);
      expect(
        [[held, others] as const, ...others.map((one, at) => [one, [held, ...others.toSpliced(at, 1)]] as const)].some(
          ([one, rest]) => roomOf(one, rest) > 0,
        ),
      ).toBe(true);
    }),
  );
  expect(excessOf(5_000, [])).toBe(0);
});

it('lanes go from a worker that has them all to one that starts, in the midst of their work, and nothing is sent twice', async () => {
  scene.receiver.answer = () => ({ delayMs: 25 });
  const api = await start('api');
  const tenant = tenantOf(api);
  for (let n = 0; n < LANES; n++)
    await tenant.createWebhook(scene.receiver.url, ['ticket.created'], { maxConcurrency: 1 });
  const first = await start('worker');
  await tenant.publishMany(Array.from({ length: EVENTS }, (_, n) => ({ type: 'ticket.created', data: { n } })));
  await until(
    'the first worker to hold all lanes',
    async () => (await metricOf(first, 'hookgraph_lanes_held')) === LANES,
  );
  const second = await start('worker');
  await until(
    'the second worker to have its share',
    async () => (await metricOf(second, 'hookgraph_lanes_held')) >= LANES / 3,
    WAIT_MS,
  );
  await until('all deliveries', () => scene.receiver.requests.length >= LANES * EVENTS, WAIT_MS);
  const delivered = async (program: TestProgram): Promise<number> =>
    metricOf(program, String.raw`hookgraph_deliveries_total\{outcome="delivered"\}`);
  await until(
    'all results',
    async () => (await delivered(first)) + (await delivered(second)) === LANES * EVENTS,
    WAIT_MS,
  );
  expect(await delivered(second)).toBeGreaterThan(LANES);
  expect(scene.receiver.requests).toHaveLength(LANES * EVENTS);
}, 120_000);

it('requests of inbound webhooks that wait go to a worker that starts, and each is handled once', async () => {
  const api = await start('api,receiver');
  const tenant = tenantOf(api);
  const urls: string[] = [];
  for (let n = 0; n < LANES; n++) {
    const { slugUrl } = await inboundOf(tenant).create({
      rateLimitPerMinute: 60_000,
      handler: {
        type: 'DIRECT_ACTION',
        action: 'createTicket',
        // A child takes its time for it.
        fieldMapping: { title: '($x := $sum([1..30000]); id)' },
      },
    });
    urls.push(slugUrl);
  }
  await Promise.all(
    urls.flatMap((url, lane) =>
      Array.from({ length: 40 }, (_, n) => post(url, JSON.stringify({ id: `${lane} ${n}` }))),
    ),
  );
  await start('worker');
  await start('worker');
  await until(
    'every request to be handled',
    async () => {
      const { tickets } = await tenant.graphql(`{ tickets(first: 1) { totalCount } }`);
      return tickets.totalCount === LANES * 40;
    },
    WAIT_MS,
  );
}, 120_000);

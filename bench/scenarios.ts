import { bulk } from './bulk.ts';
import { history } from './history.ts';
import { inbound } from './inbound.ts';
import type { Figure } from './run.ts';
import { progress, sleep } from './stage.ts';
import type { ProgramProcess, Stage } from './stage.ts';
import { survival } from './survival.ts';

const EVENTS = 3_000;
const WEBHOOKS = 10;
const NARROWED = 2_000;
const SECOND = 1_000;

/** Deliveries per second while a backlog of `EVENTS` × 10 drains. */
const drainRate = async (stage: Stage, program: ProgramProcess, ids: readonly string[]): Promise<number> => {
  await stage.setActive(program, ids, false);
  await stage.publish(program, EVENTS);
  await stage.received();
  const startedAt = Date.now();
  await stage.setActive(program, ids, true);
  await stage.drained();
  return (EVENTS * ids.length * SECOND) / (Date.now() - startedAt);
};

/** Milliseconds. */
interface Latency {
  readonly p50: number;
  readonly p99: number;
  /** Of a commit of one row in between, as slow as the disk was then. */
  readonly commitP99: number;
}

/** 20 events a second, one call each, for `seconds`; and as often a commit of one row by somebody else. */
const trickle = async (stage: Stage, program: ProgramProcess, seconds: number): Promise<Latency> => {
  await stage.publishOne(program);
  await sleep(SECOND);
  await stage.received();
  const sent: Promise<void>[] = [];
  const commits: Promise<number>[] = [];
  for (let n = 0; n < seconds * 20; n++) {
    sent.push(stage.publishOne(program));
    await sleep(SECOND / 40);
    commits.push(stage.commitOne());
    await sleep(SECOND / 40);
  }
  await Promise.all(sent);
  const took = (await Promise.all(commits)).sort((a, b) => a - b);
  await sleep(SECOND / 2);
  const { p50, p99 } = await stage.received();
  return { p50, p99, commitP99: took[Math.floor(took.length * 0.99)]! };
};

/** Publish → receive → recorded, beside a bare POST loop to the same receiver in the same run. */
const delivery = async (stage: Stage): Promise<Figure[]> => {
  const program = await stage.start();
  const ids = await stage.createWebhooks(program, WEBHOOKS);
  await stage.publish(program, 500);
  await stage.drained();

  progress('  bare POST loop');
  const before = await stage.bareLoop();
  progress('  draining 30,000');
  const drain = await drainRate(stage, program, ids);
  progress('  publishing at the same time');
  await stage.received();
  const startedAt = Date.now();
  const publishing = new AbortController();
  const publishers = [0, 1].map(async () => {
    while (!publishing.signal.aborted) await stage.publish(program, 100);
  });
  await sleep(8 * SECOND);
  const both = ((await stage.received()).requests * SECOND) / (Date.now() - startedAt);
  publishing.abort();
  await Promise.all(publishers);
  await stage.drained();
  const after = await stage.bareLoop();
  const bare = (before + after) / 2;

  progress('  20 events a second');
  const one = await trickle(stage, program, 15);
  await stage.start('worker');
  await sleep(3 * SECOND);
  const two = await trickle(stage, program, 15);
  return [
    { name: 'bare undici POST loop', value: bare, unit: '/s' },
    { name: 'draining 30,000', value: drain, unit: '/s' },
    { name: 'draining, to the bare loop', value: drain / bare, unit: 'ratio', atLeast: 0.35 },
    { name: 'delivered while publishing', value: both, unit: '/s' },
    { name: 'delivered while publishing, to the bare loop', value: both / bare, unit: 'ratio', atLeast: 0.22 },
    { name: 'publish call to receiver, 20 events/s, p50', value: one.p50, unit: 'ms', atMost: 10 },
    { name: 'publish call to receiver, 20 events/s, p99', value: one.p99, unit: 'ms', atMost: 40 },
    { name: 'a commit of one row meanwhile, p99', value: one.commitP99, unit: 'ms' },
    { name: 'the same with two workers, p50', value: two.p50, unit: 'ms', atMost: 10 },
    { name: 'the same with two workers, p99', value: two.p99, unit: 'ms', atMost: 40 },
    { name: 'a commit of one row meanwhile, p99', value: two.commitP99, unit: 'ms' },
  ];
};

/** Draining while another connection holds an old snapshot, which keeps every dead row. */
const snapshot = async (stage: Stage): Promise<Figure[]> => {
  const program = await stage.start();
  const ids = await stage.createWebhooks(program, WEBHOOKS);
  await drainRate(stage, program, ids);
  const without = await drainRate(stage, program, ids);
  await stage.sql.query('begin isolation level repeatable read');
  await stage.sql.query('select count(*) from webhook');
  const held = await drainRateBeside(stage, program, ids);
  await stage.sql.query('rollback');
  return [
    { name: 'draining 30,000', value: without, unit: '/s' },
    { name: 'draining 30,000 beside an old snapshot', value: held, unit: '/s' },
    { name: 'beside an old snapshot, to without', value: held / without, unit: 'ratio', atLeast: 0.8 },
  ];
};

/** As `drainRate`, told by the receiver: the stage's own connection stands in its snapshot and sees nothing new. */
const drainRateBeside = async (stage: Stage, program: ProgramProcess, ids: readonly string[]): Promise<number> => {
  await stage.setActive(program, ids, false);
  await stage.publish(program, EVENTS);
  await stage.received();
  const startedAt = Date.now();
  await stage.setActive(program, ids, true);
  let received = 0;
  while (received < EVENTS * ids.length) {
    await sleep(50);
    received += (await stage.received()).requests;
  }
  return (received * SECOND) / (Date.now() - startedAt);
};

/**
 * What a worker makes of a small and of a large backlog that it finds when it starts, in the 6 s after its first delivery. Nothing
 * is paused for it: telling the feed that nothing is held any more is no part of draining.
 */
const backlog = async (stage: Stage): Promise<Figure[]> => {
  const api = await stage.start('api');
  const ids = await stage.createWebhooks(api, WEBHOOKS);
  await stage.publish(api, 500);
  const first = await stage.start('worker');
  await stage.drained();
  await stage.stop(first.child);
  const rateOf = async (pending: number): Promise<number> => {
    progress(`  filling ${pending}`);
    await stage.fill(ids, pending);
    await stage.received();
    const worker = await stage.start('worker');
    while ((await stage.received()).requests === 0) await sleep(5);
    const startedAt = Date.now();
    await sleep(6 * SECOND);
    const { requests } = await stage.received();
    const rate = (requests * SECOND) / (Date.now() - startedAt);
    await stage.stop(worker.child);
    await stage.sql.query('delete from delivery_open');
    return rate;
  };
  const small = await rateOf(40_000);
  const large = await rateOf(500_000);
  return [
    { name: 'first 6 s of 40,000 pending', value: small, unit: '/s' },
    { name: 'first 6 s of 500,000 pending', value: large, unit: '/s' },
    { name: '500,000 to 40,000', value: large / small, unit: 'ratio', atLeast: 0.8 },
  ];
};

/** 200 webhooks of which 100 hang until their timeout: what the others feel of it. */
const hanging = async (stage: Stage): Promise<Figure[]> => {
  const program = await stage.start();
  await stage.createWebhooks(program, 100);
  await trickle(stage, program, 3);
  const alone = await trickle(stage, program, 10);
  await stage.createWebhooks(program, 100, '/hang');
  const beside = await trickle(stage, program, 20);
  return [
    { name: '100 webhooks, 20 events/s, p99', value: alone.p99, unit: 'ms' },
    { name: 'the same beside 100 that hang, p99', value: beside.p99, unit: 'ms' },
    { name: 'beside, to alone', value: beside.p99 / alone.p99, unit: 'ratio', atMost: 2 },
  ];
};

/**
 * 500 events a second, each for one of 200 webhooks, of which 100 hang until their timeout: what the others feel of it,
 * beside a run in which those 100 are not there.
 */
const starvation = async (stage: Stage): Promise<Figure[]> => {
  const program = await stage.start();
  const types = Array.from({ length: 200 }, (_, n) => `bench.type${n}`);
  await stage.registerTypes(program, types);
  const create = async (those: readonly string[], path: string): Promise<void> => {
    for (const type of those) await stage.createWebhooks(program, 1, path, { eventTypes: [type] });
  };
  const run = async (seconds: number): Promise<{ p50: number; p99: number }> => {
    await stage.received();
    const sent: Promise<void>[] = [];
    const startedAt = Date.now();
    for (let call = 0; call < seconds * 50; call++) {
      const those = Array.from({ length: 10 }, (_, n) => types[(call * 10 + n * 21) % types.length]!);
      sent.push(stage.publishOf(program, those));
      await sleep(Math.max(0, startedAt + (call + 1) * (SECOND / 50) - Date.now()));
    }
    await Promise.all(sent);
    await sleep(SECOND);
    return stage.received();
  };
  await create(types.slice(0, 100), '/');
  await run(5);
  const alone = await run(20);
  await create(types.slice(100), '/hang');
  progress('  100 begin to hang');
  await run(15);
  const beside = await run(20);
  return [
    { name: '500 events/s for 200 webhooks of which 100 exist, p50', value: alone.p50, unit: 'ms' },
    { name: 'the same, p99', value: alone.p99, unit: 'ms' },
    { name: 'beside 100 that hang, p50', value: beside.p50, unit: 'ms' },
    { name: 'the same, p99', value: beside.p99, unit: 'ms' },
    { name: 'p99 beside, to alone', value: beside.p99 / alone.p99, unit: 'ratio', atMost: 2 },
  ];
};

/** What a webhook asks for itself, with two workers: 600 a minute over two minutes, and three at once. */
const limits = async (stage: Stage): Promise<Figure[]> => {
  const program = await stage.start();
  await stage.start('worker');
  await stage.createWebhooks(program, 1, '/slow', { entityIds: ['three'], maxConcurrency: 3 });
  await stage.publishTo(program, Array<string>(500).fill('three'));
  await stage.drained();
  const { mostAtOnce } = await stage.received();
  await stage.createWebhooks(program, 1, '/', { entityIds: ['limited'], rateLimitPerMinute: 600 });
  for (let n = 0; n < 4; n++) await stage.publishTo(program, Array<string>(500).fill('limited'));
  // What may come ahead of its time has come.
  await sleep(3 * SECOND);
  await stage.received();
  const minutes = 2;
  await sleep(minutes * 60 * SECOND);
  const { requests } = await stage.received();
  return [
    { name: 'at once, of 3 allowed', value: mostAtOnce, unit: '', atLeast: 3, atMost: 3 },
    { name: 'in two minutes, of 1,200 allowed', value: requests, unit: '' },
    { name: 'to what is allowed', value: requests / (600 * minutes), unit: 'ratio', atLeast: 0.95, atMost: 1.05 },
  ];
};

/** 10,000 events for ten webhooks in strict order; one request in thirty fails, and one of two workers is killed. */
const strict = async (stage: Stage): Promise<Figure[]> => {
  const api = await stage.start('api');
  const victim = await stage.start('worker');
  await stage.start('worker');
  const entities = Array.from({ length: WEBHOOKS }, (_, n) => `entity-${n}`);
  const schedule = Array<number>(20).fill(1);
  for (const entity of entities) {
    await stage.createWebhooks(api, 1, '/strict', { entityIds: [entity], ordering: 'STRICT', retrySchedule: schedule });
  }
  for (let n = 0; n < 1_000; n += 50) {
    const those = Array.from({ length: 50 }, () => entities).flat();
    await stage.publishTo(api, those, (index) => ({ n: n + Math.floor(index / WEBHOOKS) }));
    if (n === 300) await stage.stop(victim.child, 'SIGKILL');
  }
  await stage.drained();
  await sleep(SECOND);
  const { requests, distinct, outOfTurn } = await stage.received();
  return [
    { name: 'distinct of 10,000 at the receiver', value: distinct, unit: '', atLeast: 10_000, atMost: 10_000 },
    { name: 'requests', value: requests, unit: '' },
    { name: 'out of turn', value: outOfTurn, unit: '', atMost: 0 },
  ];
};

/** Single publishes by 32 callers, of a type that matches (rings) and of one that matches nothing (none). */
const publish = async (stage: Stage): Promise<Figure[]> => {
  const program = await stage.start('api');
  const ids = await stage.createWebhooks(program, 1);
  const rateOf = async (call = () => stage.publishOne(program)): Promise<number> => {
    const end = Date.now() + 6 * SECOND;
    let calls = 0;
    const caller = async (): Promise<void> => {
      while (Date.now() < end) {
        await call();
        calls++;
      }
    };
    await Promise.all(Array.from({ length: 32 }, caller));
    return calls / 6;
  };
  await rateOf();
  const ringing = await rateOf();
  // A paused webhook gets its delivery written like any other; only nobody is rung for it.
  await stage.setActive(program, ids, false);
  const silent = await rateOf();
  const toOne = async (entities: number): Promise<number> => {
    let n = 0;
    return rateOf(() => stage.publishTo(program, [`entity ${n++ % entities}`]));
  };
  await stage.createWebhooks(program, 1, '/', { entityIds: ['entity 0'] });
  const ofOne = await toOne(1);
  for (let n = 1; n < NARROWED; n++) await stage.createWebhooks(program, 1, '/', { entityIds: [`entity ${n}`] });
  await stage.sql.query('analyze');
  const ofMany = await toOne(NARROWED);
  return [
    { name: 'single publishes by 32 callers, with rings', value: ringing, unit: '/s' },
    { name: 'the same without rings', value: silent, unit: '/s' },
    { name: 'with rings, to without', value: ringing / silent, unit: 'ratio', atLeast: 0.8 },
    { name: 'to the one webhook of the type, narrowed to its entity', value: ofOne, unit: '/s' },
    { name: `to one of ${NARROWED}, each narrowed to its own`, value: ofMany, unit: '/s' },
    { name: 'one of many, to the only one', value: ofMany / ofOne, unit: 'ratio', atLeast: 0.8 },
  ];
};

/** `kill -9` of a worker in the middle of 10,000 deliveries, a second one running. */
const kill = async (stage: Stage): Promise<Figure[]> => {
  const api = await stage.start('api');
  const victim = await stage.start('worker');
  const ids = await stage.createWebhooks(api, WEBHOOKS);
  await stage.setActive(api, ids, false);
  await stage.publish(api, 1_000);
  await stage.setActive(api, ids, true);
  await sleep(700);
  const survivor = stage.start('worker');
  await stage.stop(victim.child, 'SIGKILL');
  await survivor;
  const startedAt = Date.now();
  await stage.drained();
  const recoveredMs = Date.now() - startedAt;
  await sleep(2 * SECOND);
  const { requests, distinct } = await stage.received();
  const { rows } = await stage.sql.query<{ delivered: number }>(
    `select count(*)::int as delivered from delivery where status = 'DELIVERED'`,
  );
  const told = new Set<string>();
  for (let after: string | null = null, more = true; more;) {
    const {
      deliveryEvents,
    }: { deliveryEvents: { cursor: string; hasMore: boolean; events: { deliveryId: string }[] } } = await api.graphql(
      `query ($after: String) { deliveryEvents(after: $after, first: 100) { cursor hasMore events { deliveryId } } }`,
      { after },
    );
    for (const event of deliveryEvents.events) told.add(event.deliveryId);
    ({ cursor: after, hasMore: more } = deliveryEvents);
  }
  return [
    { name: 'delivered of 10,000', value: rows[0]!.delivered, unit: '', atLeast: 10_000 },
    { name: 'distinct at the receiver', value: distinct, unit: '', atLeast: 10_000 },
    { name: 'distinct in the feed', value: told.size, unit: '', atLeast: 10_000 },
    { name: 'sent twice', value: requests - distinct, unit: '' },
    { name: 'from the kill to the last one', value: recoveredMs, unit: 'ms' },
  ];
};

export const scenarios: Readonly<Record<string, (stage: Stage) => Promise<Figure[]>>> = {
  delivery,
  publish,
  snapshot,
  backlog,
  hanging,
  starvation,
  limits,
  strict,
  kill,
  survival,
  bulk,
  inbound,
  history,
};

import { createHmac, randomUUID } from 'node:crypto';
import { Agent } from 'undici';
import type { Figure } from './run.ts';
import { progress } from './stage.ts';
import type { Stage } from './stage.ts';

const WEBHOOKS = 10;
const AT_ONCE = 128;
const ROUNDS = 3;
const SECONDS = 6;
const WARM_UP_SECONDS = 2;
const SECRET = 'the secret of the benchmarks';
/** As large as what most senders send. */
const BODY = JSON.stringify({ type: 'order.paid', text: 'x'.repeat(900) });
const SIGNATURE = createHmac('sha256', SECRET).update(BODY).digest('hex');

interface Load {
  readonly rate: number;
  readonly p99: number;
}

/** Posts once, resolves with the status. By `dispatch`, because `request` costs this process more than answering costs a server. */
const post = (agent: Agent, url: URL): Promise<number> =>
  new Promise((resolve, reject) => {
    let status = 0;
    agent.dispatch(
      {
        origin: url.origin,
        path: url.pathname,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-signature': SIGNATURE, 'x-key': randomUUID() },
        body: BODY,
      },
      {
        onRequestStart: () => undefined,
        onResponseStart: (_, statusCode) => void (status = statusCode),
        onResponseData: () => undefined,
        onResponseEnd: () => resolve(status),
        onResponseError: (_, error) => reject(error),
      },
    );
  });

/** As many requests as go, each with a key of its own, all of them answered 200. */
const loadOn = async (addresses: readonly string[], seconds: number): Promise<Load> => {
  const agent = new Agent({ connections: AT_ONCE });
  const urls = addresses.map((address) => new URL(address));
  const latencies: number[] = [];
  const startedAt = performance.now();
  const loop = async (n: number): Promise<void> => {
    while (performance.now() - startedAt < seconds * 1_000) {
      const sentAt = performance.now();
      const status = await post(agent, urls[n++ % urls.length]!);
      if (status !== 200) throw new Error(`answered ${status}`);
      latencies.push(performance.now() - sentAt);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, (_, n) => loop(n)));
  const rate = (latencies.length * 1_000) / (performance.now() - startedAt);
  await agent.close();
  latencies.sort((a, b) => a - b);
  return { rate, p99: latencies[Math.floor(latencies.length * 0.99)]! };
};

/**
 * Requests that are verified, told apart from duplicates and recorded before they are answered; beside a server that only
 * reads and answers, and one that inserts one row for each. Turn about, so that all have the same weather.
 */
export const inbound = async (stage: Stage): Promise<Figure[]> => {
  const program = await stage.start('api,receiver');
  const receivers: string[] = [];
  for (let n = 0; n < WEBHOOKS; n++) {
    const { inboundWebhookCreate } = await program.graphql<{
      inboundWebhookCreate: { inboundWebhook: { slugUrl: string } };
    }>(
      `mutation ($input: InboundWebhookCreateInput!) { inboundWebhookCreate(input: $input) {
         ... on InboundWebhookCreateSuccess { inboundWebhook { slugUrl } } ... on Error { message } } }`,
      {
        input: {
          name: `Bench ${n}`,
          auth: { type: 'HMAC', config: { header: 'X-Signature' }, secret: SECRET },
          idempotencySource: { type: 'HEADER', value: 'X-Key' },
          rateLimitPerMinute: 60_000,
        },
      },
    );
    receivers.push(inboundWebhookCreate.inboundWebhook.slugUrl);
  }
  const subjects = {
    bare: [await stage.plainServer(false)],
    inserting: [await stage.plainServer(true)],
    receiver: receivers,
  };
  type Subject = keyof typeof subjects;
  const loads: Record<Subject, Load[]> = { bare: [], inserting: [], receiver: [] };
  for (let round = 0; round <= ROUNDS; round++) {
    progress(round === 0 ? '  warming up' : `  round ${round} of ${ROUNDS}`);
    for (const subject of Object.keys(subjects) as Subject[]) {
      const load = await loadOn(subjects[subject], round === 0 ? WARM_UP_SECONDS : SECONDS);
      if (round > 0) loads[subject].push(load);
    }
  }
  const middle = (subject: Subject, figure: keyof Load): number =>
    loads[subject].map((load) => load[figure]).sort((a, b) => a - b)[Math.floor(ROUNDS / 2)]!;
  const [bare, inserting, received] = [middle('bare', 'rate'), middle('inserting', 'rate'), middle('receiver', 'rate')];
  return [
    { name: 'a server that reads and answers', value: bare, unit: '/s' },
    { name: 'the same, p99 of 128 at once', value: middle('bare', 'p99'), unit: 'ms' },
    { name: 'a server that inserts a row per request', value: inserting, unit: '/s' },
    { name: 'the same, p99 of 128 at once', value: middle('inserting', 'p99'), unit: 'ms' },
    { name: 'verified, unique, recorded', value: received, unit: '/s' },
    { name: 'the same, p99 of 128 at once', value: middle('receiver', 'p99'), unit: 'ms' },
    { name: 'verified, unique, recorded, to reading and answering', value: received / bare, unit: 'ratio' },
    { name: 'to inserting a row per request', value: received / inserting, unit: 'ratio', atLeast: 0.6 },
  ];
};

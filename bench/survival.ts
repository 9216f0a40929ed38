import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { glob, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GraphQLClient } from 'graphql-request';
import type { Figure } from './run.ts';
import { progress, sleep } from './stage.ts';
import type { Stage } from './stage.ts';

const KEY = 'the-key-of-the-benchmarks-0123456789';
const SECRET = 'the secret of the benchmarks';
const TRIALS = 200;
/** Requests under way when everything is killed. */
const REQUESTS = 20;
/** After one of the answers, whichever it is. */
const LONGEST_LIFE_MS = 5;
const PATIENCE_MS = 30_000;

/** The whole program with the embedded PostgreSQL of one directory. */
class Installation {
  readonly #dataDir: string;
  #child: ChildProcess | null = null;
  #url = '';
  graphql!: GraphQLClient;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, ['src/main.ts'], {
      cwd: new URL('..', import.meta.url),
      env: {
        PATH: process.env['PATH'],
        PORT: '0',
        HOOKGRAPH_DATA_DIR: this.#dataDir,
        HOOKGRAPH_API_KEY: KEY,
        HOOKGRAPH_LOG_LEVEL: 'silent',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#child = child;
    this.#url = await new Promise<string>((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => {
        const found = /(http:\S+)\/graphql/.exec(chunk.toString());
        if (found) resolve(found[1]!);
      });
      child.on('exit', (code) => reject(new Error(`the program ended with ${code}`)));
    });
    this.graphql = new GraphQLClient(`${this.#url}/graphql`, { headers: { 'X-API-Key': KEY } });
  }

  /** Posts a request; answers the id of its delivery where it was answered with success, else null. */
  async post(number: number): Promise<string | null> {
    const body = JSON.stringify({ id: `request ${number}` });
    try {
      const answer = await fetch(`${this.#url}/api/inbound/default/survival`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'x-signature': createHmac('sha256', SECRET).update(body).digest('hex'),
        },
        body,
      });
      if (answer.status !== 200) return null;
      return ((await answer.json()) as { delivery_id: string }).delivery_id;
    } catch {
      return null; // killed before it answered: nothing was promised
    }
  }

  /** `kill -9` of the program and of PostgreSQL with all its processes. */
  async kill(): Promise<void> {
    const child = this.#child!;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    for await (const file of glob('**/postmaster.pid', { cwd: this.#dataDir })) {
      const pid = Number((await readFile(join(this.#dataDir, file), 'utf8')).split('\n')[0]);
      process.kill(-pid, 'SIGKILL');
    }
    await ended;
  }

  async stop(): Promise<void> {
    const child = this.#child!;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  }
}

/**
 * 200 times: requests come in, some are answered, and everything is killed at a random moment. After the next start each
 * that was answered has to be there; in the end each has to have become its ticket, and none two.
 */
export const survival = async (stage: Stage): Promise<Figure[]> => {
  const dataDir = await mkdtemp(join(tmpdir(), 'hookgraph-survival-'));
  const installation = new Installation(dataDir);
  let sent = 0;
  const titles: string[] = [];
  let answered = 0;
  let lost = 0;
  stage.alsoClose(async () => {
    await installation.stop();
    await rm(dataDir, { recursive: true, force: true });
  });
  await installation.start();
  await installation.graphql.request(
    `mutation ($input: InboundWebhookCreateInput!) { inboundWebhookCreate(input: $input) { __typename } }`,
    {
      input: {
        name: 'Survival',
        slug: 'survival',
        rateLimitPerMinute: 60_000,
        auth: { type: 'HMAC', config: { header: 'X-Signature' }, secret: SECRET },
        handler: { type: 'DIRECT_ACTION', action: 'createTicket', fieldMapping: { title: 'id' } },
      },
    },
  );
  for (let trial = 0; trial < TRIALS; trial++) {
    const promised: string[] = [];
    const requests = Array.from({ length: REQUESTS }, async () => {
      const number = sent++;
      const deliveryId = await installation.post(number);
      if (deliveryId === null) return;
      promised.push(deliveryId);
      titles.push(`request ${number}`);
    });
    const enough = 1 + Math.floor(Math.random() * REQUESTS);
    for (const deadline = Date.now() + PATIENCE_MS; promised.length < enough && Date.now() < deadline;) await sleep(1);
    await sleep(Math.random() * LONGEST_LIFE_MS);
    await installation.kill();
    await Promise.all(requests);
    await installation.start();
    answered += promised.length;
    const kept = await recordedBy(installation);
    lost += promised.filter((deliveryId) => !kept.has(deliveryId)).length;
    if (trial % 20 === 19) progress(`  ${trial + 1} trials, ${answered} of ${sent} answered, ${lost} lost`);
  }
  const counts = await ticketsOf(installation, titles);
  const unhandled = titles.filter((title) => !counts.has(title)).length;
  const twice = titles.filter((title) => (counts.get(title) ?? 0) > 1).length;
  return [
    { name: 'trials', value: TRIALS, unit: '' },
    { name: 'requests answered before the kill', value: answered, unit: '', atLeast: 1 },
    { name: 'of these, lost', value: lost, unit: '', atMost: 0 },
    { name: 'of these, not handled in the end', value: unhandled, unit: '', atMost: 0 },
    { name: 'of these, handled twice', value: twice, unit: '', atMost: 0 },
  ];
};

/** The newest hundred requests that are on record. */
const recordedBy = async ({ graphql }: Installation): Promise<ReadonlySet<string>> => {
  const { inboundDeliveries } = await graphql.request<{ inboundDeliveries: { nodes: { id: string }[] } }>(
    `{ inboundDeliveries(first: 100) { nodes { id } } }`,
  );
  return new Set(inboundDeliveries.nodes.map(({ id }) => id));
};

/** How many tickets there are of each title, once each of these has one, or no more come. */
const ticketsOf = async (
  installation: Installation,
  titles: readonly string[],
): Promise<ReadonlyMap<string, number>> => {
  let most = 0;
  for (let deadline = Date.now() + PATIENCE_MS; ;) {
    const counts = await countTickets(installation);
    if (counts.size > most) {
      most = counts.size;
      deadline = Date.now() + PATIENCE_MS;
      progress(`  ${most} tickets`);
    }
    if (titles.every((title) => counts.has(title)) || Date.now() > deadline) return counts;
    await sleep(1_000);
  }
};

const countTickets = async ({ graphql }: Installation): Promise<Map<string, number>> => {
  const counts = new Map<string, number>();
  for (let after: string | null = null, more = true; more;) {
    const {
      tickets,
    }: { tickets: { nodes: { title: string }[]; pageInfo: { endCursor: string | null; hasNextPage: boolean } } } =
      await graphql.request(
        `query ($after: String) { tickets(first: 100, after: $after) { nodes { title } pageInfo { endCursor hasNextPage } } }`,
        { after },
      );
    for (const { title } of tickets.nodes) counts.set(title, (counts.get(title) ?? 0) + 1);
    ({ endCursor: after, hasNextPage: more } = tickets.pageInfo);
  }
  return counts;
};

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { glob, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GraphQLClient } from 'graphql-request';
import type { Figure } from './run.ts';
import { progress, sleep } from './stage.ts';

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

  /** Posts a request; true where it was answered with success. */
  async post(number: number): Promise<boolean> {
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
      return answer.status === 200;
    } catch {
      return false; // killed before it answered: nothing was promised
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
 * that was answered has to become its ticket, and none two.
 */
export const survival = async (): Promise<Figure[]> => {
  const dataDir = await mkdtemp(join(tmpdir(), 'hookgraph-survival-'));
  const installation = new Installation(dataDir);
  let sent = 0;
  let answered = 0;
  let lost = 0;
  let twice = 0;
  try {
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
        if (await installation.post(number)) promised.push(`request ${number}`);
      });
      const enough = 1 + Math.floor(Math.random() * REQUESTS);
      for (const deadline = Date.now() + PATIENCE_MS; promised.length < enough && Date.now() < deadline;)
        await sleep(1);
      await sleep(Math.random() * LONGEST_LIFE_MS);
      await installation.kill();
      await Promise.all(requests);
      await installation.start();
      answered += promised.length;
      const counts = await ticketsOf(installation, promised);
      lost += promised.filter((title) => !counts.has(title)).length;
      twice += promised.filter((title) => (counts.get(title) ?? 0) > 1).length;
      if (trial % 20 === 19) progress(`  ${trial + 1} trials, ${answered} of ${sent} answered, ${lost} lost`);
    }
  } finally {
    await installation.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
  return [
    { name: 'trials', value: TRIALS, unit: '' },
    { name: 'requests answered before the kill', value: answered, unit: '', atLeast: 1 },
    { name: 'of these, lost', value: lost, unit: '', atMost: 0 },
    { name: 'of these, handled twice', value: twice, unit: '', atMost: 0 },
  ];
};

/** How many tickets there are of each of these titles, once each has one, or nobody can hope for it any more. */
const ticketsOf = async (
  { graphql }: Installation,
  titles: readonly string[],
): Promise<ReadonlyMap<string, number>> => {
  for (const deadline = Date.now() + PATIENCE_MS; ;) {
    const { tickets } = await graphql.request<{ tickets: { nodes: { title: string }[] } }>(
      `{ tickets(first: 100) { nodes { title } } }`,
    );
    const counts = new Map<string, number>();
    for (const { title } of tickets.nodes) counts.set(title, (counts.get(title) ?? 0) + 1);
    if (titles.every((title) => counts.has(title)) || Date.now() > deadline) return counts;
    await sleep(100);
  }
};

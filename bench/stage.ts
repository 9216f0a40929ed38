import { fork, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GraphQLClient } from 'graphql-request';
import { Client } from 'pg';
import { Agent, request } from 'undici';
import { startEmbeddedPostgres } from '../src/platform/embedded/index.ts';

const KEY = 'the-key-of-the-benchmarks-0123456789';
const BARE_AT_ONCE = 64;
const EVENT_TYPE = 'ticket.created';
/** What an event carries beside its time stamp. */
const FILLING = 'x'.repeat(600);

export interface ReceiverStatistics {
  readonly requests: number;
  readonly distinct: number;
  readonly p50: number;
  readonly p99: number;
  /** Under `/slow`. */
  readonly mostAtOnce: number;
  /** Under `/strict`: requests that passed one that wasn't taken yet. */
  readonly outOfTurn: number;
}

export interface ProgramProcess {
  readonly child: ChildProcess;
  /** Of its GraphQL. */
  readonly address: string;
  readonly graphql: <T>(query: string, variables?: object) => Promise<T>;
}

export const progress = (line: string): void => void process.stderr.write(`${line}\n`);

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * What a scenario runs on: an embedded PostgreSQL with default durability in a directory of its own, a receiver in its
 * own process, and programs (`node src/main.ts`) as the scenario starts them. `close` leaves nothing behind.
 */
export class Stage {
  readonly sql: Client;
  /** Of the database. */
  readonly url: string;
  readonly #receiver: ChildProcess;
  readonly #port: number;
  readonly #programs: ChildProcess[] = [];
  readonly #others: (() => Promise<void>)[] = [];
  readonly #close: () => Promise<void>;

  private constructor(url: string, sql: Client, receiver: ChildProcess, port: number, close: () => Promise<void>) {
    this.url = url;
    this.sql = sql;
    this.#receiver = receiver;
    this.#port = port;
    this.#close = close;
  }

  static async open(): Promise<Stage> {
    const dataDir = await mkdtemp(join(tmpdir(), 'hookgraph-bench-'));
    const postgres = await startEmbeddedPostgres({ dataDir, log: { info: () => undefined, warn: progress } });
    const sql = new Client({ connectionString: postgres.url });
    await sql.connect();
    await sql.query(`create table bench_commit (at timestamptz not null default now())`);
    const receiver = fork(new URL('receiver.ts', import.meta.url));
    const { port } = await message<{ port: number }>(receiver);
    return new Stage(postgres.url, sql, receiver, port, async () => {
      receiver.disconnect();
      await sql.end();
      await postgres.stop();
      await rm(dataDir, { recursive: true, force: true });
    });
  }

  /** Something else that is to be gone when this is closed. */
  alsoClose(close: () => Promise<void>): void {
    this.#others.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.#others.splice(0)) await close();
    for (const child of this.#programs) await this.stop(child);
    await this.#close();
  }

  async start(roles = 'api,worker', databaseUrl = this.url): Promise<ProgramProcess> {
    const child = spawn(process.execPath, ['--max-semi-space-size=64', 'src/main.ts'], {
      cwd: new URL('..', import.meta.url),
      env: {
        PATH: process.env['PATH'],
        // As it is run for real.
        NODE_ENV: 'production',
        DATABASE_URL: databaseUrl,
        PORT: '0',
        HOOKGRAPH_ROLES: roles,
        HOOKGRAPH_API_KEY: KEY,
        HOOKGRAPH_SECRET_KEY: Buffer.alloc(32, 5).toString('base64'),
        HOOKGRAPH_ALLOW_TARGETS: '127.0.0.1/32',
        HOOKGRAPH_LOG_LEVEL: 'error',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#programs.push(child);
    const address = await new Promise<string>((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => {
        const found = /http:\S+\/graphql/.exec(chunk.toString());
        if (found) resolve(found[0]);
      });
      child.on('exit', (code) => reject(new Error(`the program ended with ${code}`)));
    });
    const client = new GraphQLClient(address, { headers: { 'X-API-Key': KEY } });
    return {
      child,
      address,
      graphql: (query, variables = {}) => client.request(query, variables as Record<string, unknown>),
    };
  }

  async stop(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  /** The address of a server to compare with; one that inserts a row for each request where asked for. */
  async plainServer(inserts: boolean): Promise<string> {
    const child = fork(new URL('plainServer.ts', import.meta.url), inserts ? [this.url] : []);
    this.#programs.push(child);
    const { port } = await message<{ port: number }>(child);
    return `http://127.0.0.1:${port}/`;
  }

  /** What the receiver got since the last time it was asked. */
  async received(): Promise<ReceiverStatistics> {
    const answer = message<ReceiverStatistics>(this.#receiver);
    this.#receiver.send('statistics');
    return answer;
  }

  /** Requests per second of a bare undici POST loop to the same receiver, 64 at once. */
  async bareLoop(seconds = 4): Promise<number> {
    const agent = new Agent({ connections: BARE_AT_ONCE });
    const body = Buffer.from(JSON.stringify({ event_id: 'evt_', event_type: EVENT_TYPE, data: { text: FILLING } }));
    const end = Date.now() + seconds * 1000;
    let requests = 0;
    const loop = async (): Promise<void> => {
      while (Date.now() < end) {
        const answer = await request(`http://127.0.0.1:${this.#port}/`, {
          method: 'POST',
          dispatcher: agent,
          headers: { 'content-type': 'application/json' },
          body,
        });
        await answer.body.dump();
        requests++;
      }
    };
    await Promise.all(Array.from({ length: BARE_AT_ONCE }, loop));
    await agent.close();
    await this.received();
    return requests / seconds;
  }

  /** Each subscribes to the one built-in type that is published here, unless `more` says something else. */
  async createWebhooks(program: ProgramProcess, count: number, path = '/', more: object = {}): Promise<string[]> {
    const ids: string[] = [];
    for (let n = 0; n < count; n++) {
      const { webhookCreate } = await program.graphql<{ webhookCreate: { webhook: { id: string } } }>(
        `mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) {
           ... on WebhookCreateSuccess { webhook { id } } ... on Error { message } } }`,
        {
          input: {
            name: `Bench ${n}`,
            url: `http://127.0.0.1:${this.#port}${path}`,
            eventTypes: [EVENT_TYPE],
            ...more,
          },
        },
      );
      ids.push(webhookCreate.webhook.id);
    }
    return ids;
  }

  async setActive(program: ProgramProcess, ids: readonly string[], isActive: boolean): Promise<void> {
    const change = (id: string): Promise<unknown> =>
      program.graphql(
        `mutation ($id: ID!, $input: WebhookUpdateInput!) { webhookUpdate(id: $id, input: $input) { __typename } }`,
        { id, input: { isActive } },
      );
    await Promise.all(ids.map(change));
  }

  async publish(program: ProgramProcess, count: number): Promise<void> {
    for (let left = count; left > 0; left -= 500) {
      await this.#publishAll(
        program,
        Array.from({ length: Math.min(left, 500) }, () => ({ type: EVENT_TYPE, data: { text: FILLING } })),
      );
    }
  }

  async publishOne(program: ProgramProcess): Promise<void> {
    await program.graphql(
      `mutation ($input: EventInput!) { eventPublish(input: $input) { ... on EventPublishSuccess { matchedCount } } }`,
      { input: { type: EVENT_TYPE, data: { ts: performance.timeOrigin + performance.now(), text: FILLING } } },
    );
  }

  /** Commits one row; resolves with how many ms that took. */
  async commitOne(): Promise<number> {
    const startedAt = performance.now();
    await this.sql.query(`insert into bench_commit default values`);
    return performance.now() - startedAt;
  }

  async registerTypes(program: ProgramProcess, names: readonly string[]): Promise<void> {
    for (const name of names) {
      await program.graphql(`mutation ($input: EventTypeInput!) { eventTypeRegister(input: $input) { __typename } }`, {
        input: { name, description: 'Of a benchmark' },
      });
    }
  }

  /** One call with an event of each of these types; `data` has the time stamp. */
  async publishOf(program: ProgramProcess, types: readonly string[]): Promise<void> {
    const data = { ts: performance.timeOrigin + performance.now(), text: FILLING };
    await this.#publishAll(
      program,
      types.map((type) => ({ type, data })),
    );
  }

  /** One call with an event for each of these entities; `data` has what `more` says of the n-th. */
  async publishTo(
    program: ProgramProcess,
    entityIds: readonly string[],
    more: (n: number) => object = () => ({}),
  ): Promise<void> {
    await this.#publishAll(
      program,
      entityIds.map((entityId, n) => ({ type: EVENT_TYPE, entityId, data: { ...more(n), text: FILLING } })),
    );
  }

  async #publishAll(program: ProgramProcess, input: readonly object[]): Promise<void> {
    await program.graphql(
      `mutation ($input: [EventInput!]!) { eventPublishMany(input: $input) {
         ... on EventPublishManySuccess { results { matchedCount } } ... on Error { message } } }`,
      { input },
    );
  }

  /** Resolves when nothing is open any more. */
  async drained(limitMs = 300_000): Promise<void> {
    const deadline = Date.now() + limitMs;
    for (;;) {
      const { rowCount } = await this.sql.query(`select from delivery_open where next_at <> 'infinity' limit 1`);
      if (rowCount === 0) return;
      if (Date.now() > deadline) throw new Error(`not drained within ${limitMs} ms`);
      await sleep(50);
    }
  }

  /** More open deliveries than publishing makes in reasonable time: as events and rows, straight into the tables. */
  async fill(webhookIds: readonly string[], count: number): Promise<void> {
    const { rows } = await this.sql.query<{ id: string }>(`select id from event order by id desc limit 1`);
    const step = 50_000;
    for (let done = 0; done < count; done += step) {
      await this.sql.query(
        `insert into delivery_open (id, tenant_id, webhook_id, event_id, event_type, next_at, created_at, expires_at)
         select derive_id(e.id, w.id::text || $5::text || n), w.tenant_id, w.id, e.id, e.type, now(), now(), now() + interval '7 days'
         from generate_series($2::int, $3::int) n
         join (select *, row_number() over (order by id) - 1 as i from webhook) w on w.i = n % $4
         cross join (select * from event where id = $1) e`,
        [rows[0]!.id, done + 1, Math.min(done + step, count), webhookIds.length, `fill ${count} `],
      );
    }
    await this.sql.query('analyze delivery_open');
    // What the filling itself left to write is not the program's doing.
    await this.sql.query('checkpoint');
  }
}

const message = <T>(child: ChildProcess): Promise<T> =>
  new Promise((resolve) => child.once('message', (value) => resolve(value as T)));

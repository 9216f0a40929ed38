import { GraphQLClient } from 'graphql-request';
import { schema } from '../mikro-orm.config.ts';
import { DAY, FORTNIGHT, GRAINS } from '../src/domain/analytics/grain.ts';
import { packed } from '../src/domain/analytics/histogram.ts';
import { ensurePartitions } from '../src/domain/retention/partitions.ts';
import { openDatabase } from '../src/platform/database.ts';
import { decodeId } from '../src/platform/ids.ts';
import type { Figure } from './run.ts';
import { progress } from './stage.ts';
import type { ProgramProcess, Stage } from './stage.ts';
import { startStatementCounter } from './statementCounter.ts';

const DELIVERIES = 2_000_000;
const DAYS = 28;
const WEBHOOKS = 20;
const DAY_MS = 86_400_000;
const ROUNDS = 100;
const MOST_MS = 30;

/** 2 million recorded deliveries of 20 types in four weeks, and what is rare among them. */
const FILL_DAY = `
insert into delivery (id, tenant_id, webhook_id, event_id, event_type, status, is_test, attempts, created_at,
  completed_at, response_status, duration_ms, error_code)
select (lpad(to_hex(at), 12, '0') || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid, $3::uuid,
  ($4::uuid[])[1 + n % ${WEBHOOKS}], (lpad(to_hex(at), 12, '0') || '7' || substr(h, 5, 3) || '8' || substr(h, 8, 15))::uuid,
  case when n = 7 then 'bench.rare' else 'bench.type' || n * 13 % 20 end,
  case when n % 33 = 0 then 'ABANDONED' when n % 101 = 0 then 'CANCELLED' else 'DELIVERED' end, n % 997 = 0, 1,
  to_timestamp(at / 1000.0), to_timestamp(at / 1000.0),
  case when n = 8 then 418 when n % 33 = 0 then (array[500, 503, 404])[1 + n % 3] else 200 end, n % 400,
  case when n % 33 = 0 then 'HTTP_STATUS' end
from (
  select n, $1::bigint + n * ${DAY_MS}::bigint / $2::integer as at, md5($1::text || n) as h
  from generate_series(0, $2::integer - 1) as n
) as numbered`;

const FILL_EVENTS = `
insert into event (id, tenant_id, type, entity_id, source, occurred_at, published_at, body)
select event_id, tenant_id, event_type, 'entity' || abs(facet) % 50000, 'api', created_at, created_at, '{"data":{}}'
from delivery where tenant_id = $1 and id >= $2 and id < $3 and webhook_id = any(($4::uuid[])[1:4])`;

/** A year of days, three months of hours and two days of minutes, of each webhook and of the tenant; of the last only two days. */
const FILL_ROLLUPS = `
insert into rollup (tenant_id, webhook_id, grain, minute, delivered, abandoned, cancelled, retrying, failed, latency)
select $1, owner, grain, ($3::integer / grain - n) * grain, 70 * grain, grain, grain, 0, 2 * grain, latency
from unnest($2::uuid[]) as owners (owner) cross join (values (1440, 365, $4::bytea), (60, 2160, $5), (1, 2880, $6)) as kept (grain, rows, latency)
cross join generate_series(0, rows - 1) as n
where owner <> ($2::uuid[])[${WEBHOOKS}] or n * grain < 2880`;
const FILL_TYPES = `
insert into rollup_type (tenant_id, webhook_id, grain, minute, event_type, delivered, abandoned, cancelled, retrying, failed)
select tenant_id, webhook_id, grain, minute, 'bench.type' || n, 4, 0, 0, 0, 0 from rollup cross join generate_series(0, 19) as n`;
const FILL_FORTNIGHTS = `
insert into rollup_type (tenant_id, webhook_id, grain, minute, event_type, delivered, abandoned, cancelled, retrying, failed)
select tenant_id, webhook_id, ${FORTNIGHT}, minute / ${FORTNIGHT} * ${FORTNIGHT}, event_type, sum(delivered), 0, 0, 0, 0
from rollup_type where grain = ${DAY} group by tenant_id, webhook_id, minute / ${FORTNIGHT}, event_type`;

const fill = async (stage: Stage, tenantId: string, webhookIds: readonly string[]): Promise<void> => {
  const database = await openDatabase({ url: stage.url, poolSize: 2, schema });
  const now = Date.now();
  try {
    for (let day = DAYS; day > 0; day -= 7) await ensurePartitions(database, now - day * DAY_MS);
  } finally {
    await database.close();
  }
  const { sql } = stage;
  await sql.query('set synchronous_commit = off');
  const ofDay = Math.ceil(DELIVERIES / DAYS);
  for (let day = DAYS; day > 0; day--) {
    await sql.query(FILL_DAY, [now - day * DAY_MS, ofDay, tenantId, webhookIds]);
    if (day % 7 === 0) progress(`  ${ofDay * (DAYS - day + 1)} deliveries`);
  }
  await sql.query(FILL_EVENTS, [
    tenantId,
    '00000000-0000-0000-0000-000000000000',
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
    webhookIds,
  ]);
  const owners = [...webhookIds, '00000000-0000-0000-0000-000000000000'];
  const latencies = GRAINS.map((grain) => packed(Array.from({ length: 70 }, () => grain)));
  await sql.query(FILL_ROLLUPS, [tenantId, owners, Math.floor(now / 60_000), ...latencies]);
  await sql.query(FILL_TYPES);
  await sql.query(FILL_FORTNIGHTS);
  progress('  analyzing');
  await sql.query('vacuum analyze');
};

interface Measured {
  readonly p50: number;
  readonly p99: number;
}

/** One after the other, on connections that have planned before: everybody's first call of a kind pays for its plan. */
const measure = async (call: (round: number) => Promise<unknown>): Promise<Measured> => {
  for (let round = 0; round < 15; round++) await call(round);
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const startedAt = performance.now();
    await call(round);
    times.push(performance.now() - startedAt);
  }
  times.sort((a, b) => a - b);
  return { p50: times[ROUNDS / 2]!, p99: times[Math.ceil(ROUNDS * 0.99) - 1]! };
};

const figuresOf = (name: string, { p50, p99 }: Measured): Figure[] => [
  { name: `${name}, p50`, value: p50, unit: 'ms' },
  {
    name: `${name}, p99`,
    value: p99,
    unit: 'ms',
    ...(!name.startsWith('for comparison') && { atMost: MOST_MS }),
  },
];

const PAGE = `query ($first: Int, $after: String, $filter: DeliveryFilter) {
  deliveries(first: $first, after: $after, filter: $filter) {
    nodes { id status eventType responseStatus createdAt } pageInfo { endCursor hasNextPage } } }`;
const WHOLE_PAGE = `query ($first: Int) { deliveries(first: $first) {
  nodes { id status webhook { name health { successRate pendingCount } } event { type } attempts { number } requestBody } } }`;
const ANALYTICS = `total byStatus { status count } byEventType { eventType count }
  timeline { at succeeded failed p95Ms } latency { p50Ms p95Ms p99Ms } successRate`;

/** Analytics and pages of deliveries over 2 million recorded ones, through GraphQL. */
export const history = async (stage: Stage): Promise<Figure[]> => {
  const preparing = await stage.start('api');
  const ids = await stage.createWebhooks(preparing, WEBHOOKS);
  const { viewer } = await preparing.graphql<{ viewer: { tenant: { id: string } } }>(`{ viewer { tenant { id } } }`);
  const { tenantCreate } = await preparing.graphql<{ tenantCreate: { secret: string } }>(
    `mutation { tenantCreate(input: { slug: "small" }) { ... on TenantCreateSuccess { secret } } }`,
  );
  const small = new GraphQLClient(preparing.address, { headers: { 'X-API-Key': tenantCreate.secret } });
  progress('  filling');
  await fill(
    stage,
    decodeId('tenant', viewer.tenant.id)!,
    ids.map((id) => decodeId('webhook', id)!),
  );
  await fillSmall(stage, small);

  const figures: Figure[] = [];
  const add = async (name: string, call: (round: number) => Promise<unknown>): Promise<void> => {
    progress(`  ${name}`);
    figures.push(...figuresOf(name, await measure(call)));
  };
  await add('for comparison, a call that asks for nothing', () => preparing.graphql(`{ __typename }`));
  await measureAnalytics(preparing, ids[3]!, add);
  figures.push(await yearToDays(preparing, ids[3]!, ids.at(-1)!));
  await measurePages(preparing, ids[3]!, add);
  await add('first page of a small tenant beside it', () => small.request(PAGE, { first: 25 }));
  figures.push(...(await countStatements(stage)));
  return figures;
};

type Add = (name: string, call: (round: number) => Promise<unknown>) => Promise<void>;

const measureAnalytics = async ({ graphql }: ProgramProcess, webhookId: string, add: Add): Promise<void> => {
  const ago = (ms: number): string => new Date(Date.now() - ms).toISOString();
  const ranges = {
    'the last hour by minute': `bucket: MINUTE, range: { from: "${ago(DAY_MS / 24)}" }`,
    'the last day by hour': `bucket: HOUR, range: { from: "${ago(DAY_MS)}" }`,
    '30 days by hour': 'bucket: HOUR',
    'a year by day': `bucket: DAY, range: { from: "${ago(364 * DAY_MS)}" }`,
  };
  for (const [name, args] of Object.entries(ranges)) {
    await add(`analytics, ${name}`, () => graphql(`{ analytics(${args}) { ${ANALYTICS} } }`));
  }
  await add('analytics of a webhook, 30 days by hour', () =>
    graphql(`query ($id: ID!) { webhook(id: $id) { analytics { ${ANALYTICS} } } }`, { id: webhookId }),
  );
};

/** The same question to a webhook with a year of history and to one of two days, by turns. */
const yearToDays = async ({ graphql }: ProgramProcess, year: string, days: string): Promise<Figure> => {
  const times: Record<string, number[]> = { [year]: [], [days]: [] };
  const from = new Date(Date.now() - DAY_MS).toISOString();
  for (let round = 0; round < 2 * ROUNDS; round++) {
    const id = round % 2 ? year : days;
    const startedAt = performance.now();
    await graphql(
      `query ($id: ID!, $from: DateTime) { webhook(id: $id) { analytics(range: { from: $from }) { ${ANALYTICS} } } }`,
      { id, from },
    );
    times[id]!.push(performance.now() - startedAt);
  }
  const median = (id: string): number => times[id]!.sort((a, b) => a - b)[ROUNDS / 2]!;
  return {
    name: 'the last day, with a year before it, to with a day',
    value: median(year) / median(days),
    unit: 'ratio',
    atMost: 1.3,
  };
};

const measurePages = async ({ graphql }: ProgramProcess, webhookId: string, add: Add): Promise<void> => {
  const filters: Readonly<Record<string, object | undefined>> = {
    'first page': undefined,
    'of a webhook': { webhookId },
    abandoned: { status: ['ABANDONED'] },
    waiting: { status: ['PENDING', 'RETRYING'] },
    'of a type': { eventTypes: ['bench.type3'] },
    'of a rare type': { eventTypes: ['bench.rare'] },
    'by a wildcard that none has': { eventTypes: ['ticket.*'] },
    tests: { isTest: true },
    'real ones': { isTest: false },
    'with a rare response': { responseStatus: 418 },
    'of a webhook, with all of them': {
      webhookId,
      status: ['ABANDONED', 'CANCELLED'],
      eventTypes: ['bench.type3', 'bench.r*'],
      isTest: false,
      responseStatus: 503,
      range: { from: new Date(Date.now() - 20 * DAY_MS).toISOString() },
    },
  };
  for (const [name, filter] of Object.entries(filters)) {
    await add(`deliveries, ${name}`, () => graphql(PAGE, { first: 25, filter }));
  }
  let after: string | null = null;
  await add('deliveries, one page of 100 after the other', async () => {
    const { deliveries } = await graphql<{ deliveries: { pageInfo: { endCursor: string } } }>(PAGE, {
      first: 100,
      after,
    });
    after = deliveries.pageInfo.endCursor;
  });
  await add('events of a rare type', () =>
    graphql(`
      {
        events(first: 25, filter: { types: ["bench.rare"] }) {
          nodes {
            id
          }
        }
      }
    `),
  );
};

/** Ten deliveries, among the oldest. */
const fillSmall = async ({ sql }: Stage, small: GraphQLClient): Promise<void> => {
  const { viewer } = await small.request<{ viewer: { tenant: { id: string } } }>(`{ viewer { tenant { id } } }`);
  const tenantId = decodeId('tenant', viewer.tenant.id)!;
  await sql.query(FILL_DAY, [
    Date.now() - (DAYS + 1) * DAY_MS + DAY_MS,
    10,
    tenantId,
    Array.from({ length: WEBHOOKS }, () => tenantId),
  ]);
};

const countStatements = async (stage: Stage): Promise<Figure[]> => {
  const counter = await startStatementCounter(stage.url);
  const program = await stage.start('api', counter.url);
  const figures: Figure[] = [];
  for (const first of [10, 100]) {
    // The first ones open connections; now and then a statement is somebody else's.
    const counts: number[] = [];
    for (let round = 0; round < 10; round++) {
      counter.take();
      await program.graphql(WHOLE_PAGE, { first });
      counts.push(counter.take());
    }
    figures.push({
      name: `statements for ${first} deliveries with everything`,
      value: Math.min(...counts),
      unit: '',
    });
  }
  await stage.stop(program.child);
  await counter.close();
  const [ten, hundred] = figures.map(({ value }) => value);
  figures.push({ name: 'statements for 100, to those for 10', value: hundred! / ten!, unit: 'ratio', atMost: 1 });
  return figures;
};

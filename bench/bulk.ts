import type { Figure } from './run.ts';
import { progress, sleep } from './stage.ts';
import type { ProgramProcess, Stage } from './stage.ts';

const SECOND = 1_000;
const HISTORY = 500_000;
const EVENTS = 20_000;

/**
 * Operations on 100,000 of 500,000 ended deliveries, of a paused webhook, so that nothing is sent and the figures are
 * theirs; what live deliveries of others feel meanwhile; and what a webhook misses of 20,000 events.
 */
export const bulk = async (stage: Stage): Promise<Figure[]> => {
  const program = await stage.start();
  const ids = await stage.createWebhooks(program, 5);
  const [mine] = ids as [string];
  await stage.publish(program, 500);
  await stage.drained();
  progress(`  filling ${HISTORY}`);
  await fillHistory(stage);
  await pause(program, mine);

  const before = await trickle(stage, program, () => Promise.resolve(5 * SECOND));
  progress('  retrying');
  const retried = await timed(program, `deliveriesRetry(filter: { webhookId: "${mine}", status: [ABANDONED] })`);
  progress('  cancelling');
  const cancelled = await timed(program, `deliveriesCancel(filter: { webhookId: "${mine}" })`);
  progress('  retrying beside live deliveries');
  let rate = 0;
  const beside = await trickle(stage, program, async () => {
    const again = await timed(program, `deliveriesRetry(filter: { webhookId: "${mine}", status: [CANCELLED] })`);
    rate = again;
    return 0;
  });
  progress(`  missing ${EVENTS} events`);
  const [missing] = ids.slice(1) as [string];
  for (const id of [mine, missing]) await setStatus(program, id, 'DISABLED');
  await stage.drained();
  await stage.publish(program, EVENTS);
  await stage.drained();
  await pause(program, missing);
  const recovered = await timed(program, `webhookRecover(id: "${missing}", since: "2020-01-01T00:00:00Z")`);
  return [
    { name: 'deliveries retried', value: retried, unit: '/s' },
    { name: 'deliveries cancelled', value: cancelled, unit: '/s' },
    { name: 'retried beside live deliveries', value: rate, unit: '/s' },
    { name: 'missed events recovered', value: recovered, unit: '/s' },
    { name: 'publish call to receiver, 20 events/s, p50', value: before.p50, unit: 'ms' },
    { name: 'the same, p99', value: before.p99, unit: 'ms' },
    { name: 'the same beside a retry, p50', value: beside.p50, unit: 'ms', atMost: 15 },
    { name: 'the same, p99', value: beside.p99, unit: 'ms' },
  ];
};

/** Ended deliveries of the last four hours, a fifth of them of each webhook and abandoned. */
const fillHistory = async ({ sql }: Stage): Promise<void> => {
  const step = 50_000;
  for (let done = 0; done < HISTORY; done += step) {
    await sql.query(
      `insert into delivery (id, tenant_id, webhook_id, event_id, event_type, status, is_test, attempts, created_at,
         completed_at)
       select (lpad(to_hex((extract(epoch from now()) * 1000 - n * 28)::bigint), 12, '0') || '7' ||
           substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
         w.tenant_id, w.id, e.id, e.type, 'ABANDONED', false, 1, now(), now()
       from generate_series($1::int, $2::int) n
       join (select *, row_number() over (order by id) - 1 as i from webhook) w on w.i = n % 5
       cross join (select * from event order by id limit 1) e`,
      [done + 1, done + step],
    );
  }
  await sql.query('checkpoint');
};

const setStatus = async (program: ProgramProcess, id: string, status: string): Promise<void> => {
  await program.graphql(
    `mutation ($id: ID!, $input: WebhookUpdateInput!) { webhookUpdate(id: $id, input: $input) { __typename } }`,
    { id, input: { status } },
  );
};

const pause = async (program: ProgramProcess, id: string): Promise<void> => {
  await setStatus(program, id, 'ACTIVE');
  await setStatus(program, id, 'PAUSED');
};

interface Operation {
  readonly id: string;
  readonly status: string;
  readonly processed: number;
}

/** Deliveries a second, its counting and its rests included. */
const timed = async ({ graphql }: ProgramProcess, call: string): Promise<number> => {
  const startedAt = performance.now();
  const { it } = await graphql<{ it: { operation: Operation } }>(
    `mutation { it: ${call} { ... on BulkOperationSuccess { operation { id } } ... on Error { message } } }`,
  );
  for (;;) {
    const { operation } = await graphql<{ operation: Operation }>(
      `
        query ($id: ID!) {
          operation: bulkOperation(id: $id) {
            id
            status
            processed
          }
        }
      `,
      { id: it.operation.id },
    );
    if (operation.status !== 'RUNNING') {
      if (operation.status !== 'COMPLETED') throw new Error(`the operation is ${operation.status}`);
      const rate = (operation.processed * SECOND) / (performance.now() - startedAt);
      progress(`  ${call.slice(0, 20)}: ${operation.processed} at ${Math.round(rate)}/s`);
      return rate;
    }
    await sleep(50);
  }
};

/** 20 events a second, one call each, while something else goes on, and for as long as that says in addition. */
const trickle = async (
  stage: Stage,
  program: ProgramProcess,
  beside: () => Promise<number>,
): Promise<{ p50: number; p99: number }> => {
  await stage.received();
  let until = Number.POSITIVE_INFINITY;
  const going = beside().then((ms) => (until = performance.now() + ms));
  const sent: Promise<void>[] = [];
  while (performance.now() < until) {
    sent.push(stage.publishOne(program));
    await sleep(SECOND / 20);
  }
  await Promise.all([going, ...sent]);
  await sleep(SECOND / 2);
  return stage.received();
};

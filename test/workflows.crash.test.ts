// oxlint-disable typescript/no-explicit-any -- answers are whatever the queries ask for
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, selectSql } from './harness/database.ts';
import type { TestDatabase } from './harness/database.ts';
import { inboundOf, post } from './harness/inbound.ts';
import { spawnProgram, until } from './harness/program.ts';
import type { ProgramProcess } from './harness/program.ts';
import { tenantOf } from './harness/tenant.ts';
import type { TestTenant } from './harness/tenant.ts';
import { workflowOf } from './harness/workflow.ts';

const WEBHOOKS = 4;
const REQUESTS = 100;
/** Leases of a dead process run out after ten seconds. */
const TAKEOVER_MS = 40_000;
/** A true condition that takes a child a while, so that there is time to die between two steps. */
const SLOWLY = '$count([1..20000]) > 0';

const comment = (name: string, content: string) => ({
  name,
  action: 'addTicketCommentByExternalId',
  fieldMapping: { external_id: 'steps.ticket.external_id', content },
  when: SLOWLY,
});
const STEPS = [
  {
    name: 'ticket',
    action: 'createTicket',
    fieldMapping: { title: 'envelope.body.id', external_id: 'envelope.body.id' },
  },
  comment('first', "steps.ticket.title & ': first'"),
  comment('second', "'after ' & steps.first.comment_id"),
  {
    name: 'resolve',
    action: 'changeTicketStatusByExternalId',
    fieldMapping: { external_id: 'steps.ticket.external_id', status: "'resolved'" },
    when: SLOWLY,
  },
  comment('last', "'after ' & steps.second.comment_id"),
];

let database: TestDatabase;
let program: ProgramProcess | null = null;

beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(async () => {
  await program?.stop();
  program = null;
  await database.drop();
});

const start = async (): Promise<ProgramProcess> => (program = await spawnProgram(database.url));

/** Steps that are finished, as they are on record, by run and position. */
const finishedSteps = async (): Promise<Map<string, any>> => {
  const rows = await selectSql(
    database.url,
    `select id, position, status, attempts, output, completed_at from workflow_run_step where status <> 'PENDING'`,
  );
  return new Map(rows.map((row) => [`${row.id} ${row.position}`, row]));
};

/** Kills it at some moment after so many steps are finished; answers those that are then. */
const killAfter = async (victim: ProgramProcess, steps: number): Promise<Map<string, any>> => {
  await until(`${steps} steps`, async () => (await finishedSteps()).size >= steps, TAKEOVER_MS);
  setTimeout(() => victim.child.kill('SIGKILL'), Math.random() * 30);
  expect(await victim.ended).toBe('SIGKILL');
  await until('what it asked of the database to end', async () => {
    const [{ sessions }] = await selectSql(
      database.url,
      `select count(*)::integer as sessions from pg_stat_activity
       where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()`,
    );
    return sessions === 0;
  });
  return finishedSteps();
};

/** Runs that had begun a step and not ended. */
const cutRuns = (finished: ReadonlyMap<string, any>): number => {
  const counts = new Map<string, number>();
  for (const { id } of finished.values()) counts.set(id, (counts.get(id) ?? 0) + 1);
  return [...counts.values()].filter((count) => count < STEPS.length).length;
};

const receivers = async (tenant: TestTenant, workflowId: string): Promise<string[]> => {
  const urls: string[] = [];
  for (let n = 0; n < WEBHOOKS; n++) {
    const { slugUrl } = await inboundOf(tenant).create({ handler: { type: 'WORKFLOW', workflowId } });
    urls.push(slugUrl);
  }
  return urls;
};

describe('a process that is killed in the middle of workflows', () => {
  it('goes on behind the last finished step of each when it starts again, and does none twice', async () => {
    let running = await start();
    const workflow = await workflowOf(tenantOf(running)).create(STEPS);
    const urls = await receivers(tenantOf(running), workflow.id);
    const names = Array.from({ length: REQUESTS }, (_, n) => `request ${n}`);
    const answers = await Promise.all(names.map((id, n) => post(urls[n % WEBHOOKS]!, JSON.stringify({ id }))));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(REQUESTS);

    const some = (): number => Math.floor(Math.random() * REQUESTS * STEPS.length * 0.3);
    const known = await killAfter(running, some());
    running = await start();
    const knownLater = await killAfter(running, known.size + 1 + some());
    running = await start();
    expect(cutRuns(known) + cutRuns(knownLater)).toBeGreaterThan(0);

    await until(
      'every request to be settled',
      async () => {
        const { inboundDeliveries } = await running.graphql(`
          {
            inboundDeliveries(filter: { dispatchStatus: [DISPATCHED] }) {
              totalCount
            }
          }
        `);
        return inboundDeliveries.totalCount === REQUESTS;
      },
      TAKEOVER_MS,
    );
    const runs = await workflowOf(tenantOf(running)).runs(workflow.id);
    expect(runs).toHaveLength(REQUESTS);
    for (const run of runs) {
      expect(run).toMatchObject({ status: 'COMPLETED', error: null });
      expect(run.steps.map((step: any) => step.status)).toEqual(STEPS.map(() => 'COMPLETED'));
    }
    const finished = await finishedSteps();
    for (const [key, step] of [...known, ...knownLater]) expect(finished.get(key)).toEqual(step);

    const { tickets, comments, closed } = await running.graphql(`
      {
        tickets(first: 100) {
          totalCount
          nodes {
            title
            status
            comments {
              id
              text
            }
          }
        }
        comments: events(filter: { types: ["ticket.comment.added"] }) {
          totalCount
        }
        closed: events(filter: { types: ["ticket.closed"] }) {
          totalCount
        }
      }
    `);
    expect(tickets.totalCount).toBe(REQUESTS);
    expect(new Set(tickets.nodes.map(({ title }: any) => title))).toEqual(new Set(names));
    for (const ticket of tickets.nodes) {
      expect(ticket.status).toBe('resolved');
      expect(ticket.comments.map(({ text }: any) => text)).toEqual([
        `${ticket.title}: first`,
        `after ${ticket.comments[0].id}`,
        `after ${ticket.comments[1].id}`,
      ]);
    }
    expect(comments.totalCount).toBe(REQUESTS * 3);
    expect(closed.totalCount).toBe(REQUESTS);
  }, 120_000);
});

// oxlint-disable typescript/no-explicit-any -- answers are whatever the queries ask for
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { schema } from '../mikro-orm.config.ts';
import type { Action, ActionContext } from '../src/domain/actions/action.ts';
import { ActionRegistry } from '../src/domain/actions/actionRegistry.ts';
import { createChanges } from '../src/domain/actions/changes.ts';
import { ValidationError } from '../src/domain/errors.ts';
import { createPublisher } from '../src/domain/events/publisher.ts';
import { createMapper } from '../src/domain/mapping/mapper.ts';
import { ensurePartitions } from '../src/domain/retention/partitions.ts';
import { removeRetired } from '../src/domain/workflows/retired.ts';
import { createWorkflowRunner } from '../src/domain/workflows/runner.ts';
import type { RunRequest, WorkflowRunner } from '../src/domain/workflows/runner.ts';
import { findRuns, findRunSteps } from '../src/domain/workflows/runHistory.ts';
import { Workflows } from '../src/domain/workflows/workflows.ts';
import { openDatabase } from '../src/platform/database.ts';
import type { Database } from '../src/platform/database.ts';
import { newId } from '../src/platform/ids.ts';
import { createMetrics } from '../src/platform/metrics.ts';
import { createSandbox } from '../src/platform/sandbox/sandbox.ts';
import type { Sandbox } from '../src/platform/sandbox/sandbox.ts';
import { createTestDatabase } from './harness/database.ts';
import type { TestDatabase } from './harness/database.ts';
import { inboundOf, post } from './harness/inbound.ts';
import { until } from './harness/program.ts';
import { useScene } from './harness/scene.ts';
import { workflowOf } from './harness/workflow.ts';

const step = (name: string, action: string, fieldMapping: object, when?: string) => ({
  name,
  action,
  fieldMapping,
  when,
});

describe('a workflow', () => {
  const scene = useScene();
  const ticketSteps = [
    step('client', 'upsertClientByExternalId', {
      external_id: 'envelope.body.customer.id',
      client_name: 'envelope.body.customer.name',
    }),
    step('ticket', 'createTicket', {
      title: "envelope.source & ': ' & envelope.body.subject",
      client_external_id: 'steps.client.external_id',
      external_id: 'envelope.idempotency_key',
    }),
    step(
      'note',
      'addTicketCommentByExternalId',
      {
        external_id: 'steps.ticket.external_id',
        content: "'From ' & envelope.headers.`x-sender`",
      },
      'envelope.body.verbose',
    ),
    step('tell', 'publishEvent', {
      type: "'ticket.imported'",
      data: '{"ticket": steps.ticket.ticket_id, "note": steps.note}',
    }),
  ];
  const receiving = (workflowId: string, more: object = {}) =>
    inboundOf(scene.tenant).create({ source: 'shop', handler: { type: 'WORKFLOW', workflowId }, ...more });

  it('runs its steps one after the other for what a webhook receives, with what went before', async () => {
    await scene.tenant.graphql(
      `mutation { eventTypeRegister(input: { name: "ticket.imported", description: "x" }) { __typename } }`,
    );
    const workflow = await workflowOf(scene.tenant).create(ticketSteps, { description: 'Orders' });
    expect(workflow).toMatchObject({ name: 'Test', description: 'Orders', version: 1 });
    expect(workflow.steps.map((one: any) => [one.name, one.when])).toEqual([
      ['client', null],
      ['ticket', null],
      ['note', 'envelope.body.verbose'],
      ['tell', null],
    ]);
    const { id, slugUrl } = await receiving(workflow.id, {
      idempotencySource: { type: 'JSONATA', value: "'order-' & $string(no)" },
    });
    const body = { no: 7, subject: 'Broken', customer: { id: 'C7', name: 'Ada' }, verbose: false };
    const { json } = await post(slugUrl, JSON.stringify(body), { 'x-sender': 'me' });
    await inboundOf(scene.tenant).reached(id, 'DISPATCHED');

    const { inboundDelivery } = await scene.tenant.graphql(
      `query ($id: ID!) { inboundDelivery(id: $id) { handlerOutcome workflowRun { id status } inboundWebhook { handler { workflow { id } } } } }`,
      { id: json.delivery_id },
    );
    const run = await workflowOf(scene.tenant).run(inboundDelivery.workflowRun.id);
    expect(run).toMatchObject({
      version: 1,
      status: 'COMPLETED',
      error: null,
      workflow: { id: workflow.id },
      inboundDelivery: { id: json.delivery_id },
      completedAt: expect.any(String),
      steps: [
        { name: 'client', status: 'COMPLETED', attempts: 1, output: { external_id: 'C7' } },
        { name: 'ticket', status: 'COMPLETED', attempts: 1, output: { external_id: 'order-7', client_name: 'Ada' } },
        { name: 'note', status: 'SKIPPED', attempts: 1, output: null, error: null },
        { name: 'tell', status: 'COMPLETED', attempts: 1 },
      ],
    });
    expect(inboundDelivery.inboundWebhook.handler.workflow.id).toBe(workflow.id);
    expect(inboundDelivery.handlerOutcome).toEqual({ workflowRun: run.id });
    const { ticket, events } = await scene.tenant.graphql(
      `{ ticket(externalId: "order-7") { id title client { name } comments { text } } events(first: 5) { nodes { type data source } } }`,
    );
    expect(ticket).toMatchObject({ title: 'shop: Broken', client: { name: 'Ada' }, comments: [] });
    const told = events.nodes.filter((event: any) => event.type === 'ticket.imported');
    expect(told).toEqual([{ type: 'ticket.imported', data: { ticket: ticket.id }, source: expect.any(String) }]);

    expect((await post(slugUrl, JSON.stringify({ ...body, no: 8, verbose: true }), { 'x-sender': 'you' })).status).toBe(
      200,
    );
    await inboundOf(scene.tenant).reached(id, 'DISPATCHED', 2);
    const [second] = await workflowOf(scene.tenant).runs(workflow.id);
    expect(second.steps[2]).toMatchObject({ status: 'COMPLETED' });
    const found = await scene.tenant.graphql(`{ ticket(externalId: "order-8") { comments { text } } }`);
    expect(found.ticket.comments).toEqual([{ text: 'From you' }]);
  });

  it('fails with the step that is refused, and does none after it', async () => {
    const workflow = await workflowOf(scene.tenant).create([
      step('first', 'upsertClientByExternalId', { external_id: "'F1'", client_name: "'Kept'" }),
      step('second', 'changeTicketStatusByExternalId', { external_id: "'nobody'", status: "'open'" }),
      step('third', 'upsertClientByExternalId', { external_id: "'F3'", client_name: "'Never'" }),
    ]);
    const { id, slugUrl } = await receiving(workflow.id);
    await post(slugUrl, '{}');
    const [delivery] = await inboundOf(scene.tenant).reached(id, 'FAILED');
    expect(delivery.handlerOutcome.error).toMatch(/^second: external_id: No ticket has/);
    const [run] = await workflowOf(scene.tenant).runs(workflow.id);
    expect(run).toMatchObject({
      status: 'FAILED',
      error: expect.stringMatching(/^second: external_id: No ticket has/),
      steps: [
        { status: 'COMPLETED' },
        { status: 'FAILED', error: expect.any(String) },
        { status: 'PENDING', attempts: 0 },
      ],
    });
    expect(
      await scene.tenant.graphql(`{ a: client(externalId: "F1") { name } b: client(externalId: "F3") { name } }`),
    ).toEqual({
      a: { name: 'Kept' },
      b: null,
    });
  });

  it('fails where a condition or a required field cannot be evaluated; optional ones are left out and named', async () => {
    const workflows = workflowOf(scene.tenant);
    const create = { external_id: 'envelope.body.id', client_name: "'x'" };
    const bad = await workflows.create([step('one', 'upsertClientByExternalId', create, '$error("no")')]);
    const bad2 = await workflows.create([step('one', 'upsertClientByExternalId', create)]);
    const odd = await workflows.create([
      step('one', 'upsertClientByExternalId', { ...create, external_id: "'odd'", is_inactive: "'maybe'" }),
    ]);
    for (const { id } of [bad, bad2, odd]) {
      await post((await receiving(id, { name: `Of ${id}` })).slugUrl, '{}');
    }
    const ended = async (id: string): Promise<any> =>
      until('the run', async () => (await workflows.runs(id)).find(({ status }) => status !== 'RUNNING'));
    expect(await ended(bad.id)).toMatchObject({ status: 'FAILED', error: expect.stringMatching(/^one: when: .*no/) });
    expect(await ended(bad2.id)).toMatchObject({
      status: 'FAILED',
      error: expect.stringMatching(/^one: external_id: .*required/),
    });
    expect(await ended(odd.id)).toMatchObject({
      status: 'COMPLETED',
      steps: [{ status: 'COMPLETED', error: expect.stringMatching(/^is_inactive: It takes true or false/) }],
    });
  });

  it('says of a step that ran what its action left out, behind what could not be mapped', async () => {
    const workflows = workflowOf(scene.tenant);
    const { id } = await workflows.create([
      step('one', 'createTicket', { title: "'A'", priority: "'none'", client_external_id: "'nobody'" }),
      step('two', 'createTicket', { title: "'B'" }),
    ]);
    await post((await receiving(id, { name: 'Left out' })).slugUrl, '{}');
    const run = await until('the run', async () =>
      (await workflows.runs(id)).find(({ status }) => status !== 'RUNNING'),
    );
    const said = /^priority: It takes one of .* No client has the external id "nobody": the client was left empty\.$/;
    expect(run).toMatchObject({
      status: 'COMPLETED',
      error: null,
      steps: [{ error: expect.stringMatching(said), output: { client_id: null } }, { error: null }],
    });
  });

  it('gets a new version each time it is saved', async () => {
    const workflows = workflowOf(scene.tenant);
    const one = step('one', 'upsertClientByExternalId', { external_id: "'V'", client_name: "'One'" });
    const first = await workflows.create([one]);
    const second = await workflows.save({ id: first.id, name: 'Other', steps: [{ ...one, name: 'two' }] });
    expect(second).toMatchObject({
      id: first.id,
      name: 'Other',
      version: 2,
      createdAt: first.createdAt,
      steps: [{ name: 'two' }],
    });
    expect(await workflows.workflow(first.id)).toEqual(second);
    const saves = await Promise.all(
      [3, 4, 5, 6].map(() => workflows.save({ id: first.id, name: 'Same', steps: [one] })),
    );
    expect(saves.map(({ version }) => version).toSorted((a, b) => a - b)).toEqual([3, 4, 5, 6]);
  });

  it('is refused with the place of what is wrong', async () => {
    const good = step('one', 'upsertClientByExternalId', { external_id: "'x'", client_name: "'x'" });
    const { save } = workflowOf(scene.tenant);
    const refused = async (input: object): Promise<unknown> => {
      const { code, path } = await save({ name: 'Bad', steps: [good], ...input });
      return [code, ...(path ?? [])];
    };
    const bad = ['BAD_REQUEST', 'input'];
    expect(await refused({ name: ' ' })).toEqual([...bad, 'name']);
    expect(await refused({ steps: [] })).toEqual([...bad, 'steps']);
    expect(await refused({ steps: Array.from({ length: 51 }, (_, n) => ({ ...good, name: `s${n}` })) })).toEqual([
      ...bad,
      'steps',
    ]);
    expect(await refused({ steps: [good, good] })).toEqual([...bad, 'steps', '1', 'name']);
    expect(await refused({ steps: [{ ...good, name: 'a`b' }] })).toEqual([...bad, 'steps', '0', 'name']);
    expect(await refused({ steps: [{ ...good, action: 'gone' }] })).toEqual([...bad, 'steps', '0', 'action']);
    expect(await refused({ steps: [{ ...good, when: 'a b' }] })).toEqual([...bad, 'steps', '0', 'when']);
    expect(await refused({ steps: [{ ...good, fieldMapping: { external_id: "'x'" } }] })).toEqual([
      ...bad,
      'steps',
      '0',
      'fieldMapping',
      'client_name',
    ]);
    const long = `'${'x'.repeat(4_000)}'`;
    const large = Array.from({ length: 50 }, (_, n) => ({
      ...good,
      name: `s${n}`,
      fieldMapping: { external_id: long, client_name: long },
    }));
    expect(await refused({ steps: large })).toEqual([...bad, 'steps']);
    for (const id of ['nonsense', 'wfl_00000000000000000000000000']) {
      expect(await refused({ id })).toEqual(['NOT_FOUND', 'input', 'id']);
    }
  });

  it('is not deleted while a webhook uses it; afterwards its runs are still there', async () => {
    const workflows = workflowOf(scene.tenant);
    const workflow = await workflows.create([
      step('one', 'upsertClientByExternalId', { external_id: "'D'", client_name: "'D'" }),
    ]);
    const webhook = await receiving(workflow.id, { name: 'Its user' });
    await post(webhook.slugUrl, '{}');
    await inboundOf(scene.tenant).reached(webhook.id, 'DISPATCHED');
    expect(await workflows.remove(workflow.id)).toMatchObject({
      code: 'CONFLICT',
      path: ['id'],
      message: expect.stringContaining('"Its user"'),
    });
    await inboundOf(scene.tenant).update(webhook.id, { handler: { type: 'RECORD' } });
    expect(await workflows.remove(workflow.id)).toEqual({ deletedId: workflow.id });
    expect(await workflows.remove(workflow.id)).toMatchObject({ code: 'NOT_FOUND' });
    expect(await workflows.remove('nonsense')).toMatchObject({ code: 'NOT_FOUND' });
    expect(await workflows.workflow(workflow.id)).toBeNull();
    const [run] = await workflows.runs(workflow.id);
    expect(run).toMatchObject({ status: 'COMPLETED', workflow: { id: workflow.id } });
    const listed = await scene.tenant.graphql(`{ workflows(first: 100) { nodes { id } totalCount } }`);
    expect(listed.workflows.nodes.map((one: any) => one.id)).not.toContain(workflow.id);
    expect(listed.workflows.totalCount).toBe(listed.workflows.nodes.length);
    expect(
      await inboundOf(scene.tenant).tryCreate({ name: 'Late', handler: { type: 'WORKFLOW', workflowId: workflow.id } }),
    ).toMatchObject({ code: 'BAD_REQUEST', path: ['input', 'handler', 'workflowId'] });
  });

  it('is either deleted or used, though both are asked for at the same moment', async () => {
    const workflows = workflowOf(scene.tenant);
    const inbound = inboundOf(scene.tenant);
    const present = await inbound.create();
    for (let round = 0; round < 16; round++) {
      const { id } = await workflows.create([step('one', 'createTicket', { title: "'D'" })]);
      const handler = { type: 'WORKFLOW', workflowId: id };
      const use = round % 2 === 0 ? inbound.tryCreate({ name: 'N', handler }) : inbound.update(present.id, { handler });
      const [used, removed] = await Promise.all([use, workflows.remove(id)]);
      if (used.code === undefined) expect(removed).toMatchObject({ code: 'CONFLICT', path: ['id'] });
      else {
        expect(used).toMatchObject({ code: 'BAD_REQUEST', path: ['input', 'handler', 'workflowId'] });
        expect(removed).toEqual({ deletedId: id });
      }
    }
  });

  it('and its runs are listed in pages, and found by id', async () => {
    const { workflows } = await scene.tenant.graphql(
      `{ workflows(first: 2) { nodes { id } pageInfo { endCursor hasNextPage } } }`,
    );
    const next = await scene.tenant.graphql(
      `query ($after: String) { workflows(first: 100, after: $after) { nodes { id } pageInfo { hasNextPage } } }`,
      { after: workflows.pageInfo.endCursor },
    );
    const ids = [...workflows.nodes, ...next.workflows.nodes].map((one: any) => one.id);
    expect(ids).toEqual([...new Set(ids)].toSorted((a, b) => (a < b ? 1 : -1)));
    expect([workflows.pageInfo.hasNextPage, next.workflows.pageInfo.hasNextPage]).toEqual([true, false]);
    const all = await workflowOf(scene.tenant).runs();
    const { workflowRuns, node } = await scene.tenant.graphql(
      `query ($after: String, $id: ID!) { workflowRuns(first: 1, after: $after) { nodes { id } totalCount }
        node(id: $id) { ... on WorkflowRun { status } } }`,
      { after: all[0].id, id: all[1].id },
    );
    expect(workflowRuns).toEqual({ nodes: [{ id: all[1].id }], totalCount: all.length });
    expect(node).toEqual({ status: all[1].status });
    expect(await workflowOf(scene.tenant).runs('nonsense')).toEqual([]);
  });
});

describe('a run', () => {
  let own: TestDatabase;
  let database: Database;
  let sandbox: Sandbox;
  const tenantId = newId();
  const log = pino({ level: 'silent' });
  /** What the action does instead of its work, once. */
  let instead: ((context: ActionContext, write: () => Promise<void>) => Promise<void>) | null = null;

  const mark: Action = {
    name: 'mark',
    entity: 'mark',
    displayName: '',
    description: '',
    targetFields: [{ name: 'text', type: 'STRING', required: true, description: '' }],
    run: async (context, { text }) => {
      const write = async (): Promise<void> => {
        await context.sql.query(`insert into mark (text) values ($1)`, [text]);
      };
      const planned = instead;
      instead = null;
      await (planned ? planned(context, write) : write());
      return { entity: 'mark', entityId: null, operation: 'created', notes: [], events: [], output: { said: text } };
    },
  };

  const parts = () => {
    const mend = async (): Promise<boolean> => false;
    const bell = { ring: () => undefined, configurationChanged: () => undefined };
    const publisher = createPublisher({ database, bell, now: Date.now, mend });
    const changes = createChanges({ database, publisher, mend });
    const actions = new ActionRegistry([mark]);
    const mapper = createMapper({ sandbox, actions });
    return { database, changes, mapper, sandbox, actions, mend };
  };
  let runner: WorkflowRunner;
  let workflows: Workflows;

  beforeAll(async () => {
    own = await createTestDatabase();
    database = await openDatabase({ url: own.url, poolSize: 8, schema });
    sandbox = createSandbox({ log, metrics: createMetrics() });
    await ensurePartitions(database, Date.now());
    await database.sql.query(`create table mark (n serial, text text)`);
    await database.sql.query(`insert into tenant (id, slug, name) values ($1, 'one', 'One')`, [tenantId]);
    runner = createWorkflowRunner(parts());
    workflows = new Workflows(database, parts());
  });
  afterAll(async () => {
    await sandbox.close();
    await database.close();
    await own.drop();
  });

  const marks = async (): Promise<string[]> =>
    (await database.sql.query<{ text: string }>(`select text from mark order by n`)).map(({ text }) => text);

  /** With three steps, of which each says what the one before said, and its own name. */
  const begin = async (): Promise<RunRequest> => {
    await database.sql.query(`truncate mark`);
    const { id } = await workflows.save(tenantId, {
      name: 'Marks',
      steps: [
        step('a', 'mark', { text: "envelope.body & 'a'" }),
        step('b', 'mark', { text: "steps.a.said & 'b'" }),
        step('c', 'mark', { text: "steps.b.said & 'c'" }),
      ],
    });
    return {
      tenantId,
      workflowId: id,
      deliveryId: newId(),
      source: 'inbound:test',
      hops: 1,
      envelope: { body: '>' },
    };
  };
  const stepsOf = async (runId: string) => (await findRunSteps(database.sql, [runId])).get(runId)!;

  it('goes on behind the last finished step when it was cut off, and does none twice', async () => {
    const request = await begin();
    const { deliveryId } = request;
    for (const cutOff of [
      // In the middle of the first step's work, and behind it: neither is committed.
      async () => Promise.reject(new Error('cut off')),
      async (_context: ActionContext, write: () => Promise<void>) => {
        await write();
        throw new Error('cut off');
      },
    ]) {
      instead = cutOff;
      await expect(runner.run(request)).rejects.toThrow('cut off');
      expect(await marks()).toEqual([]);
    }
    const [{ id }] = (await database.sql.query<{ id: string }>(`select id from workflow_run where delivery_id = $1`, [
      deliveryId,
    ])) as [{ id: string }];
    expect((await findRuns(database.sql, tenantId, [id])).get(id)).toMatchObject({
      status: 'RUNNING',
      completedAt: null,
    });
    expect(await stepsOf(id)).toMatchObject([
      { name: 'a', status: 'PENDING', attempts: 2, error: expect.stringMatching(/tried again/) },
      { name: 'b', status: 'PENDING', attempts: 0, error: null },
      { name: 'c', status: 'PENDING', attempts: 0 },
    ]);

    // The first is committed, the second is cut off.
    instead = async (_context, write) => {
      await write();
      instead = async () => Promise.reject(new Error('cut off'));
    };
    await expect(runner.run(request)).rejects.toThrow('cut off');
    expect(await marks()).toEqual(['>a']);

    expect(await runner.run(request)).toEqual({ runId: id, error: null });
    expect(await runner.run(request)).toEqual({ runId: id, error: null });
    expect(await marks()).toEqual(['>a', '>ab', '>abc']);
    expect(await stepsOf(id)).toMatchObject([
      { status: 'COMPLETED', attempts: 3, error: null, output: '{"said":">a"}' },
      { status: 'COMPLETED', attempts: 2, error: null },
      { status: 'COMPLETED', attempts: 1 },
    ]);
  });

  it('does each step once, though several processes work on it at the same time', async () => {
    const others = Array.from({ length: 3 }, () => createWorkflowRunner(parts()));
    for (let round = 0; round < 10; round++) {
      const request = await begin();
      const outcomes = await Promise.all([runner, ...others].map((one) => one.run(request)));
      expect(new Set(outcomes.map(({ runId }) => runId)).size).toBe(1);
      expect(outcomes.map(({ error }) => error)).toEqual([null, null, null, null]);
      expect(await marks()).toEqual(['>a', '>ab', '>abc']);
    }
  });

  it('waits for who is in the middle of a step, and takes over where that one fails', async () => {
    const request = await begin();
    const entered = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    instead = async (_context, write) => {
      await write();
      entered.resolve();
      await released.promise;
      throw new Error('cut off');
    };
    const first = runner.run(request);
    const refused = expect(first).rejects.toThrow('cut off');
    await entered.promise;
    const second = runner.run(request);
    await until('the second to wait', async () => {
      const waiting = await database.sql.query(
        `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
      return waiting.length > 0;
    });
    released.resolve();
    await refused;
    expect((await second).error).toBeNull();
    expect(await marks()).toEqual(['>a', '>ab', '>abc']);
  });

  it('is over once a step is refused, however often it is asked for', async () => {
    const request = await begin();
    instead = async (_context, write) => {
      await write();
      throw new ValidationError('Too much.', ['text']);
    };
    const outcome = await runner.run(request);
    expect(outcome.error).toBe('a: text: Too much.');
    expect(await runner.run(request)).toEqual(outcome);
    expect(await marks()).toEqual([]);
    expect(await stepsOf(outcome.runId)).toMatchObject([
      { status: 'FAILED', error: 'text: Too much.', output: null },
      { status: 'PENDING' },
      {},
    ]);
    // Cut off between the step and the run.
    await database.sql.query(`update workflow_run set status = 'RUNNING', error = null where id = $1`, [outcome.runId]);
    expect(await runner.run(request)).toEqual(outcome);
  });

  it('keeps the version that it began with, and ends it though the workflow is deleted', async () => {
    const request = await begin();
    instead = async () => Promise.reject(new Error('cut off'));
    await expect(runner.run(request)).rejects.toThrow('cut off');
    const steps = [step('new', 'mark', { text: "'new'" })];
    await workflows.save(tenantId, { id: request.workflowId, name: 'New', steps });
    await workflows.remove(tenantId, request.workflowId);
    expect(await removeRetired(database.sql, 30)).toBe(0);
    expect((await runner.run(request)).error).toBeNull();
    expect(await marks()).toEqual(['>a', '>ab', '>abc']);

    await expect(runner.run({ ...request, deliveryId: newId() })).rejects.toThrow(/was deleted/);
    await expect(runner.run({ ...request, tenantId: newId(), deliveryId: newId() })).rejects.toThrow(/was deleted/);
    await database.sql.query(`update workflow set deleted_at = now() - interval '40 days' where id = $1`, [
      request.workflowId,
    ]);
    expect(await removeRetired(database.sql, 30)).toBe(1);
  });

  it('is tried again where nothing can be evaluated now', async () => {
    const request = await begin();
    const closed = createSandbox({ log, metrics: createMetrics() });
    await closed.close();
    const actions = new ActionRegistry([mark]);
    const stuck = createWorkflowRunner({
      ...parts(),
      sandbox: closed,
      mapper: createMapper({ sandbox: closed, actions }),
    });
    await expect(stuck.run(request)).rejects.toThrow(/No process is free/);
    expect((await runner.run(request)).error).toBeNull();
    expect(await marks()).toEqual(['>a', '>ab', '>abc']);
  });
});

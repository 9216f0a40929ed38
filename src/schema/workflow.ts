import type DataLoader from 'dataloader';
import { ConflictError, NotFoundError, ValidationError } from '../domain/errors.ts';
import { countRuns, findRuns, findRunSteps, listRuns } from '../domain/workflows/runHistory.ts';
import type {
  RunStatus,
  StepStatus,
  Workflow,
  WorkflowRun,
  WorkflowRunStep,
  WorkflowStep,
} from '../domain/workflows/workflow.ts';
import { unknownWorkflow } from '../domain/workflows/workflows.ts';
import { decodeId, encodeId } from '../platform/ids.ts';
import { builder, tenantOf } from './builder.ts';
import type { Context } from './builder.ts';
import { forwardArgs, idConnection, idCursor, pageCost, pageRequest } from './connection.ts';
import { InboundDeliveryType } from './inboundDelivery.ts';
import { inboundLoaders } from './inboundLoaders.ts';
import { InboundHandlerObject } from './inboundWebhook.ts';
import { loaderBy, loadersBeside } from './loading.ts';
import { addNodeKind } from './node.ts';

/** What one operation asks of workflows, many at a time. They batch and do not cache. */
interface WorkflowLoaders {
  /** Deleted ones too. */
  readonly workflow: DataLoader<string, Workflow | null>;
  readonly run: DataLoader<string, WorkflowRun | null>;
  /** JSON as text. */
  readonly definition: DataLoader<string, string | null>;
  /** Of runs of the tenant. */
  readonly runSteps: DataLoader<string, WorkflowRunStep[] | null>;
}

/** A run has as much as its steps brought, up to megabytes. */
const RUNS_AT_ONCE = 25;

const workflowLoaders = loadersBeside((context: Context): WorkflowLoaders => {
  const { sql, workflows } = context.services;
  const { large } = context.loaders;
  const tenantId = tenantOf(context);
  return {
    workflow: loaderBy(async (ids) => new Map((await workflows.find(tenantId, ids)).map((one) => [one.id, one]))),
    run: loaderBy((ids) => findRuns(sql, tenantId, ids)),
    definition: large.loaderBy(
      (ids) => workflows.steps(tenantId, ids),
      (text) => text.length,
      RUNS_AT_ONCE,
    ),
    runSteps: large.loaderBy(
      (ids) => findRunSteps(sql, ids),
      (steps) => steps.reduce((sum, { size }) => sum + size, 0),
      RUNS_AT_ONCE,
    ),
  };
});

/** Null for one that was deleted. */
const presentWorkflow = async (context: Context, id: string): Promise<Workflow | null> => {
  const workflow = await workflowLoaders(context).workflow.load(id);
  return workflow?.isDeleted ? null : workflow;
};

const STEPS_COST = { field: 1, multiplier: 5 };

const WorkflowStepObject = builder.objectRef<WorkflowStep>('WorkflowStep').implement({
  description: 'Runs an action with values mapped from `{envelope, steps}`; skipped where `when` is falsy.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Later steps find its output at `steps.NAME`.' }),
    action: t.exposeString('action', { description: 'The action that runs.' }),
    fieldMapping: t.expose('fieldMapping', { type: 'JSON', description: 'Target field to JSONata.' }),
    when: t.exposeString('when', { nullable: true, description: 'JSONata that decides; null: it always runs.' }),
  }),
});

export const WorkflowType = builder.objectRef<Workflow>('Workflow').implement({
  description: 'Actions that run one after the other for what an inbound webhook receives.',
  interfaces: [builder.nodeInterfaceRef()],
  fields: (t) => ({
    id: t.id({ description: 'TypeID, `wfl_…`.', resolve: ({ id }) => encodeId('workflow', id) }),
    name: t.exposeString('name', { description: 'Its name for people; need not be unique.' }),
    description: t.exposeString('description', { nullable: true, description: 'What it is for.' }),
    version: t.exposeInt('version', {
      description: 'Rises by one each time it is saved; runs keep the version that they began with.',
    }),
    steps: t.field({
      type: [WorkflowStepObject],
      description: 'What it does, in this order.',
      complexity: STEPS_COST,
      resolve: async ({ id }, _args, context) =>
        JSON.parse((await workflowLoaders(context).definition.load(id)) ?? '[]') as WorkflowStep[],
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was first saved.' }),
    updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'When it was last saved.' }),
  }),
});

const RunStatusEnum = builder.enumType('RunStatus', {
  description: 'How far a run is.',
  values: {
    RUNNING: { description: 'It goes on, or waits to be tried again.' },
    COMPLETED: { description: 'Every step is completed or skipped.' },
    FAILED: { description: 'A step was refused for good; those after it did not run.' },
  } satisfies Record<RunStatus, { description: string }>,
});

const StepStatusEnum = builder.enumType('StepStatus', {
  description: 'How far a step is.',
  values: {
    PENDING: { description: 'It has not run, or is tried again.' },
    SKIPPED: { description: 'Its `when` was falsy.' },
    COMPLETED: { description: 'Its action ran, once.' },
    FAILED: { description: 'It was refused, and changed nothing.' },
  } satisfies Record<StepStatus, { description: string }>,
});

const WorkflowRunStepObject = builder.objectRef<WorkflowRunStep>('WorkflowRunStep').implement({
  description: 'A step of a run.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'The name of the step.' }),
    status: t.expose('status', { type: StepStatusEnum, description: 'How far it is.' }),
    output: t.field({
      type: 'JSON',
      nullable: true,
      description: 'What its action gave for later steps; null until it is completed.',
      resolve: ({ output }) => (output === null ? null : (JSON.parse(output) as unknown)),
    }),
    error: t.exposeString('error', {
      nullable: true,
      description:
        'Why it failed or is tried again; of a completed one, which fields could not be mapped, and what else was left out.',
    }),
    attempts: t.exposeInt('attempts', { description: 'How often it was tried.' }),
    startedAt: t.expose('startedAt', { type: 'DateTime', nullable: true, description: 'When it was first tried.' }),
    completedAt: t.expose('completedAt', { type: 'DateTime', nullable: true, description: 'When it was finished.' }),
  }),
});

export const WorkflowRunType = builder.objectRef<WorkflowRun>('WorkflowRun').implement({
  description: 'What came of a workflow for one inbound delivery.',
  interfaces: [builder.nodeInterfaceRef()],
  fields: (t) => ({
    id: t.id({ description: 'TypeID, `wfr_…`.', resolve: ({ id }) => encodeId('workflowRun', id) }),
    workflow: t.field({
      type: WorkflowType,
      description: 'The workflow as it is now, or was when it was deleted.',
      resolve: async ({ workflowId }, _args, context) => (await workflowLoaders(context).workflow.load(workflowId))!,
    }),
    version: t.exposeInt('version', { description: 'The version that it runs.' }),
    status: t.expose('status', { type: RunStatusEnum, description: 'How far it is.' }),
    steps: t.field({
      type: [WorkflowRunStepObject],
      description: 'Its steps, in their order.',
      complexity: STEPS_COST,
      resolve: async ({ id }, _args, context) => (await workflowLoaders(context).runSteps.load(id)) ?? [],
    }),
    inboundDelivery: t.field({
      type: InboundDeliveryType,
      nullable: true,
      description: 'What it runs for; null where that is not kept any more.',
      resolve: ({ deliveryId }, _args, context) => inboundLoaders(context).delivery.load(deliveryId),
    }),
    startedAt: t.expose('startedAt', { type: 'DateTime', description: 'When it began.' }),
    completedAt: t.expose('completedAt', { type: 'DateTime', nullable: true, description: 'When it ended.' }),
    error: t.exposeString('error', { nullable: true, description: 'The step that failed, and why.' }),
  }),
});

const WorkflowConnection = builder.connectionObject(
  { type: WorkflowType, name: 'WorkflowConnection', description: 'A page of workflows.' },
  { name: 'WorkflowEdge', description: 'A workflow in its list.' },
);

const WorkflowRunConnection = builder.connectionObject(
  { type: WorkflowRunType, name: 'WorkflowRunConnection', description: 'A page of runs.' },
  { name: 'WorkflowRunEdge', description: 'A run in its list.' },
);

builder.queryFields((t) => ({
  workflow: t.field({
    type: WorkflowType,
    nullable: true,
    description: 'One workflow; null for one that this tenant does not have.',
    authScopes: { scope: 'INBOUND_READ' },
    args: { id: t.arg.id({ required: true, description: 'The workflow, `wfl_…`.' }) },
    resolve: (_root, { id }, context) => {
      const uuid = decodeId('workflow', id);
      return uuid === null ? null : presentWorkflow(context, uuid);
    },
  }),
  workflows: t.field({
    type: WorkflowConnection,
    description: 'The workflows of the tenant, newest first.',
    authScopes: { scope: 'INBOUND_READ' },
    args: forwardArgs,
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const { workflows } = context.services;
      const tenantId = tenantOf(context);
      const request = pageRequest(args, idCursor('workflow'));
      const page = await workflows.list(tenantId, request);
      return idConnection('workflow', page, request, () => workflows.count(tenantId));
    },
  }),
  workflowRun: t.field({
    type: WorkflowRunType,
    nullable: true,
    description: 'One run; null for one that this tenant does not have, or that is not kept any more.',
    authScopes: { scope: 'INBOUND_READ' },
    args: { id: t.arg.id({ required: true, description: 'The run, `wfr_…`.' }) },
    resolve: (_root, { id }, context) => {
      const uuid = decodeId('workflowRun', id);
      return uuid === null ? null : workflowLoaders(context).run.load(uuid);
    },
  }),
  workflowRuns: t.field({
    type: WorkflowRunConnection,
    description: 'Runs of the tenant’s workflows, in the order of their inbound deliveries, newest first.',
    authScopes: { scope: 'INBOUND_READ' },
    args: { ...forwardArgs, workflowId: t.arg.id({ description: 'Of this workflow, deleted ones too.' }) },
    complexity: pageCost,
    resolve: async (_root, { workflowId, ...args }, context) => {
      const { sql } = context.services;
      const tenantId = tenantOf(context);
      const request = pageRequest(args, idCursor('workflowRun'));
      const uuid = workflowId == null ? null : decodeId('workflow', workflowId);
      if (workflowId != null && uuid === null) {
        return idConnection<WorkflowRun>('workflowRun', { items: [], hasMore: false }, request, async () => 0);
      }
      const page = await listRuns(sql, tenantId, uuid, request);
      return idConnection('workflowRun', page, request, () => countRuns(sql, tenantId, uuid));
    },
  }),
}));

builder.objectFields(InboundDeliveryType, (t) => ({
  workflowRun: t.field({
    type: WorkflowRunType,
    nullable: true,
    description: 'The run of its workflow; null until that began, and where there is none.',
    resolve: ({ workflowRunId }, _args, context) =>
      workflowRunId === null ? null : workflowLoaders(context).run.load(workflowRunId),
  }),
}));

builder.objectFields(InboundHandlerObject, (t) => ({
  workflow: t.field({
    type: WorkflowType,
    nullable: true,
    description: 'The workflow that runs; null on other kinds.',
    resolve: ({ handlerWorkflowId }, _args, context) =>
      handlerWorkflowId == null ? null : presentWorkflow(context, handlerWorkflowId),
  }),
}));

const WorkflowStepInput = builder.inputType('WorkflowStepInput', {
  description: 'A step of a workflow.',
  fields: (t) => ({
    name: t.string({
      required: true,
      description: 'Its name, unique in the workflow: 1 to 64 letters, digits, `_ -.`.',
    }),
    action: t.string({ required: true, description: 'An action that `inboundActions` lists.' }),
    fieldMapping: t.field({
      type: 'JSON',
      required: true,
      description: 'Target field to JSONata on `{envelope, steps}`.',
    }),
    when: t.string({ description: 'JSONata on the same: the step is skipped where it is falsy.' }),
  }),
});

const WorkflowInput = builder.inputType('WorkflowInput', {
  description: 'A workflow, whole.',
  fields: (t) => ({
    id: t.id({ description: 'The workflow that gets a new version; left out: a new workflow.' }),
    name: t.string({ required: true, description: 'Its name for people: 1 to 255 characters.' }),
    description: t.string({ description: 'What it is for: at most 2,000 characters.' }),
    steps: t.field({ type: [WorkflowStepInput], required: true, description: '1 to 50 steps, in their order.' }),
  }),
});

const WorkflowSaveSuccess = builder.objectRef<{ workflow: Workflow }>('WorkflowSaveSuccess').implement({
  description: 'What comes from now on runs this version.',
  fields: (t) => ({ workflow: t.expose('workflow', { type: WorkflowType, description: 'As it is now.' }) }),
});

const WorkflowDeleteSuccess = builder.objectRef<{ deletedId: string }>('WorkflowDeleteSuccess').implement({
  description: 'It is gone; its runs stay.',
  fields: (t) => ({ deletedId: t.exposeID('deletedId', { description: 'The id that is free of meaning now.' }) }),
});

builder.mutationFields((t) => ({
  workflowSave: t.field({
    type: WorkflowSaveSuccess,
    description: 'Makes a workflow, or a new version of one.',
    authScopes: { scope: 'INBOUND_WRITE' },
    args: { input: t.arg({ type: WorkflowInput, required: true, description: 'The workflow.' }) },
    errors: {
      types: [ValidationError, NotFoundError, ConflictError],
      union: { description: 'The workflow, or why it is not saved.' },
    },
    resolve: async (_root, { input }, context) => {
      const id = input.id == null ? null : decodeId('workflow', input.id);
      if (input.id != null && id === null) throw unknownWorkflow(['input', 'id']);
      return { workflow: await context.services.workflows.save(tenantOf(context), { ...input, id }) };
    },
  }),
  workflowDelete: t.field({
    type: WorkflowDeleteSuccess,
    description: 'Deletes a workflow that no inbound webhook uses.',
    authScopes: { scope: 'INBOUND_WRITE' },
    args: { id: t.arg.id({ required: true, description: 'The workflow, `wfl_…`.' }) },
    errors: {
      types: [NotFoundError, ConflictError],
      union: { description: 'The id of what is gone, or why it is not.' },
    },
    resolve: async (_root, { id }, context) => {
      const uuid = decodeId('workflow', id);
      if (uuid === null) throw unknownWorkflow(['id']);
      await context.services.workflows.remove(tenantOf(context), uuid);
      return { deletedId: id };
    },
  }),
}));

addNodeKind('workflow', { scope: 'INBOUND_READ', type: WorkflowType, find: presentWorkflow });
addNodeKind('workflowRun', {
  scope: 'INBOUND_READ',
  type: WorkflowRunType,
  find: (context, id) => workflowLoaders(context).run.load(id),
});

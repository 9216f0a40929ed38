// oxlint-disable typescript/no-explicit-any -- answers are whatever the queries ask for
import type { TestTenant } from './tenant.ts';

export const WORKFLOW = `id name description version steps { name action fieldMapping when } createdAt updatedAt`;
export const RUN = `id version status error startedAt completedAt workflow { id name version } inboundDelivery { id }
  steps { name status output error attempts startedAt completedAt }`;
const ERROR = `... on Error { code message path }`;

/** What tests do with workflows, through the API. Refused operations answer their error; `create` throws it. */
export const workflowOf = ({ graphql }: Pick<TestTenant, 'graphql'>) => {
  const save = async (input: object): Promise<any> => {
    const { workflowSave } = await graphql(
      `mutation ($input: WorkflowInput!) {
        workflowSave(input: $input) { ... on WorkflowSaveSuccess { workflow { ${WORKFLOW} } } ${ERROR} } }`,
      { input },
    );
    return workflowSave.workflow ?? workflowSave;
  };
  return {
    save,
    create: async (steps: readonly object[], more: object = {}): Promise<any> => {
      const saved = await save({ name: 'Test', steps, ...more });
      if (!saved.id) throw new Error(JSON.stringify(saved));
      return saved;
    },
    remove: async (id: string): Promise<any> =>
      (
        await graphql(
          `mutation ($id: ID!) { workflowDelete(id: $id) { ... on WorkflowDeleteSuccess { deletedId } ${ERROR} } }`,
          { id },
        )
      ).workflowDelete,
    workflow: async (id: string): Promise<any> =>
      (await graphql(`query ($id: ID!) { workflow(id: $id) { ${WORKFLOW} } }`, { id })).workflow,
    run: async (id: string): Promise<any> =>
      (await graphql(`query ($id: ID!) { workflowRun(id: $id) { ${RUN} } }`, { id })).workflowRun,
    runs: async (workflowId?: string): Promise<any[]> =>
      (
        await graphql(`query ($id: ID) { workflowRuns(first: 100, workflowId: $id) { totalCount nodes { ${RUN} } } }`, {
          id: workflowId,
        })
      ).workflowRuns.nodes,
  };
};

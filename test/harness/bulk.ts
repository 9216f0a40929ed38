// oxlint-disable typescript/no-explicit-any -- an operation, or the error why there is none
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { API_KEY, until } from './program.ts';
import type { TestProgram } from './program.ts';
import type { TestTenant } from './tenant.ts';

export interface Operation {
  readonly id: string;
  readonly kind: string;
  readonly status: string;
  readonly total: number;
  readonly processed: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly completedAt: string | null;
  readonly error: string | null;
}

const FIELDS = `id kind status total processed succeeded failed startedAt completedAt error`;
const RESULT = `... on BulkOperationSuccess { operation { ${FIELDS} } } ... on Error { code message path }`;
const FOLLOW_MS = 30_000;

/** Operations on many deliveries: answered as they are started, or the error. `ended` waits for the end. */
export interface TestBulk {
  retry(filter: object): Promise<any>;
  cancel(filter: object): Promise<any>;
  recover(id: string, since: Date | string): Promise<any>;
  callOff(id: string): Promise<any>;
  find(id: string): Promise<Operation | null>;
  ended(operation: { readonly id: string }, limitMs?: number): Promise<Operation>;
}

export const bulkOf = ({ graphql }: Pick<TestTenant, 'graphql'>): TestBulk => {
  const mutate = async (mutation: string, variables: Record<string, unknown>): Promise<any> => {
    const { it } = await graphql(mutation, variables);
    return it.operation ?? it;
  };
  const byFilter = (name: string) => (filter: object) =>
    mutate(`mutation ($filter: DeliveryFilter!) { it: ${name}(filter: $filter) { ${RESULT} } }`, { filter });
  const find: TestBulk['find'] = async (id) =>
    (await graphql(`query ($id: ID!) { bulkOperation(id: $id) { ${FIELDS} } }`, { id })).bulkOperation;
  return {
    retry: byFilter('deliveriesRetry'),
    cancel: byFilter('deliveriesCancel'),
    recover: (id, since) =>
      mutate(`mutation ($id: ID!, $since: DateTime!) { it: webhookRecover(id: $id, since: $since) { ${RESULT} } }`, {
        id,
        since,
      }),
    callOff: (id) => mutate(`mutation ($id: ID!) { it: bulkOperationCancel(id: $id) { ${RESULT} } }`, { id }),
    find,
    ended: ({ id }, limitMs) =>
      until(
        'the end of the operation',
        async () => {
          const operation = await find(id);
          return operation && operation.status !== 'RUNNING' ? operation : null;
        },
        limitMs,
      ),
  };
};

/** What `bulkOperationProgress` tells over a WebSocket until it completes; rejects with the errors it is refused with. */
export const followOperation = async (
  program: TestProgram,
  id: string,
  onTold: (operation: Operation) => void = () => undefined,
  key = API_KEY,
): Promise<Operation[]> => {
  const client = createClient({
    url: `${program.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { 'X-API-Key': key },
    retryAttempts: 0,
  });
  const told: Operation[] = [];
  const deadline = setTimeout(() => client.terminate(), FOLLOW_MS);
  try {
    const subscription = client.iterate<{ bulkOperationProgress: Operation }>({
      query: `subscription ($id: ID!) { bulkOperationProgress(id: $id) { ${FIELDS} } }`,
      variables: { id },
    });
    for await (const { data, errors } of subscription) {
      if (errors) throw new Error(JSON.stringify(errors));
      told.push(data!.bulkOperationProgress);
      onTold(data!.bulkOperationProgress);
    }
  } finally {
    clearTimeout(deadline);
    await client.dispose();
  }
  return told;
};

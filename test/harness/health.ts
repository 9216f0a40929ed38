import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { API_KEY } from './program.ts';
import type { TestProgram } from './program.ts';

export interface ToldHealth {
  readonly id: string;
  readonly status: string;
  readonly disabledReason: string | null;
  readonly health: { readonly status: string; readonly consecutiveFailures: number };
}

export interface HealthFollower extends AsyncDisposable {
  /** What came so far. */
  readonly told: readonly ToldHealth[];
  /** Why it ended, where it was refused or broke. */
  readonly failure: unknown;
}

/** Subscribes to changes of health over a WebSocket, of one webhook or of all, and keeps what comes until it is disposed of. */
export const followHealth = (program: TestProgram, webhookId: string | null, key = API_KEY): HealthFollower => {
  const client = createClient({
    url: `${program.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { 'X-API-Key': key },
    retryAttempts: 0,
  });
  const told: ToldHealth[] = [];
  let failure: unknown;
  client.subscribe<{ webhookHealthChanged: ToldHealth }>(
    {
      query: `subscription ($webhookId: ID) { webhookHealthChanged(webhookId: $webhookId) {
        id status disabledReason health { status consecutiveFailures } } }`,
      variables: { webhookId },
    },
    {
      next: ({ data, errors }) => {
        if (data) told.push(data.webhookHealthChanged);
        if (errors) failure = errors;
      },
      error: (error) => (failure = error),
      complete: () => undefined,
    },
  );
  return {
    told,
    get failure() {
      return failure;
    },
    [Symbol.asyncDispose]: async () => {
      await client.dispose();
    },
  };
};

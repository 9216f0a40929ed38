// oxlint-disable typescript/no-explicit-any -- answers are whatever the queries ask for
import { API_KEY, until } from './program.ts';
import type { TestProgram } from './program.ts';

export interface CreatedWebhook {
  readonly id: string;
  readonly value: string;
  readonly standardWebhooks: string;
}

/** What a tenant does, through the API. Refused operations answer their error; `createWebhook` throws it. */
export interface TestTenant {
  graphql(query: string, variables?: Record<string, unknown>): Promise<any>;
  /** A type that nobody else uses, so that tests share a tenant and nothing else. */
  registerType(schema?: object): Promise<string>;
  createWebhook(url: string, eventTypes: string[], more?: object): Promise<CreatedWebhook>;
  update(id: string, input: object): Promise<any>;
  rotate(id: string, overlapSeconds: number): Promise<CreatedWebhook>;
  remove(id: string): Promise<any>;
  sendTest(id: string, eventType?: string): Promise<any>;
  publish(type: string, data?: object, more?: object): Promise<any>;
  publishMany(input: readonly object[]): Promise<any>;
  webhook(id: string): Promise<any>;
  /** The newest hundred. */
  deliveriesOf(webhookId: string): Promise<any[]>;
  /** Waits until so many of the webhook's deliveries have the status; answers all that have it. */
  reached(webhookId: string, status: string, count?: number): Promise<any[]>;
}

let types = 0;

export const tenantOf = (program: TestProgram, key = API_KEY): TestTenant => {
  const graphql: TestTenant['graphql'] = (query, variables) => program.graphql(query, variables, key);

  const deliveriesOf = async (id: string): Promise<any[]> => {
    const { deliveries } = await graphql(
      `
        query ($id: ID!) {
          deliveries(first: 100, filter: { webhookId: $id }) {
            nodes {
              id
              status
              isTest
              attemptCount
              responseStatus
              error {
                code
                message
              }
              requestBody
              nextAttemptAt
              completedAt
              webhook {
                id
              }
              attempts {
                number
                trigger
                responseStatus
                responseBody
                responseTruncated
                responseHeaders
                requestHeaders
                durationMs
                error {
                  code
                  message
                }
              }
            }
          }
        }
      `,
      { id },
    );
    return deliveries.nodes;
  };

  return {
    graphql,
    deliveriesOf,
    registerType: async (schema) => {
      const name = `test.type${++types}`;
      const { eventTypeRegister } = await graphql(
        `
          mutation ($input: EventTypeInput!) {
            eventTypeRegister(input: $input) {
              ... on Error {
                message
              }
            }
          }
        `,
        { input: { name, description: 'For a test', ...(schema && { schema }) } },
      );
      if (eventTypeRegister.message) throw new Error(eventTypeRegister.message);
      return name;
    },
    createWebhook: async (url, eventTypes, more) => {
      const { webhookCreate } = await graphql(
        `
          mutation ($input: WebhookCreateInput!) {
            webhookCreate(input: $input) {
              ... on WebhookCreateSuccess {
                webhook {
                  id
                }
                signingSecret {
                  value
                  standardWebhooks
                }
              }
              ... on Error {
                code
                message
                path
              }
            }
          }
        `,
        { input: { name: 'Test', url, eventTypes, ...more } },
      );
      if (!webhookCreate.webhook) throw new Error(JSON.stringify(webhookCreate));
      return { id: webhookCreate.webhook.id, ...webhookCreate.signingSecret };
    },
    update: async (id, input) =>
      (
        await graphql(
          `
            mutation ($id: ID!, $input: WebhookUpdateInput!) {
              webhookUpdate(id: $id, input: $input) {
                ... on WebhookUpdateSuccess {
                  webhook {
                    status
                    isActive
                    disabledReason
                    health {
                      status
                      consecutiveFailures
                    }
                  }
                }
                ... on Error {
                  code
                  message
                  path
                }
              }
            }
          `,
          { id, input },
        )
      ).webhookUpdate,
    rotate: async (id, overlapSeconds) => {
      const { webhookRotateSecret } = await graphql(
        `
          mutation ($id: ID!, $overlap: Int) {
            webhookRotateSecret(id: $id, overlapSeconds: $overlap) {
              ... on WebhookRotateSecretSuccess {
                signingSecret {
                  value
                  standardWebhooks
                }
              }
            }
          }
        `,
        { id, overlap: overlapSeconds },
      );
      return { id, ...webhookRotateSecret.signingSecret };
    },
    remove: async (id) =>
      (
        await graphql(
          `
            mutation ($id: ID!) {
              webhookDelete(id: $id) {
                ... on WebhookDeleteSuccess {
                  deletedId
                }
                ... on Error {
                  code
                }
              }
            }
          `,
          { id },
        )
      ).webhookDelete,
    sendTest: async (id, eventType) =>
      (
        await graphql(
          `
            mutation ($id: ID!, $type: String) {
              webhookSendTest(id: $id, eventType: $type) {
                ... on WebhookSendTestSuccess {
                  delivery {
                    id
                    status
                    isTest
                    eventType
                    attemptCount
                    requestBody
                    event {
                      id
                    }
                    attempts {
                      trigger
                    }
                  }
                }
                ... on Error {
                  code
                  path
                }
              }
            }
          `,
          { id, type: eventType },
        )
      ).webhookSendTest,
    publish: async (type, data = { n: 1 }, more = {}) =>
      (
        await graphql(
          `
            mutation ($input: EventInput!) {
              eventPublish(input: $input) {
                ... on EventPublishSuccess {
                  event {
                    id
                    occurredAt
                  }
                  matchedCount
                  duplicate
                }
                ... on Error {
                  code
                  message
                  path
                }
              }
            }
          `,
          { input: { type, data, ...more } },
        )
      ).eventPublish,
    publishMany: async (input) =>
      (
        await graphql(
          `
            mutation ($input: [EventInput!]!) {
              eventPublishMany(input: $input) {
                ... on EventPublishManySuccess {
                  results {
                    event {
                      id
                    }
                    matchedCount
                    duplicate
                  }
                }
                ... on Error {
                  code
                  message
                  path
                }
              }
            }
          `,
          { input },
        )
      ).eventPublishMany,
    webhook: async (id) =>
      (
        await graphql(
          `
            query ($id: ID!) {
              webhook(id: $id) {
                status
                disabledReason
                health {
                  status
                  consecutiveFailures
                  lastDeliveryAt
                  lastFailureAt
                  pendingCount
                }
              }
            }
          `,
          { id },
        )
      ).webhook,
    reached: (webhookId, status, count = 1) =>
      until(`${count} ${status}`, async () => {
        const all = (await deliveriesOf(webhookId)).filter((delivery) => delivery.status === status);
        return all.length >= count ? all : null;
      }),
  };
};

// oxlint-disable typescript/no-explicit-any -- answers are whatever the queries ask for
import { createHmac } from 'node:crypto';
import { until } from './program.ts';
import type { TestTenant } from './tenant.ts';

export const ERROR = `... on Error { code message path }`;
export const WEBHOOK = `id name slug description source status isActive slugUrl receiveUrl events idempotencyWindowSeconds url
  rateLimitPerMinute samplePayload sampleCaptureArmed deliveryCount lastDeliveryAt createdAt updatedAt
  auth { type preset config hasSecret } eventTypeSource { type value } idempotencySource { type value }
  handler { type action fieldMapping } refusals { cause count }`;
export const DELIVERY = `id receivedAt eventType authStatus dispatchStatus idempotencyKey duplicateOf { id } requestMethod requestPath
  requestHeaders requestBody sourceIp responseStatus durationMs handlerOutcome attemptCount isTest isReplay replayedFrom { id }
  inboundWebhook { id name }`;

export interface CreatedInbound {
  readonly id: string;
  readonly slug: string;
  readonly slugUrl: string;
  readonly receiveUrl: string;
  readonly secret: string;
}

const SECRET = 'a secret of the sender';

/** What tests do with inbound webhooks, through the API. Refused operations answer their error; `create` throws it. */
export const inboundOf = (tenant: Pick<TestTenant, 'graphql'>) => {
  const mutate = async (name: string, args: string, fields: string, variables: object): Promise<any> =>
    (
      await tenant.graphql(
        `mutation (${args}) { ${name} { ${fields} ${ERROR} } }`,
        variables as Record<string, unknown>,
      )
    )[/^\w+/.exec(name)![0]];

  const changed = (type: string): string =>
    `... on ${type} { inboundWebhook { ${WEBHOOK} } secret forwardSigningSecret { value standardWebhooks } }`;

  const deliveries = async (filter: object = {}): Promise<any[]> =>
    (
      await tenant.graphql(
        `query ($filter: InboundDeliveryFilter) { inboundDeliveries(first: 100, filter: $filter) { nodes { ${DELIVERY} } } }`,
        { filter },
      )
    ).inboundDeliveries.nodes;

  return {
    deliveries,
    /** With an HMAC of the body in `X-Signature`, by a secret of its own, unless more says something else. */
    create: async (more: object = {}): Promise<CreatedInbound & { readonly answer: any }> => {
      const auth = { type: 'HMAC', config: { header: 'X-Signature' }, secret: SECRET };
      const answer = await mutate(
        'inboundWebhookCreate(input: $input)',
        '$input: InboundWebhookCreateInput!',
        changed('InboundWebhookCreateSuccess'),
        { input: { name: 'Test', auth, ...more } },
      );
      if (!answer.inboundWebhook) throw new Error(JSON.stringify(answer));
      const { id, slug, slugUrl, receiveUrl } = answer.inboundWebhook;
      return { id, slug, slugUrl, receiveUrl, secret: answer.secret, answer };
    },
    tryCreate: (input: object): Promise<any> =>
      mutate(
        'inboundWebhookCreate(input: $input)',
        '$input: InboundWebhookCreateInput!',
        changed('InboundWebhookCreateSuccess'),
        { input },
      ),
    update: (id: string, input: object): Promise<any> =>
      mutate(
        'inboundWebhookUpdate(id: $id, input: $input)',
        '$id: ID!, $input: InboundWebhookUpdateInput!',
        changed('InboundWebhookUpdateSuccess'),
        { id, input },
      ),
    remove: (id: string): Promise<any> =>
      mutate('inboundWebhookDelete(id: $id)', '$id: ID!', '... on InboundWebhookDeleteSuccess { deletedId }', { id }),
    rotate: (id: string, secret?: string): Promise<any> =>
      mutate(
        'inboundWebhookRotateSecret(id: $id, secret: $secret)',
        '$id: ID!, $secret: String',
        '... on InboundWebhookRotateSecretSuccess { secret }',
        { id, secret },
      ),
    rotateForward: (id: string, overlap?: number): Promise<any> =>
      mutate(
        'inboundWebhookRotateForwardSecret(id: $id, overlapSeconds: $overlap)',
        '$id: ID!, $overlap: Int',
        changed('InboundWebhookUpdateSuccess'),
        { id, overlap },
      ),
    captureSample: (id: string): Promise<any> =>
      mutate('inboundWebhookCaptureSample(id: $id)', '$id: ID!', changed('InboundWebhookUpdateSuccess'), { id }),
    clearSample: (id: string): Promise<any> =>
      mutate('inboundWebhookClearSample(id: $id)', '$id: ID!', changed('InboundWebhookUpdateSuccess'), { id }),
    test: (id: string, body: unknown, headers?: unknown): Promise<any> =>
      mutate(
        'inboundWebhookTest(id: $id, body: $body, headers: $headers)',
        '$id: ID!, $body: JSON!, $headers: JSON',
        `... on InboundWebhookTestSuccess { delivery { ${DELIVERY} } }`,
        { id, body, headers },
      ),
    replay: (id: string): Promise<any> =>
      mutate(
        'inboundDeliveryReplay(id: $id)',
        '$id: ID!',
        `... on InboundDeliveryReplaySuccess { delivery { ${DELIVERY} } }`,
        { id },
      ),
    webhook: async (id: string): Promise<any> =>
      (await tenant.graphql(`query ($id: ID!) { inboundWebhook(id: $id) { ${WEBHOOK} } }`, { id })).inboundWebhook,
    verify: async (input: object): Promise<any> =>
      (
        await tenant.graphql(
          `query ($input: InboundVerifyInput!) { inboundVerify(input: $input) { valid authStatus reason } }`,
          { input },
        )
      ).inboundVerify,
    /** Waits until so many of the webhook's requests have the status; answers all that have it. */
    reached: (inboundWebhookId: string, dispatchStatus: string, count = 1): Promise<any[]> =>
      until(`${count} ${dispatchStatus}`, async () => {
        const all = await deliveries({ inboundWebhookId, dispatchStatus: [dispatchStatus] });
        return all.length >= count ? all : null;
      }),
  };
};

export const sign = (body: string | Buffer, secret = SECRET): string =>
  createHmac('sha256', secret).update(body).digest('hex');

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The text as JSON; undefined where it is none. */
  readonly json: any;
}

/** Posts a body with its signature in `X-Signature`; headers that are given win, and those that are null are left out. */
export const post = async (
  url: string,
  body: string | Buffer = '{}',
  headers: Record<string, string | null> = {},
  method = 'POST',
): Promise<Reply> => {
  const all = { 'content-type': 'application/json', 'x-signature': sign(body), ...headers };
  const response = await fetch(url, {
    method,
    headers: Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== null)),
    ...(method !== 'GET' && method !== 'HEAD' && { body: typeof body === 'string' ? body : new Uint8Array(body) }),
    redirect: 'manual',
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: parsed(text) };
};

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined; // an answer that is no JSON is what some tests look for
  }
};

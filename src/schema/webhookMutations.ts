import type { DeliveryRecord } from '../domain/deliveries/delivery.ts';
import { ConflictError, NotFoundError, ValidationError } from '../domain/errors.ts';
import type { Webhook } from '../domain/webhooks/webhook.ts';
import type { SigningSecret, WebhookWithSecret } from '../domain/webhooks/webhooks.ts';
import { decodeId, encodeId } from '../platform/ids.ts';
import { builder, tenantOf } from './builder.ts';
import { DeliveryType } from './delivery.ts';
import { OrderingType, WebhookStatusType, WebhookType } from './webhook.ts';

const HeaderInput = builder.inputType('HeaderInput', {
  description: 'A static header of every request. Those that are signed or belong to the connection cannot be set.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'Its name.' }),
    value: t.string({
      description: 'Its value, a secret: never shown again. Null or left out keeps the value stored under this name.',
    }),
  }),
});

const WebhookCreateInput = builder.inputType('WebhookCreateInput', {
  description: 'A new webhook.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'A name for people: 1 to 255 characters.' }),
    url: t.string({
      required: true,
      description: 'Where to post to: http or https, no user info, at most 2,048 characters, not a private address.',
    }),
    eventTypes: t.stringList({
      required: true,
      description: '1 to 100 names or wildcards. `ticket.*` has everything below `ticket`, `*` everything.',
    }),
    isActive: t.boolean({ defaultValue: true, description: 'False creates it DISABLED: nothing is queued for it.' }),
    verifySsl: t.boolean({ defaultValue: true, description: 'Whether its TLS certificate has to be valid.' }),
    description: t.string({ description: 'What it is for: at most 2,000 characters.' }),
    entityIds: t.stringList({ description: 'Only events about these entities; left out or empty: about all.' }),
    condition: t.string({
      description: 'JSONata on the envelope: only events for which it is truthy are sent; left out: all.',
    }),
    payloadFields: t.stringList({
      description: 'Only these top-level keys of `data`, besides the id of the entity; left out: all.',
    }),
    timeoutSeconds: t.int({ description: 'How long one attempt may take: 1 to 30 s, 10 where it is left out.' }),
    retrySchedule: t.intList({
      description:
        'Seconds to wait after each failed attempt: up to 20 waits of 1 to 86,400. Left out: 1 min, 5 min, 30 min, 2 h, 12 h; empty: no retries.',
    }),
    maxConcurrency: t.int({ description: 'Requests under way at the same time: 1 to 100, 10 where it is left out.' }),
    rateLimitPerMinute: t.int({ description: 'Requests per minute: 1 to 60,000; left out: no limit.' }),
    ordering: t.field({ type: OrderingType, description: 'Whether its deliveries keep their order; left out: NONE.' }),
    headers: t.field({ type: [HeaderInput], description: 'Static headers, at most 20.' }),
  }),
});

const WebhookUpdateInput = builder.inputType('WebhookUpdateInput', {
  description:
    'What to change. A field left out stays as it is; null resets it to its default. Lists are replaced as a whole.',
  fields: (t) => ({
    name: t.string({ description: 'A name for people: 1 to 255 characters, not null.' }),
    url: t.string({ description: 'Where to post to, under the rules of creation; not null.' }),
    eventTypes: t.stringList({ description: '1 to 100 names or wildcards; not null.' }),
    isActive: t.boolean({
      description: 'True enables a disabled or paused webhook and starts a fresh count of failures; false pauses it.',
    }),
    status: t.field({ type: WebhookStatusType, description: 'The status itself; must not contradict `isActive`.' }),
    verifySsl: t.boolean({ description: 'Whether its TLS certificate has to be valid.' }),
    description: t.string({ description: 'What it is for: at most 2,000 characters.' }),
    entityIds: t.stringList({ description: 'Only events about these entities; empty: about all.' }),
    condition: t.string({
      description: 'JSONata on the envelope: only events for which it is truthy are sent; null: all.',
    }),
    payloadFields: t.stringList({
      description: 'Only these top-level keys of `data`, besides the id of the entity; null: all.',
    }),
    timeoutSeconds: t.int({ description: 'How long one attempt may take: 1 to 30 s.' }),
    retrySchedule: t.intList({
      description: 'Seconds to wait after each failed attempt: up to 20 waits of 1 to 86,400.',
    }),
    maxConcurrency: t.int({ description: 'Requests under way at the same time: 1 to 100.' }),
    rateLimitPerMinute: t.int({ description: 'Requests per minute: 1 to 60,000; null: no limit.' }),
    ordering: t.field({ type: OrderingType, description: 'Whether its deliveries keep their order; null: NONE.' }),
    headers: t.field({ type: [HeaderInput], description: 'Static headers, at most 20, as a whole list; null: none.' }),
  }),
});

export const SigningSecretType = builder.objectRef<SigningSecret>('SigningSecret').implement({
  description: 'One secret in two spellings, shown this once. A lost one is rotated.',
  fields: (t) => ({
    value: t.exposeString('value', { description: 'Base64url text. This text is the key of the signature header.' }),
    standardWebhooks: t.exposeString('standardWebhooks', {
      description: '`whsec_…`: the same 32 bytes, as the libraries of Standard Webhooks take them.',
    }),
  }),
});

const WebhookCreateSuccess = builder.objectRef<WebhookWithSecret>('WebhookCreateSuccess').implement({
  description: 'The webhook exists.',
  fields: (t) => ({
    webhook: t.expose('webhook', { type: WebhookType, description: 'The new webhook.' }),
    signingSecret: t.expose('signingSecret', {
      type: SigningSecretType,
      description: 'What its requests are signed with.',
    }),
  }),
});

const WebhookUpdateSuccess = builder.objectRef<{ webhook: Webhook }>('WebhookUpdateSuccess').implement({
  description: 'The change is in force for every attempt that begins from now on.',
  fields: (t) => ({ webhook: t.expose('webhook', { type: WebhookType, description: 'The webhook as it is now.' }) }),
});

const WebhookDeleteSuccess = builder.objectRef<{ deletedId: string }>('WebhookDeleteSuccess').implement({
  description: 'Settings and secrets are gone; what was pending is cancelled; the history stays.',
  fields: (t) => ({ deletedId: t.exposeID('deletedId', { description: 'The id that is free of meaning now.' }) }),
});

const WebhookRotateSecretSuccess = builder.objectRef<WebhookWithSecret>('WebhookRotateSecretSuccess').implement({
  description: 'The new secret signs from now on.',
  fields: (t) => ({
    webhook: t.expose('webhook', { type: WebhookType, description: 'The webhook.' }),
    signingSecret: t.expose('signingSecret', { type: SigningSecretType, description: 'The new secret.' }),
    previousSecretExpiresAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'Until when the old secret signs beside the new one; null where it stopped at once.',
      resolve: ({ webhook }) => webhook.previousSecretExpiresAt ?? null,
    }),
  }),
});

const WebhookSendTestSuccess = builder.objectRef<{ delivery: DeliveryRecord }>('WebhookSendTestSuccess').implement({
  description: 'The test was sent and recorded, whatever the receiver made of it.',
  fields: (t) => ({
    delivery: t.expose('delivery', { type: DeliveryType, description: 'The test, with what the receiver answered.' }),
  }),
});

/** A malformed id, or one of another kind, is simply not the id of a webhook. */
const webhookId = (text: string): string => {
  const id = decodeId('webhook', text);
  if (id === null) throw new NotFoundError('There is no such webhook.');
  return id;
};

builder.mutationFields((t) => {
  const id = t.arg.id({ required: true, description: 'The webhook, `wh_…`.' });
  return {
    webhookCreate: t.field({
      type: WebhookCreateSuccess,
      description: 'Creates a webhook with a secret of its own.',
      authScopes: { scope: 'WEBHOOKS_WRITE' },
      args: { input: t.arg({ type: WebhookCreateInput, required: true, description: 'The webhook.' }) },
      errors: {
        types: [ValidationError, ConflictError],
        union: { description: 'The new webhook, or why there is none.' },
      },
      resolve: (_root, { input }, context) => context.services.webhooks.create(tenantOf(context), input),
    }),
    webhookUpdate: t.field({
      type: WebhookUpdateSuccess,
      description: 'Changes what is given, and leaves the rest.',
      authScopes: { scope: 'WEBHOOKS_WRITE' },
      args: { id, input: t.arg({ type: WebhookUpdateInput, required: true, description: 'The change.' }) },
      errors: {
        types: [ValidationError, NotFoundError, ConflictError],
        union: { description: 'The changed webhook, or why it stays as it was.' },
      },
      resolve: async (_root, { id, input }, context) => ({
        webhook: await context.services.webhooks.update(tenantOf(context), webhookId(id), input),
      }),
    }),
    webhookDelete: t.field({
      type: WebhookDeleteSuccess,
      description: 'Deletes a webhook with its secrets and cancels what is pending for it.',
      authScopes: { scope: 'WEBHOOKS_WRITE' },
      args: { id },
      errors: { types: [NotFoundError], union: { description: 'What was deleted, or that there is none such.' } },
      resolve: async (_root, { id }, context) => {
        const uuid = webhookId(id);
        await context.services.webhooks.delete(tenantOf(context), uuid);
        return { deletedId: encodeId('webhook', uuid) };
      },
    }),
    webhookRotateSecret: t.field({
      type: WebhookRotateSecretSuccess,
      description: 'Replaces the secret. The old one stops at once, or signs beside the new one for a while.',
      authScopes: { scope: 'WEBHOOKS_WRITE' },
      args: {
        id,
        overlapSeconds: t.arg.int({
          defaultValue: 0,
          description: 'How long both secrets sign: 0 to 604,800 s, which is 7 days.',
        }),
      },
      errors: {
        types: [ValidationError, NotFoundError],
        union: { description: 'The new secret, or why the old one stays.' },
      },
      resolve: (_root, { id, overlapSeconds }, context) =>
        context.services.webhooks.rotateSecret(tenantOf(context), webhookId(id), overlapSeconds ?? 0),
    }),
    webhookSendTest: t.field({
      type: WebhookSendTestSuccess,
      description:
        'Sends one signed test, marked as such, and waits for what comes of it: no retries, no statistics, whatever the status of the webhook.',
      authScopes: { scope: 'WEBHOOKS_WRITE' },
      args: {
        id,
        eventType: t.arg.string({
          description:
            'The type to send an example of; the first subscribed one that is no wildcard where it is left out.',
        }),
      },
      errors: {
        types: [ValidationError, NotFoundError],
        union: { description: 'The test as it went, or why none was sent.' },
      },
      resolve: async (_root, { id, eventType }, context) => ({
        delivery: await context.services.testDeliveries.send(tenantOf(context), webhookId(id), eventType ?? null),
      }),
    }),
  };
});

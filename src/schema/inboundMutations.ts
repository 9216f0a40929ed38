import { ConflictError, NotFoundError, ValidationError } from '../domain/errors.ts';
import type { InboundDeliveryRecord } from '../domain/inbound/inboundDelivery.ts';
import type { InboundHandlerInput } from '../domain/inbound/inboundInput.ts';
import type { ChangedInboundWebhook } from '../domain/inbound/inboundWebhooks.ts';
import { decodeId, encodeId } from '../platform/ids.ts';
import { builder, callerOf, tenantOf } from './builder.ts';
import { InboundDeliveryType } from './inboundDelivery.ts';
import { InboundWebhookCreateInput, InboundWebhookUpdateInput } from './inboundInput.ts';
import { InboundWebhookType } from './inboundWebhook.ts';
import { SigningSecretType } from './webhookMutations.ts';

const InboundWebhookCreateSuccess = builder.objectRef<ChangedInboundWebhook>('InboundWebhookCreateSuccess').implement({
  description: 'The inbound webhook exists.',
  fields: (t) => ({
    inboundWebhook: t.expose('inboundWebhook', { type: InboundWebhookType, description: 'The new inbound webhook.' }),
    secret: t.exposeString('secret', {
      nullable: true,
      description: 'What proves requests. Shown this once; null where the authentication has none.',
    }),
    forwardSigningSecret: t.expose('forwardSigningSecret', {
      type: SigningSecretType,
      nullable: true,
      description: 'What forwards are signed with, where there is a `url`. Shown this once.',
    }),
  }),
});

const InboundWebhookUpdateSuccess = builder.objectRef<ChangedInboundWebhook>('InboundWebhookUpdateSuccess').implement({
  description: 'The change is in force for every request that comes from now on.',
  fields: (t) => ({
    inboundWebhook: t.expose('inboundWebhook', { type: InboundWebhookType, description: 'As it is now.' }),
    secret: t.exposeString('secret', {
      nullable: true,
      description: 'The new secret, where the change made or brought one. Shown this once.',
    }),
    forwardSigningSecret: t.expose('forwardSigningSecret', {
      type: SigningSecretType,
      nullable: true,
      description: 'What forwards are signed with, when `url` is first set, and by rotation. Shown this once.',
    }),
  }),
});

const InboundWebhookUpdateResult = builder.errorUnion('InboundWebhookUpdateResult', {
  description: 'The changed inbound webhook, or why it stays as it was.',
  types: [InboundWebhookUpdateSuccess, ValidationError, NotFoundError, ConflictError],
  resolveType: () => 'InboundWebhookUpdateSuccess',
});

const InboundWebhookDeleteSuccess = builder.objectRef<{ deletedId: string }>('InboundWebhookDeleteSuccess').implement({
  description: 'Settings and secrets are gone; what was pending is cancelled; the history stays.',
  fields: (t) => ({ deletedId: t.exposeID('deletedId', { description: 'The id that is free of meaning now.' }) }),
});

const InboundWebhookRotateSecretSuccess = builder
  .objectRef<ChangedInboundWebhook>('InboundWebhookRotateSecretSuccess')
  .implement({
    description: 'The new secret proves requests from now on; the old one proves nothing.',
    fields: (t) => ({
      inboundWebhook: t.expose('inboundWebhook', { type: InboundWebhookType, description: 'The inbound webhook.' }),
      secret: t.string({ description: 'The new secret. Shown this once.', resolve: ({ secret }) => secret! }),
    }),
  });

const InboundWebhookTestSuccess = builder
  .objectRef<{ delivery: InboundDeliveryRecord }>('InboundWebhookTestSuccess')
  .implement({
    description: 'The test was handled, or is still waited for: see its status.',
    fields: (t) => ({
      delivery: t.expose('delivery', { type: InboundDeliveryType, description: 'The test, as far as it is.' }),
    }),
  });

const InboundDeliveryReplaySuccess = builder
  .objectRef<{ delivery: InboundDeliveryRecord }>('InboundDeliveryReplaySuccess')
  .implement({
    description: 'The request was handled once more, or is still waited for: see the status.',
    fields: (t) => ({
      delivery: t.expose('delivery', { type: InboundDeliveryType, description: 'The replay, as far as it is.' }),
    }),
  });

/** A malformed id, or one of another kind, is simply not the id of an inbound webhook. */
const webhookId = (text: string): string => {
  const id = decodeId('inboundWebhook', text);
  if (id === null) throw new NotFoundError('There is no such inbound webhook.');
  return id;
};

interface GivenHandler extends Omit<InboundHandlerInput, 'workflowId'> {
  readonly workflowId?: string | null | undefined;
}

/** With the workflow's UUID; one that is none is nobody's workflow. */
const handlerOf = <Handler extends GivenHandler | null | undefined>(handler: Handler) =>
  handler?.workflowId == null ? handler : { ...handler, workflowId: decodeId('workflow', handler.workflowId) };

builder.mutationFields((t) => {
  const id = t.arg.id({ required: true, description: 'The inbound webhook, `iwh_…`.' });
  const authScopes = { scope: 'INBOUND_WRITE' } as const;
  return {
    inboundWebhookCreate: t.field({
      type: InboundWebhookCreateSuccess,
      description: 'Creates an inbound webhook with an address of its own.',
      authScopes,
      args: { input: t.arg({ type: InboundWebhookCreateInput, required: true, description: 'The inbound webhook.' }) },
      errors: {
        types: [ValidationError, ConflictError],
        union: { description: 'The new inbound webhook, or why there is none.' },
      },
      resolve: (_root, { input }, context) =>
        context.services.inbound.webhooks.create(tenantOf(context), { ...input, handler: handlerOf(input.handler) }),
    }),
    inboundWebhookUpdate: t.field({
      type: InboundWebhookUpdateResult,
      description: 'Changes what is given, and leaves the rest.',
      authScopes,
      args: { id, input: t.arg({ type: InboundWebhookUpdateInput, required: true, description: 'The change.' }) },
      resolve: (_root, { id, input }, context) =>
        context.services.inbound.webhooks.update(tenantOf(context), webhookId(id), {
          ...input,
          handler: handlerOf(input.handler),
        }),
    }),
    inboundWebhookDelete: t.field({
      type: InboundWebhookDeleteSuccess,
      description: 'Deletes an inbound webhook with its secrets and cancels what it had not handled or forwarded yet.',
      authScopes,
      args: { id },
      errors: { types: [NotFoundError], union: { description: 'What was deleted, or that there is none such.' } },
      resolve: async (_root, { id }, context) => {
        const uuid = webhookId(id);
        await context.services.inbound.webhooks.delete(tenantOf(context), uuid);
        return { deletedId: encodeId('inboundWebhook', uuid) };
      },
    }),
    inboundWebhookRotateSecret: t.field({
      type: InboundWebhookRotateSecretSuccess,
      description: 'Replaces the secret by a given or a generated one. The old one stops at once.',
      authScopes,
      args: {
        id,
        secret: t.arg.string({ description: '8 to 512 characters; generated where it is left out.' }),
      },
      errors: {
        types: [ValidationError, NotFoundError, ConflictError],
        union: { description: 'The new secret, or why the old one stays.' },
      },
      resolve: (_root, { id, secret }, context) =>
        context.services.inbound.webhooks.rotateSecret(tenantOf(context), webhookId(id), secret ?? null),
    }),
    inboundWebhookRotateForwardSecret: t.field({
      type: InboundWebhookUpdateResult,
      description: 'Replaces what forwards are signed with. The old one stops at once, or signs beside it for a while.',
      authScopes,
      args: {
        id,
        overlapSeconds: t.arg.int({
          defaultValue: 0,
          description: 'How long both secrets sign: 0 to 604,800 s, which is 7 days.',
        }),
      },
      resolve: (_root, { id, overlapSeconds }, context) =>
        context.services.inbound.webhooks.rotateForwardSecret(tenantOf(context), webhookId(id), overlapSeconds ?? 0),
    }),
    inboundWebhookCaptureSample: t.field({
      type: InboundWebhookUpdateResult,
      description: 'The body of the next verified request becomes the sample.',
      authScopes,
      args: { id },
      resolve: async (_root, { id }, context) =>
        onlyChanged(await context.services.inbound.webhooks.captureSample(tenantOf(context), webhookId(id))),
    }),
    inboundWebhookClearSample: t.field({
      type: InboundWebhookUpdateResult,
      description: 'Forgets the sample, and waits for none.',
      authScopes,
      args: { id },
      resolve: async (_root, { id }, context) =>
        onlyChanged(await context.services.inbound.webhooks.clearSample(tenantOf(context), webhookId(id))),
    }),
    inboundWebhookTest: t.field({
      type: InboundWebhookTestSuccess,
      description:
        'Handles a made-up request by the present settings, and waits up to 10 s for the outcome: no verification, no limit, no duplicates, no sample. It really runs the handler and forwards, on paused webhooks too.',
      authScopes,
      args: {
        id,
        body: t.arg({ type: 'JSON', required: true, description: 'The body of the request.' }),
        headers: t.arg({ type: 'JSON', description: 'An object of its headers.' }),
      },
      errors: {
        types: [ValidationError, NotFoundError],
        union: { description: 'The test, or why there was none.' },
      },
      resolve: async (_root, { id, body, headers }, context) => ({
        delivery: await context.services.inbound.reruns.test(
          tenantOf(context),
          callerOf(context).tenant.slug,
          webhookId(id),
          body,
          headers,
        ),
      }),
    }),
    inboundDeliveryReplay: t.field({
      type: InboundDeliveryReplaySuccess,
      description:
        'Handles once more what was received, by the present settings, and waits up to 10 s for the outcome.',
      authScopes: { scope: 'INBOUND_REPLAY' },
      args: { id: t.arg.id({ required: true, description: 'The inbound delivery, `idl_…`.' }) },
      errors: {
        types: [NotFoundError, ConflictError],
        union: { description: 'The replay, or why there was none.' },
      },
      resolve: async (_root, { id }, context) => {
        const uuid = decodeId('inboundDelivery', id);
        if (uuid === null) throw new NotFoundError('There is no such inbound delivery.');
        return { delivery: await context.services.inbound.reruns.replay(tenantOf(context), uuid) };
      },
    }),
  };
});

const onlyChanged = (inboundWebhook: ChangedInboundWebhook['inboundWebhook']): ChangedInboundWebhook => ({
  inboundWebhook,
  secret: null,
  forwardSigningSecret: null,
});

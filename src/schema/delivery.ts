import type {
  AttemptError,
  AttemptErrorCode,
  AttemptRecord,
  AttemptTrigger,
  DeliveryRecord,
  DeliveryStatus,
} from '../domain/deliveries/delivery.ts';
import { bodyFor } from '../domain/deliveries/envelope.ts';
import { countDeliveries, listDeliveries } from '../domain/deliveries/deliveryList.ts';
import type { DeliveryListFilter } from '../domain/deliveries/history.ts';
import { assertStorable } from '../domain/text.ts';
import { decodeId, encodeId } from '../platform/ids.ts';
import { builder, tenantOf } from './builder.ts';
import { inboundLoaders } from './inboundLoaders.ts';
import type { Context } from './builder.ts';
import { forwardArgs, idConnection, idCursor, pageCost, pageRequest } from './connection.ts';
import type { PageArgs } from './connection.ts';
import { TimeRangeInput } from './time.ts';
import { WebhookType } from './webhook.ts';

export const DeliveryStatusType = builder.enumType('DeliveryStatus', {
  description: 'How far a delivery is.',
  values: {
    PENDING: { description: 'It waits for its first attempt.' },
    RETRYING: { description: 'An attempt failed; it waits for the next one.' },
    DELIVERED: { description: 'The receiver took it.' },
    ABANDONED: { description: 'Every attempt failed, or it became too old.' },
    HELD: { description: 'Its webhook is paused.' },
    CANCELLED: { description: 'It was given up, because its webhook was disabled or deleted, or by request.' },
    FILTERED: { description: 'The condition of its webhook left it out.' },
  } satisfies Record<DeliveryStatus, { description: string }>,
});

const AttemptTriggerType = builder.enumType('AttemptTrigger', {
  description: 'Why an attempt was made.',
  values: {
    INITIAL: { description: 'It is the first.' },
    RETRY: { description: 'The one before failed.' },
    MANUAL: { description: 'Somebody asked for this delivery again.' },
    BULK: { description: 'Somebody asked for many again.' },
    RESUME: { description: 'The webhook was paused before.' },
    TEST: { description: 'It is a test.' },
  } satisfies Record<AttemptTrigger, { description: string }>,
});

const AttemptErrorCodeType = builder.enumType('AttemptErrorCode', {
  description: 'What went wrong with an attempt.',
  values: {
    HTTP_STATUS: { description: 'The status was none of 2xx.' },
    REDIRECT: { description: 'The receiver redirected; redirects are not followed.' },
    TIMEOUT: { description: 'There was no whole answer in time.' },
    DNS: { description: 'The host name could not be resolved.' },
    CONNECTION_REFUSED: { description: 'Nothing listens there.' },
    CONNECTION_RESET: { description: 'The connection broke.' },
    TLS: { description: 'The certificate or the handshake failed.' },
    BLOCKED_ADDRESS: { description: 'The address is not a public one.' },
    RESPONSE_TOO_LARGE: { description: 'The answer was larger than is read.' },
    CONDITION_FAILED: { description: 'The condition of the webhook could not be evaluated.' },
    UNKNOWN: { description: 'Anything else; see the message.' },
  } satisfies Record<AttemptErrorCode, { description: string }>,
});

export const AttemptErrorType = builder.objectRef<AttemptError>('AttemptError').implement({
  description: 'Why an attempt failed.',
  fields: (t) => ({
    code: t.expose('code', { type: AttemptErrorCodeType, description: 'For programs.' }),
    message: t.exposeString('message', { description: 'For people.' }),
  }),
});

export const DeliveryType = builder.objectRef<DeliveryRecord>('Delivery');
export const AttemptType = builder.objectRef<AttemptRecord>('Attempt');

AttemptType.implement({
  description: 'One request of a delivery, and the answer to it.',
  interfaces: [builder.nodeInterfaceRef()],
  fields: (t) => ({
    id: t.id({ description: 'TypeID, `att_…`.', resolve: ({ id }) => encodeId('attempt', id) }),
    delivery: t.field({
      type: DeliveryType,
      description: 'The delivery that it belongs to.',
      resolve: async ({ deliveryId }, _args, { loaders }) => (await loaders.delivery.load(deliveryId))!,
    }),
    number: t.exposeInt('number', { description: 'Which attempt of the delivery it is, from 1.' }),
    trigger: t.expose('trigger', { type: AttemptTriggerType, description: 'Why it was made.' }),
    startedAt: t.expose('startedAt', { type: 'DateTime', description: 'When it began.' }),
    durationMs: t.exposeInt('durationMs', { description: 'How long it took, in milliseconds.' }),
    requestHeaders: t.expose('requestHeaders', {
      type: 'JSON',
      description: 'The headers as sent; secret values are `***`.',
    }),
    responseStatus: t.exposeInt('responseStatus', {
      nullable: true,
      description: 'The HTTP status; null where there was no answer.',
    }),
    responseHeaders: t.expose('responseHeaders', {
      type: 'JSON',
      nullable: true,
      description: 'The headers of the answer; null where there was none.',
    }),
    responseBody: t.exposeString('responseBody', {
      nullable: true,
      description: 'The first 8 KiB of the answer, read as UTF-8; null where there was none.',
    }),
    responseTruncated: t.exposeBoolean('responseTruncated', {
      description: 'Whether the answer was longer than that.',
    }),
    error: t.expose('error', {
      type: AttemptErrorType,
      nullable: true,
      description: 'Why it failed; null on success.',
    }),
  }),
});

DeliveryType.implement({
  description: 'One event on its way to one webhook.',
  interfaces: [builder.nodeInterfaceRef()],
  fields: (t) => ({
    id: t.id({ description: 'TypeID, `dlv_…`.', resolve: ({ id }) => encodeId('delivery', id) }),
    webhook: t.field({
      type: WebhookType,
      nullable: true,
      description: 'Where it goes; null where the webhook was deleted.',
      authScopes: { scope: 'WEBHOOKS_READ' },
      resolve: ({ webhookId }, _args, { loaders }) => loaders.webhook.load(webhookId),
    }),
    eventType: t.exposeString('eventType', { description: 'The type of its event.' }),
    status: t.expose('status', { type: DeliveryStatusType, description: 'How far it is.' }),
    isTest: t.exposeBoolean('isTest', { description: 'Whether it is a test.' }),
    attemptCount: t.exposeInt('attemptCount', { description: 'Attempts made so far.' }),
    nextAttemptAt: t.expose('nextAttemptAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When the next attempt is due; null where none is, or nobody knows when.',
    }),
    responseStatus: t.exposeInt('responseStatus', {
      nullable: true,
      description: 'The HTTP status that the last attempt got.',
    }),
    durationMs: t.exposeInt('durationMs', {
      nullable: true,
      description: 'How long the last attempt took, in milliseconds.',
    }),
    error: t.expose('error', {
      type: AttemptErrorType,
      nullable: true,
      description: 'Why the last attempt failed; null where it did not.',
    }),
    requestBody: t.string({
      nullable: true,
      description: 'The body, byte for byte as it is signed and sent; null where its event is not kept any more.',
      resolve: async ({ eventId, isForward, payloadFields }, _args, context) => {
        if (isForward) return (await inboundLoaders(context).body.load(eventId))?.toString() ?? null;
        const event = await context.loaders.event.load(eventId);
        return event === null ? null : bodyFor(event.body, payloadFields);
      },
    }),
    attempts: t.field({
      type: [AttemptType],
      description: 'Every attempt, the first one first.',
      complexity: { field: 1, multiplier: 10 },
      resolve: (delivery, _args, { loaders }) => loaders.attempts.load(delivery),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was queued.' }),
    completedAt: t.expose('completedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it ended; null while it is open.',
    }),
  }),
});

export const DeliveryConnection = builder.connectionObject(
  { type: DeliveryType, name: 'DeliveryConnection', description: 'A page of deliveries.' },
  { name: 'DeliveryEdge', description: 'A delivery in its list.' },
);

export const DeliveryFilter = builder.inputType('DeliveryFilter', {
  description: 'Which deliveries a list has: those that fit everything that is given.',
  fields: (t) => ({
    webhookId: t.id({ description: 'Of this webhook, deleted ones too.' }),
    inboundWebhookId: t.id({ description: 'That forward what this inbound webhook received.' }),
    eventId: t.id({ description: 'Of this event.' }),
    status: t.field({ type: [DeliveryStatusType], description: 'With one of these statuses.' }),
    eventTypes: t.stringList({ description: 'Of one of these event types; wildcards such as `ticket.*` work.' }),
    isTest: t.boolean({ description: 'Tests only, or real ones only.' }),
    responseStatus: t.int({ description: 'Whose last attempt got this HTTP status.' }),
    range: t.field({ type: TimeRangeInput, description: 'Of events published in this time.' }),
  }),
});

/** Null where the filter names something that cannot exist: then nothing matches. */
export const listFilter = (filter: typeof DeliveryFilter.$inferInput): DeliveryListFilter | null => {
  const outboundId = filter.webhookId == null ? undefined : decodeId('webhook', filter.webhookId);
  const inboundId = filter.inboundWebhookId == null ? undefined : decodeId('inboundWebhook', filter.inboundWebhookId);
  // No delivery is of both.
  const webhookId =
    outboundId !== undefined && inboundId !== undefined ? null : outboundId === undefined ? inboundId : outboundId;
  const eventId = filter.eventId == null ? undefined : decodeId('event', filter.eventId);
  if (webhookId === null || eventId === null) return null;
  assertStorable(filter.eventTypes ?? [], ['filter', 'eventTypes']);
  return {
    webhookId,
    eventId,
    status: filter.status ?? undefined,
    eventTypes: filter.eventTypes ?? undefined,
    isTest: filter.isTest ?? undefined,
    responseStatus: filter.responseStatus ?? undefined,
    from: filter.range?.from ?? undefined,
    to: filter.range?.to ?? undefined,
  };
};

/** A page of deliveries, newest first. `within` narrows to what the page belongs to, and no filter widens it. */
export const deliveriesOf = async (
  context: Context,
  args: PageArgs & { readonly filter?: typeof DeliveryFilter.$inferInput | null | undefined },
  within: { readonly webhookId?: string; readonly eventId?: string } = {},
) => {
  const request = pageRequest(args, idCursor('delivery'));
  const asked = listFilter(args.filter ?? {});
  const contradicts =
    asked === null ||
    (within.webhookId !== undefined && (asked.webhookId ?? within.webhookId) !== within.webhookId) ||
    (within.eventId !== undefined && (asked.eventId ?? within.eventId) !== within.eventId);
  if (contradicts) return idConnection('delivery', { items: [], hasMore: false }, request, async () => 0);
  const filter = { ...asked, ...within };
  const { sql } = context.services;
  const tenantId = tenantOf(context);
  const page = await listDeliveries(sql, tenantId, filter, { first: request.limit, after: request.from });
  return idConnection('delivery', { items: page.deliveries, hasMore: page.hasMore }, request, () =>
    countDeliveries(sql, tenantId, filter),
  );
};

builder.queryFields((t) => ({
  delivery: t.field({
    type: DeliveryType,
    nullable: true,
    description: 'One delivery; null for one that this tenant does not have, or that is not kept any more.',
    authScopes: { scope: 'DELIVERIES_READ' },
    args: { id: t.arg.id({ required: true, description: 'The delivery, `dlv_…`.' }) },
    resolve: (_root, { id }, { loaders }) => {
      const uuid = decodeId('delivery', id);
      return uuid === null ? null : loaders.delivery.load(uuid);
    },
  }),
  deliveries: t.field({
    type: DeliveryConnection,
    description: 'The deliveries of the tenant, real and test, newest first.',
    authScopes: { scope: 'DELIVERIES_READ' },
    args: { ...forwardArgs, filter: t.arg({ type: DeliveryFilter, description: 'Which of them.' }) },
    complexity: pageCost,
    resolve: (_root, args, context) => deliveriesOf(context, args),
  }),
}));

builder.objectFields(WebhookType, (t) => ({
  deliveries: t.field({
    type: DeliveryConnection,
    description: 'What was sent there, or is on its way, newest first.',
    authScopes: { scope: 'DELIVERIES_READ' },
    args: { ...forwardArgs, filter: t.arg({ type: DeliveryFilter, description: 'Which of them.' }) },
    complexity: pageCost,
    resolve: ({ id }, args, context) => deliveriesOf(context, args, { webhookId: id }),
  }),
}));

import type { DispatchStatus, InboundDeliveryRecord } from '../domain/inbound/inboundDelivery.ts';
import { countInboundDeliveries, listInboundDeliveries } from '../domain/inbound/inboundHistory.ts';
import type { InboundListFilter } from '../domain/inbound/inboundHistory.ts';
import { parseBody } from '../domain/inbound/verification/body.ts';
import type { AuthStatus } from '../domain/inbound/verification/verification.ts';
import { assertStorable } from '../domain/text.ts';
import { decodeId, encodeId } from '../platform/ids.ts';
import { builder, tenantOf } from './builder.ts';
import type { Context } from './builder.ts';
import { forwardArgs, idConnection, idCursor, pageCost, pageRequest } from './connection.ts';
import type { PageArgs } from './connection.ts';
import { inboundLoaders } from './inboundLoaders.ts';
import { InboundWebhookType } from './inboundWebhook.ts';
import { addNodeKind } from './node.ts';
import { TimeRangeInput } from './time.ts';

export const AuthStatusType = builder.enumType('AuthStatus', {
  description: 'How the verification of a request ended.',
  values: {
    NOT_CHECKED: { description: 'Nothing was verified: a test, an unsigned handshake, or refused before.' },
    VERIFIED: { description: 'It is its sender’s.' },
    REJECTED_SIGNATURE: { description: 'The signature is not one of this request with this secret.' },
    REJECTED_TIMESTAMP: { description: 'The signature is genuine, and its time outside of the window.' },
    REJECTED_TOKEN: { description: 'The token, key or password is another one.' },
    REJECTED_IP: { description: 'It came from an address that is not allowed.' },
    REJECTED_NO_AUTH: { description: 'There was no signature or credential at all.' },
  } satisfies Record<AuthStatus, { description: string }>,
});

export const DispatchStatusType = builder.enumType('DispatchStatus', {
  description: 'What became of a request.',
  values: {
    PENDING: { description: 'It is kept, and waits for its handler or its forward.' },
    DISPATCHED: { description: 'It was handled, or asked for nothing but to be kept.' },
    DUPLICATE: { description: 'An earlier request had the same key: nothing was done.' },
    IGNORED: { description: 'Its type is not among those let through, or it goes round in circles.' },
    FAILED: { description: 'Its handler refused it for good, or nothing helped in time.' },
    REJECTED: { description: 'It was refused.' },
    RATE_LIMITED: { description: 'It was refused because there were too many.' },
    HANDSHAKE: { description: 'It was no event: the sender asked whether the address is right.' },
  } satisfies Record<DispatchStatus, { description: string }>,
});

export const InboundDeliveryType = builder.objectRef<InboundDeliveryRecord>('InboundDelivery');

InboundDeliveryType.implement({
  description: 'One request to an inbound webhook, and what became of it.',
  interfaces: [builder.nodeInterfaceRef()],
  fields: (t) => ({
    id: t.id({ description: 'TypeID, `idl_…`.', resolve: ({ id }) => encodeId('inboundDelivery', id) }),
    inboundWebhook: t.field({
      type: InboundWebhookType,
      nullable: true,
      description: 'Who received it; null where that was deleted.',
      resolve: ({ webhookId }, _args, context) => inboundLoaders(context).webhook.load(webhookId),
    }),
    receivedAt: t.expose('receivedAt', { type: 'DateTime', description: 'When it came.' }),
    eventType: t.exposeString('eventType', {
      nullable: true,
      description: 'The type of its event; null where it told none, and where it was refused.',
    }),
    authStatus: t.expose('authStatus', { type: AuthStatusType, description: 'How its verification ended.' }),
    dispatchStatus: t.expose('dispatchStatus', { type: DispatchStatusType, description: 'What became of it.' }),
    idempotencyKey: t.exposeString('idempotencyKey', {
      nullable: true,
      description: 'The key that its repetitions share, at most its first 255 characters; null where it had none.',
    }),
    duplicateOf: t.field({
      type: InboundDeliveryType,
      nullable: true,
      description: 'The first request with the same key; null where this is no duplicate, or it is not kept any more.',
      resolve: ({ duplicateOf }, _args, context) =>
        duplicateOf === null ? null : inboundLoaders(context).delivery.load(duplicateOf),
    }),
    requestMethod: t.exposeString('method', { description: 'Its HTTP method.' }),
    requestPath: t.exposeString('path', { description: 'Its path and query; credentials are `***`.' }),
    requestHeaders: t.expose('headers', { type: 'JSON', description: 'Its headers; credentials are `***`.' }),
    requestBody: t.field({
      type: 'JSON',
      nullable: true,
      description: 'Its body, of a form the object of its fields; null unless it was verified.',
      complexity: 5,
      resolve: async ({ id, contentType, hasBody }, _args, context) => {
        const body = hasBody ? await inboundLoaders(context).body.load(id) : null;
        const parsed = body && parseBody(contentType, body);
        return parsed?.ok ? parsed.value : null;
      },
    }),
    sourceIp: t.exposeString('sourceIp', {
      nullable: true,
      description: 'The address of its client; null where there was none.',
    }),
    responseStatus: t.exposeInt('responseStatus', { description: 'The HTTP status that it was answered with.' }),
    durationMs: t.exposeInt('durationMs', {
      description: 'How long it took until it was judged, in milliseconds; keeping it is not in this.',
    }),
    handlerOutcome: t.field({
      type: 'JSON',
      nullable: true,
      description: 'What the handler did: action, entity, error. Null until it ran.',
      resolve: ({ handlerOutcome }) => handlerOutcome,
    }),
    attemptCount: t.exposeInt('attemptCount', { description: 'How often its handler was tried.' }),
    isTest: t.exposeBoolean('isTest', { description: 'Whether it is a test.' }),
    isReplay: t.exposeBoolean('isReplay', { description: 'Whether it is an earlier request that was handled again.' }),
    replayedFrom: t.field({
      type: InboundDeliveryType,
      nullable: true,
      description: 'That earlier request; null where this is no replay, or it is not kept any more.',
      resolve: ({ replayedFrom }, _args, context) =>
        replayedFrom === null ? null : inboundLoaders(context).delivery.load(replayedFrom),
    }),
  }),
});

const InboundDeliveryConnection = builder.connectionObject(
  { type: InboundDeliveryType, name: 'InboundDeliveryConnection', description: 'A page of inbound deliveries.' },
  { name: 'InboundDeliveryEdge', description: 'An inbound delivery in its list.' },
);

const InboundDeliveryFilter = builder.inputType('InboundDeliveryFilter', {
  description: 'Which inbound deliveries a list has: those that fit everything that is given.',
  fields: (t) => ({
    inboundWebhookId: t.id({ description: 'Of this inbound webhook, deleted ones too.' }),
    authStatus: t.field({ type: [AuthStatusType], description: 'Whose verification ended in one of these ways.' }),
    dispatchStatus: t.field({ type: [DispatchStatusType], description: 'Of which one of these became.' }),
    eventTypes: t.stringList({ description: 'Of one of these event types; wildcards such as `ticket.*` work.' }),
    isTest: t.boolean({ description: 'Tests only, or real ones only.' }),
    isReplay: t.boolean({ description: 'Replays only, or first ones only.' }),
    range: t.field({ type: TimeRangeInput, description: 'Received in this time.' }),
  }),
});

/** Null where the filter names a webhook that cannot exist: then nothing matches. */
const listFilter = (filter: typeof InboundDeliveryFilter.$inferInput): InboundListFilter | null => {
  const webhookId = filter.inboundWebhookId == null ? undefined : decodeId('inboundWebhook', filter.inboundWebhookId);
  if (webhookId === null) return null;
  assertStorable(filter.eventTypes ?? [], ['filter', 'eventTypes']);
  return {
    webhookId,
    authStatus: filter.authStatus ?? undefined,
    dispatchStatus: filter.dispatchStatus ?? undefined,
    eventTypes: filter.eventTypes ?? undefined,
    isTest: filter.isTest ?? undefined,
    isReplay: filter.isReplay ?? undefined,
    from: filter.range?.from ?? undefined,
    to: filter.range?.to ?? undefined,
  };
};

/** A page of inbound deliveries, newest first, of one webhook alone where it is given: no filter widens that. */
const deliveriesOf = async (
  context: Context,
  args: PageArgs & { readonly filter?: typeof InboundDeliveryFilter.$inferInput | null | undefined },
  webhookId?: string,
) => {
  const request = pageRequest(args, idCursor('inboundDelivery'));
  const asked = listFilter(args.filter ?? {});
  if (asked === null || (webhookId !== undefined && (asked.webhookId ?? webhookId) !== webhookId)) {
    return idConnection<InboundDeliveryRecord>(
      'inboundDelivery',
      { items: [], hasMore: false },
      request,
      async () => 0,
    );
  }
  const filter = webhookId === undefined ? asked : { ...asked, webhookId };
  const { sql } = context.services;
  const tenantId = tenantOf(context);
  await context.services.inbound.written();
  const page = await listInboundDeliveries(sql, tenantId, filter, { first: request.limit, after: request.from });
  return idConnection('inboundDelivery', { items: page.deliveries, hasMore: page.hasMore }, request, () =>
    countInboundDeliveries(sql, tenantId, filter),
  );
};

builder.queryFields((t) => ({
  inboundDelivery: t.field({
    type: InboundDeliveryType,
    nullable: true,
    description: 'One inbound delivery; null for one that this tenant does not have, or that is not kept any more.',
    authScopes: { scope: 'INBOUND_READ' },
    args: { id: t.arg.id({ required: true, description: 'The inbound delivery, `idl_…`.' }) },
    resolve: (_root, { id }, context) => {
      const uuid = decodeId('inboundDelivery', id);
      return uuid === null ? null : inboundLoaders(context).delivery.load(uuid);
    },
  }),
  inboundDeliveries: t.field({
    type: InboundDeliveryConnection,
    description: 'What the tenant’s inbound webhooks received, real, test and refused, newest first.',
    authScopes: { scope: 'INBOUND_READ' },
    args: { ...forwardArgs, filter: t.arg({ type: InboundDeliveryFilter, description: 'Which of it.' }) },
    complexity: pageCost,
    resolve: (_root, args, context) => deliveriesOf(context, args),
  }),
}));

builder.objectFields(InboundWebhookType, (t) => ({
  deliveries: t.field({
    type: InboundDeliveryConnection,
    description: 'What it received, newest first.',
    args: { ...forwardArgs, filter: t.arg({ type: InboundDeliveryFilter, description: 'Which of it.' }) },
    complexity: pageCost,
    resolve: ({ id }, args, context) => deliveriesOf(context, args, id),
  }),
}));

addNodeKind('inboundDelivery', {
  scope: 'INBOUND_READ',
  type: InboundDeliveryType,
  find: (context, id) => inboundLoaders(context).delivery.load(id),
});

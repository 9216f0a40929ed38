import { secretForm } from '../domain/inbound/verification/secretForm.ts';
import type { AuthSettings, InboundAuthType } from '../domain/inbound/verification/authType.ts';
import { settingsOf } from '../domain/inbound/inboundSecrets.ts';
import type { InboundHandlerType, InboundWebhook } from '../domain/inbound/inboundWebhook.ts';
import { REFUSAL_CAUSES } from '../domain/inbound/tally.ts';
import type { RefusalCause } from '../domain/inbound/tally.ts';
import type { ValueSource, ValueSourceType } from '../domain/inbound/valueSource.ts';
import { decodeId, encodeId } from '../platform/ids.ts';
import { builder, callerOf, tenantOf } from './builder.ts';
import type { Context } from './builder.ts';
import { forwardArgs, idConnection, idCursor, pageCost, pageRequest } from './connection.ts';
import { DeliveryConnection, deliveriesOf } from './delivery.ts';
import { inboundLoaders } from './inboundLoaders.ts';
import { addNodeKind } from './node.ts';
import { WebhookStatusType } from './webhook.ts';

export const InboundAuthTypeEnum = builder.enumType('InboundAuthType', {
  description: 'What proves that a request is its sender’s.',
  values: {
    HMAC: { description: 'A signature with a shared key.' },
    STANDARD_WEBHOOKS: { description: 'A signature as Standard Webhooks and Svix make it.' },
    ASYMMETRIC: { description: 'A signature with the sender’s private key.' },
    BEARER: { description: 'A token in `Authorization: Bearer`.' },
    BASIC: { description: 'A user name and password in `Authorization: Basic`.' },
    API_KEY: { description: 'A key in a header.' },
    QUERY_TOKEN: { description: 'A token in the address.' },
    IP_ALLOWLIST: { description: 'The address that the request comes from, and nothing else.' },
  } satisfies Record<InboundAuthType, { description: string }>,
});

const ValueSourceTypeEnum = builder.enumType('ValueSourceType', {
  description: 'Where in a request a value stands.',
  values: {
    HEADER: { description: 'In a header.' },
    JSONATA: { description: 'In the body, where a JSONata expression finds it.' },
  } satisfies Record<ValueSourceType, { description: string }>,
});

export const ValueSourceObject = builder.objectRef<ValueSource>('ValueSource').implement({
  description: 'Where a value stands in a request.',
  fields: (t) => ({
    type: t.expose('type', { type: ValueSourceTypeEnum, description: 'In which part of it.' }),
    value: t.exposeString('value', { description: 'The name of the header, or the expression on the body.' }),
  }),
});

export const ValueSourceInput = builder.inputType('ValueSourceInput', {
  description: 'Where a value stands in a request.',
  fields: (t) => ({
    type: t.field({ type: ValueSourceTypeEnum, required: true, description: 'In which part of it.' }),
    value: t.string({ required: true, description: 'The name of a header, or a JSONata expression on the body.' }),
  }),
});

export const InboundHandlerTypeEnum = builder.enumType('InboundHandlerType', {
  description: 'What becomes of a request that is let through.',
  values: {
    DIRECT_ACTION: { description: 'One action runs, with values mapped from the body.' },
    WORKFLOW: { description: 'A workflow runs.' },
    RECORD: { description: 'It is kept, and nothing else.' },
  } satisfies Record<InboundHandlerType, { description: string }>,
});

const InboundAuth = builder.objectRef<AuthSettings>('InboundAuth').implement({
  description: 'How requests are verified, without any secret.',
  fields: (t) => ({
    type: t.expose('type', { type: InboundAuthTypeEnum, description: 'By what.' }),
    preset: t.exposeString('preset', { nullable: true, description: 'The preset it was made from; null for none.' }),
    config: t.expose('config', { type: 'JSON', description: 'Its settings, complete, with every default.' }),
    hasSecret: t.boolean({
      description: 'Whether there is a secret, which can be rotated.',
      resolve: ({ type }) => secretForm(type) !== 'none',
    }),
  }),
});

export const InboundHandlerObject = builder.objectRef<InboundWebhook>('InboundHandler').implement({
  description: 'What becomes of a request that is let through.',
  fields: (t) => ({
    type: t.field({
      type: InboundHandlerTypeEnum,
      description: 'Which kind of handler.',
      resolve: ({ handlerType }) => handlerType,
    }),
    action: t.string({
      nullable: true,
      description: 'The action that runs; null on other kinds.',
      resolve: ({ handlerAction }) => handlerAction ?? null,
    }),
    fieldMapping: t.field({
      type: 'JSON',
      nullable: true,
      description: 'Target field to JSONata on the body; null on other kinds.',
      resolve: ({ handlerFieldMapping }) => handlerFieldMapping ?? null,
    }),
  }),
});

const RefusalCauseEnum = builder.enumType('InboundRefusalCause', {
  description: 'Why a request was refused.',
  values: {
    UNAUTHORIZED: { value: 'unauthorized', description: 'It could not prove to be its sender’s (401).' },
    INACTIVE: { value: 'inactive', description: 'The inbound webhook was paused or disabled (401).' },
    RATE_LIMITED: { value: 'rate_limited', description: 'There were too many (429).' },
    INVALID_BODY: { value: 'invalid_body', description: 'The body was no JSON (400).' },
    TOO_LARGE: { value: 'too_large', description: 'The body was too large (413).' },
    UNSUPPORTED: { value: 'unsupported', description: 'The body was multipart or encoded (415).' },
    METHOD: {
      value: 'method',
      description: 'Its method was another than POST, PUT or PATCH, and it was no handshake (405).',
    },
  } satisfies Record<Uppercase<RefusalCause>, { value: RefusalCause; description: string }>,
});

const InboundRefusals = builder.objectRef<{ cause: RefusalCause; count: number }>('InboundRefusals').implement({
  description:
    'Requests that were refused for one cause. All are counted; of each cause the first 20 a minute are recorded.',
  fields: (t) => ({
    cause: t.expose('cause', { type: RefusalCauseEnum, description: 'Why.' }),
    count: t.exposeInt('count', { description: 'How many.' }),
  }),
});

/** Both addresses of its receiver, as the caller reaches this server. */
export const receiverUrls = ({ id, slug }: InboundWebhook, context: Context) => ({
  slugUrl: `${context.origin}/api/inbound/${callerOf(context).tenant.slug}/${slug}`,
  receiveUrl: `${context.origin}/api/v1/webhooks/receive/${encodeId('inboundWebhook', id)}`,
});

export const InboundWebhookType = builder.objectRef<InboundWebhook>('InboundWebhook').implement({
  description: 'An address that others post to: whom it believes, and what comes of what they say.',
  interfaces: [builder.nodeInterfaceRef()],
  fields: (t) => ({
    id: t.id({ description: 'TypeID, `iwh_…`.', resolve: ({ id }) => encodeId('inboundWebhook', id) }),
    name: t.exposeString('name', { description: 'Its name for people; need not be unique.' }),
    slug: t.exposeString('slug', { description: 'Its name in the address, unique in the tenant.' }),
    description: t.exposeString('description', { nullable: true, description: 'What it is for.' }),
    source: t.exposeString('source', { description: 'Who sends, in a word; `custom` where nobody said.' }),
    status: t.expose('status', { type: WebhookStatusType, description: 'Only an ACTIVE one receives.' }),
    isActive: t.boolean({
      description: 'True while the status is ACTIVE.',
      resolve: ({ status }) => status === 'ACTIVE',
    }),
    slugUrl: t.field({
      type: 'URL',
      description: 'Where the sender posts: the address by the slugs of tenant and webhook.',
      resolve: (webhook, _args, context) => receiverUrls(webhook, context).slugUrl,
    }),
    receiveUrl: t.field({
      type: 'URL',
      description: 'The same receiver by its id, for when slugs may change.',
      resolve: (webhook, _args, context) => receiverUrls(webhook, context).receiveUrl,
    }),
    auth: t.field({ type: InboundAuth, description: 'How requests are verified.', resolve: settingsOf }),
    events: t.stringList({
      description: 'Event types that are let through, in lower case; wildcards such as `order.*` work; empty: all.',
      resolve: ({ events }) => events,
    }),
    eventTypeSource: t.field({
      type: ValueSourceObject,
      nullable: true,
      description:
        'Where the event type stands in a request; null: the first text of `type`, `event`, `event_type` in the body.',
      resolve: ({ eventTypeSource }) => eventTypeSource ?? null,
    }),
    idempotencySource: t.field({
      type: ValueSourceObject,
      nullable: true,
      description: 'Where the key stands that repetitions share; null: no request is a duplicate of another.',
      resolve: ({ idempotencySource }) => idempotencySource ?? null,
    }),
    idempotencyWindowSeconds: t.exposeInt('idempotencyWindowSeconds', {
      description: 'How long a key is remembered, from its first request on.',
    }),
    handler: t.field({
      type: InboundHandlerObject,
      description: 'What becomes of a request that is let through.',
      resolve: (webhook) => webhook,
    }),
    url: t.expose('url', { type: 'URL', nullable: true, description: 'Where requests are also forwarded to, signed.' }),
    rateLimitPerMinute: t.exposeInt('rateLimitPerMinute', {
      description: 'Verified requests a minute; what is beyond is answered 429.',
    }),
    samplePayload: t.field({
      type: 'JSON',
      nullable: true,
      description: 'The body of a captured request, to try mappings on; null where there is none.',
      complexity: 5,
      resolve: async ({ id }, _args, context) => {
        const sample = await inboundLoaders(context).sample.load(id);
        return sample === null ? null : (JSON.parse(sample) as unknown);
      },
    }),
    sampleCaptureArmed: t.exposeBoolean('sampleArmed', {
      description: 'Whether the next verified request becomes the sample.',
    }),
    deliveryCount: t.int({
      description: 'Verified requests so far; those to other processes as of about a second ago.',
      resolve: async ({ id }, _args, context) => (await inboundLoaders(context).counts.load(id))?.deliveries ?? 0,
    }),
    lastDeliveryAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'The last of them; null before the first.',
      resolve: async ({ id }, _args, context) =>
        (await inboundLoaders(context).counts.load(id))?.lastDeliveryAt ?? null,
    }),
    refusals: t.field({
      type: [InboundRefusals],
      description: 'How many requests were refused so far, by cause; by other processes as of about a second ago.',
      complexity: { field: 1, multiplier: REFUSAL_CAUSES.length },
      resolve: async ({ id }, _args, context) => {
        const counts = await inboundLoaders(context).counts.load(id);
        return REFUSAL_CAUSES.map((cause) => ({ cause, count: counts?.refusals[cause] ?? 0 }));
      },
    }),
    forwards: t.field({
      type: DeliveryConnection,
      description: 'What was forwarded to `url`, or is on its way, newest first.',
      authScopes: { scope: 'DELIVERIES_READ' },
      args: forwardArgs,
      complexity: pageCost,
      resolve: ({ id }, args, context) => deliveriesOf(context, args, { webhookId: id }),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
    updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'When its settings last changed.' }),
  }),
});

const InboundWebhookConnection = builder.connectionObject(
  { type: InboundWebhookType, name: 'InboundWebhookConnection', description: 'A page of inbound webhooks.' },
  { name: 'InboundWebhookEdge', description: 'An inbound webhook in its list.' },
);

const InboundWebhookFilter = builder.inputType('InboundWebhookFilter', {
  description: 'Which inbound webhooks a list has: those that fit everything that is given.',
  fields: (t) => ({
    status: t.field({ type: [WebhookStatusType], description: 'With one of these statuses.' }),
    source: t.string({ description: 'Of exactly this source.' }),
    search: t.string({ description: 'With this text in name, slug or description, in any case.' }),
  }),
});

builder.queryFields((t) => ({
  inboundWebhook: t.field({
    type: InboundWebhookType,
    nullable: true,
    description: 'One inbound webhook; null for one that this tenant does not have.',
    authScopes: { scope: 'INBOUND_READ' },
    args: { id: t.arg.id({ required: true, description: 'The inbound webhook, `iwh_…`.' }) },
    resolve: (_root, { id }, context) => {
      const uuid = decodeId('inboundWebhook', id);
      return uuid === null ? null : inboundLoaders(context).webhook.load(uuid);
    },
  }),
  inboundWebhooks: t.field({
    type: InboundWebhookConnection,
    description: 'The inbound webhooks of the tenant, newest first.',
    authScopes: { scope: 'INBOUND_READ' },
    args: { ...forwardArgs, filter: t.arg({ type: InboundWebhookFilter, description: 'Which of them.' }) },
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const { list } = context.services.inbound;
      const tenantId = tenantOf(context);
      const filter = args.filter ?? {};
      const request = pageRequest(args, idCursor('inboundWebhook'));
      const page = await list.list(tenantId, filter, request);
      return idConnection('inboundWebhook', page, request, () => list.count(tenantId, filter));
    },
  }),
}));

addNodeKind('inboundWebhook', {
  scope: 'INBOUND_READ',
  type: InboundWebhookType,
  find: (context, id) => inboundLoaders(context).webhook.load(id),
});

import { circuitState } from '../domain/deliveries/breaker.ts';
import type { CircuitState } from '../domain/deliveries/breaker.ts';
import type { Ordering, Webhook, WebhookStatus } from '../domain/webhooks/webhook.ts';
import type { HealthStatus } from '../domain/webhooks/webhookHealth.ts';
import { disablesAt } from '../domain/webhooks/failureStreak.ts';
import { healthStatus } from '../domain/webhooks/webhookHealth.ts';
import type { WebhookOrder, WebhookOrderField, WebhookPosition } from '../domain/webhooks/webhookList.ts';
import { decodeId, encodeId } from '../platform/ids.ts';
import { builder, tenantOf } from './builder.ts';
import { connectionOf, forwardArgs, pageCost, pageRequest } from './connection.ts';
import { OrderDirection } from './time.ts';

export const WebhookStatusType = builder.enumType('WebhookStatus', {
  description: 'Whether a webhook is sent to.',
  values: {
    ACTIVE: { description: 'It gets what it subscribes to.' },
    PAUSED: { description: 'What it subscribes to is held back until it is active again.' },
    DISABLED: { description: 'Nothing is queued for it, and what was open is cancelled.' },
  } satisfies Record<WebhookStatus, { description: string }>,
});

const HealthStatusType = builder.enumType('HealthStatus', {
  description: 'How a webhook fares.',
  values: {
    HEALTHY: { description: 'Its last real attempt succeeded, or there was none yet.' },
    FAILING: { description: 'Its last real attempt failed.' },
    DISABLED: { description: 'It is disabled, by hand or by itself.' },
  } satisfies Record<HealthStatus, { description: string }>,
});

const CircuitStateType = builder.enumType('CircuitState', {
  description: 'Whether a webhook that keeps failing is spared for a while. Waiting costs no attempts.',
  values: {
    CLOSED: { description: 'It is sent to.' },
    OPEN: { description: 'Ten attempts in a row failed: nothing is sent for 30 seconds.' },
    HALF_OPEN: { description: 'One delivery is tried; its success closes the circuit.' },
  } satisfies Record<CircuitState, { description: string }>,
});

export const OrderingType = builder.enumType('Ordering', {
  description: 'Whether deliveries of one webhook may overtake one another.',
  values: {
    NONE: { description: 'Several at once; one that is retried does not hold up the others.' },
    STRICT: { description: 'One at a time, each after the end of the one before, through all its retries.' },
  } satisfies Record<Ordering, { description: string }>,
});

const WebhookHealth = builder.objectRef<Webhook>('WebhookHealth').implement({
  description: 'What real deliveries of a webhook came to. Tests count for nothing here.',
  fields: (t) => ({
    status: t.field({
      type: HealthStatusType,
      description: 'All in one word.',
      resolve: async ({ id, status }, _args, { loaders }) => {
        const health = await loaders.health.load(id);
        return health === null ? 'HEALTHY' : healthStatus(status, health);
      },
    }),
    successRate: t.float({
      nullable: true,
      description: '0 to 1, of the deliveries of the last 24 hours that succeeded or failed so far; null without any.',
      resolve: ({ id }, _args, { loaders }) => loaders.successRate.load(id),
    }),
    consecutiveFailures: t.int({
      description: 'Failed attempts since the last success, or since it was enabled.',
      resolve: async ({ id }, _args, { loaders }) => (await loaders.health.load(id))?.consecutiveFailures ?? 0,
    }),
    failingSince: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'The first of these failures; null without any.',
      resolve: async ({ id }, _args, { loaders }) => (await loaders.health.load(id))?.failingSince ?? null,
    }),
    disablesAt: t.field({
      type: 'DateTime',
      nullable: true,
      description:
        'When it is disabled by itself unless a delivery succeeds before: 24 hours after `failingSince`, once failures are 12 hours apart. Null while nothing points there.',
      resolve: async ({ id, status }, _args, { loaders }) => {
        const health = status === 'ACTIVE' ? await loaders.health.load(id) : null;
        const at = health && disablesAt(health);
        return at === null ? null : new Date(at);
      },
    }),
    lastDeliveryAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'The last attempt, whatever came of it.',
      resolve: async ({ id }, _args, { loaders }) => (await loaders.health.load(id))?.lastDeliveryAt ?? null,
    }),
    lastSuccessAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'The last attempt that succeeded.',
      resolve: async ({ id }, _args, { loaders }) => (await loaders.health.load(id))?.lastSuccessAt ?? null,
    }),
    lastFailureAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'The last attempt that failed.',
      resolve: async ({ id }, _args, { loaders }) => (await loaders.health.load(id))?.lastFailureAt ?? null,
    }),
    circuit: t.field({
      type: CircuitStateType,
      description: 'Whether it is spared for a while.',
      resolve: async ({ id }, _args, { loaders }) =>
        circuitState((await loaders.health.load(id))?.circuitUntil?.getTime() ?? null, Date.now()),
    }),
    pendingCount: t.int({
      description:
        'Deliveries that wait for their first or next attempt, held ones too. Exact up to 10,000, which stands for more as well.',
      resolve: ({ id }, _args, { loaders }) => loaders.pending.load(id),
    }),
  }),
});

export const WebhookType = builder.objectRef<Webhook>('Webhook').implement({
  description: 'An endpoint that events are sent to.',
  interfaces: [builder.nodeInterfaceRef()],
  fields: (t) => ({
    id: t.id({ description: 'TypeID, `wh_…`.', resolve: ({ id }) => encodeId('webhook', id) }),
    name: t.exposeString('name', { description: 'Its name for people; need not be unique.' }),
    description: t.exposeString('description', { nullable: true, description: 'What it is for.' }),
    url: t.expose('url', { type: 'URL', description: 'Where events are posted to.' }),
    eventTypes: t.stringList({
      description: 'What it subscribes to: names, and wildcards such as `ticket.*`.',
      resolve: ({ eventTypes }) => eventTypes,
    }),
    status: t.expose('status', { type: WebhookStatusType, description: 'Whether it is sent to.' }),
    isActive: t.boolean({
      description: 'True while the status is ACTIVE.',
      resolve: ({ status }) => status === 'ACTIVE',
    }),
    verifySsl: t.exposeBoolean('verifySsl', { description: 'Whether its TLS certificate has to be valid.' }),
    entityIds: t.stringList({
      description: 'It gets only events about these entities; empty: about all.',
      resolve: ({ entityIds }) => entityIds,
    }),
    condition: t.exposeString('condition', {
      nullable: true,
      description:
        'JSONata on the envelope; the event is sent where it is truthy. Evaluated once, before the first attempt; null: every event is sent.',
    }),
    payloadFields: t.stringList({
      nullable: true,
      description: 'Top-level keys of `data` that it gets, besides the id of the entity; null: all.',
      resolve: ({ payloadFields }) => payloadFields,
    }),
    timeoutSeconds: t.exposeInt('timeoutSeconds', { description: 'How long one attempt may take, in all.' }),
    retrySchedule: t.intList({
      description: 'Seconds to wait after each failed attempt, before the next one.',
      resolve: ({ retrySchedule }) => retrySchedule,
    }),
    maxConcurrency: t.exposeInt('maxConcurrency', { description: 'Requests that may be under way at the same time.' }),
    rateLimitPerMinute: t.exposeInt('rateLimitPerMinute', {
      nullable: true,
      description: 'Requests per minute that it gets at most; null: no limit.',
    }),
    ordering: t.expose('ordering', { type: OrderingType, description: 'Whether its deliveries keep their order.' }),
    headerNames: t.stringList({
      description: 'Names of the static headers that every request carries. Their values are secrets.',
      resolve: ({ headerNames }) => headerNames,
    }),
    health: t.field({ type: WebhookHealth, description: 'How it fares.', resolve: (webhook) => webhook }),
    disabledAt: t.expose('disabledAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was disabled; null while it is not.',
    }),
    disabledReason: t.exposeString('disabledReason', {
      nullable: true,
      description: 'Why it was disabled; null while it is not.',
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
    updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'When its settings last changed.' }),
  }),
});

const WebhookConnection = builder.connectionObject(
  { type: WebhookType, name: 'WebhookConnection', description: 'A page of webhooks.' },
  { name: 'WebhookEdge', description: 'A webhook in its list.' },
);

const WebhookFilter = builder.inputType('WebhookFilter', {
  description: 'Which webhooks a list has: those that fit everything that is given.',
  fields: (t) => ({
    status: t.field({ type: [WebhookStatusType], description: 'With one of these statuses.' }),
    health: t.field({ type: [HealthStatusType], description: 'That fare like one of these.' }),
    eventType: t.string({ description: 'That get this event type, by its name or by a wildcard.' }),
    search: t.string({ description: 'With this text in name, URL or description, in any case.' }),
  }),
});

const WebhookOrderFieldType = builder.enumType('WebhookOrderField', {
  description: 'What webhooks can be ordered by.',
  values: {
    CREATED_AT: { description: 'When they were created.' },
    NAME: { description: 'Their names, whatever the case.' },
    LAST_DELIVERY_AT: { description: 'Their last real attempt; those without one are the earliest.' },
  } satisfies Record<WebhookOrderField, { description: string }>,
});

const WebhookOrderInput = builder.inputType('WebhookOrder', {
  description: 'How webhooks are ordered.',
  fields: (t) => ({
    field: t.field({ type: WebhookOrderFieldType, required: true, description: 'By what.' }),
    direction: t.field({ type: OrderDirection, required: true, description: 'Which way.' }),
  }),
});

const NEWEST_FIRST: WebhookOrder = { field: 'CREATED_AT', direction: 'DESC' };

/** A cursor says which order it belongs to: in another one its value would mean something else. */
const positionCursor = ({ field }: WebhookOrder, { value, id }: WebhookPosition): string =>
  field === 'CREATED_AT'
    ? encodeId('webhook', id)
    : Buffer.from(JSON.stringify([field, value, encodeId('webhook', id)])).toString('base64url');

const parsePosition = ({ field }: WebhookOrder, cursor: string): WebhookPosition | null => {
  if (field === 'CREATED_AT') {
    const id = decodeId('webhook', cursor);
    return id === null ? null : { value: '', id };
  }
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    return null; // no JSON, no cursor
  }
  if (!Array.isArray(parts) || parts.length !== 3 || !parts.every((part) => typeof part === 'string')) return null;
  const [of, value, idText] = parts as [string, string, string];
  const id = decodeId('webhook', idText);
  return of !== field || id === null || value.includes('\0') ? null : { value, id };
};

builder.queryFields((t) => ({
  webhook: t.field({
    type: WebhookType,
    nullable: true,
    description: 'One webhook; null for one that this tenant does not have.',
    authScopes: { scope: 'WEBHOOKS_READ' },
    args: { id: t.arg.id({ required: true, description: 'The webhook, `wh_…`.' }) },
    resolve: (_root, { id }, { loaders }) => {
      const uuid = decodeId('webhook', id);
      return uuid === null ? null : loaders.webhook.load(uuid);
    },
  }),
  webhooks: t.field({
    type: WebhookConnection,
    description: 'The webhooks of the tenant, newest first where no order is given.',
    authScopes: { scope: 'WEBHOOKS_READ' },
    args: {
      ...forwardArgs,
      last: t.arg.int({ description: 'How many items before `before`, or at the end of the list; at most 100.' }),
      before: t.arg.string({ description: 'The cursor of the item after the page.' }),
      filter: t.arg({ type: WebhookFilter, description: 'Which of them.' }),
      orderBy: t.arg({ type: WebhookOrderInput, description: 'In which order.' }),
    },
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const { webhookList } = context.services;
      const tenantId = tenantOf(context);
      const order = args.orderBy ?? NEWEST_FIRST;
      const filter = args.filter ?? {};
      const request = pageRequest(args, (cursor) => parsePosition(order, cursor));
      const page = await webhookList.list(tenantId, filter, order, request);
      return connectionOf(
        page,
        request,
        ({ webhook }) => webhook,
        ({ position }) => positionCursor(order, position),
        () => webhookList.count(tenantId, filter),
      );
    },
  }),
}));

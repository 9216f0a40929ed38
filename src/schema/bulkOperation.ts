import type { BulkOperation, BulkStatus } from '../domain/bulk/bulkOperation.ts';
import type { DeliveryListFilter } from '../domain/deliveries/history.ts';
import { ConflictError, NotFoundError, ValidationError } from '../domain/errors.ts';
import { decodeId, encodeId } from '../platform/ids.ts';
import { builder, tenantOf } from './builder.ts';
import { DeliveryFilter, listFilter } from './delivery.ts';

const SCOPE = { scope: 'DELIVERIES_RETRY' } as const;
/** Stands for an id that names nothing that can exist. */
const NOBODY = '00000000-0000-0000-0000-000000000000';

const BulkOperationStatusType = builder.enumType('BulkOperationStatus', {
  description: 'How far an operation on many deliveries is.',
  values: {
    RUNNING: { description: 'It counts, or works.' },
    COMPLETED: { description: 'Everything that it was about was processed.' },
    FAILED: { description: 'It could not go on; see `error`. What was done stays.' },
    CANCELLED: { description: 'It was called off. What was done stays.' },
  } satisfies Record<BulkStatus, { description: string }>,
});

export const BulkOperationType = builder.objectRef<BulkOperation>('BulkOperation').implement({
  description:
    'Something that is done to many deliveries in the background. It goes on after a restart and does nothing twice. It is about what there was when it was started.',
  interfaces: [builder.nodeInterfaceRef()],
  fields: (t) => ({
    id: t.id({ description: 'TypeID, `bop_…`.', resolve: ({ id }) => encodeId('bulkOperation', id) }),
    kind: t.exposeString('kind', { description: '`RETRY`, `RECOVER` or `CANCEL`.' }),
    status: t.expose('status', { type: BulkOperationStatusType, description: 'How far it is.' }),
    total: t.exposeInt('total', {
      description:
        'How many deliveries it is about. All are counted before the first is processed, and it grows until then; exact once the operation is COMPLETED.',
    }),
    processed: t.int({
      description: 'How many of them are done, one way or the other.',
      resolve: ({ succeeded, failed }) => succeeded + failed,
    }),
    succeeded: t.exposeInt('succeeded', { description: 'How many were queued again, or cancelled.' }),
    failed: t.exposeInt('failed', {
      description: 'How many stay as they are, because their webhook is disabled or deleted.',
    }),
    startedAt: t.expose('startedAt', { type: 'DateTime', description: 'When it was asked for.' }),
    completedAt: t.expose('completedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it ended, however it did; null while it runs.',
    }),
    error: t.exposeString('error', { nullable: true, description: 'Why it FAILED; null otherwise.' }),
  }),
});

const BulkOperationSuccess = builder.objectRef<{ operation: BulkOperation }>('BulkOperationSuccess').implement({
  description: 'The operation runs, or is over.',
  fields: (t) => ({
    operation: t.expose('operation', { type: BulkOperationType, description: 'The operation as it is now.' }),
  }),
});

const BulkOperationResult = builder.errorUnion('BulkOperationResult', {
  description: 'An operation on many deliveries, or why there is none.',
  types: [BulkOperationSuccess, ValidationError, NotFoundError, ConflictError],
  resolveType: () => 'BulkOperationSuccess',
});

const bulkFilter = (filter: typeof DeliveryFilter.$inferInput): DeliveryListFilter =>
  listFilter(filter) ?? { webhookId: NOBODY };

builder.queryField('bulkOperation', (t) =>
  t.field({
    type: BulkOperationType,
    nullable: true,
    description: 'An operation on many deliveries; null for one that this tenant does not have.',
    authScopes: SCOPE,
    args: { id: t.arg.id({ required: true, description: 'The operation, `bop_…`.' }) },
    resolve: async (_root, { id }, context) => {
      const uuid = decodeId('bulkOperation', id);
      return uuid === null ? null : ((await context.services.bulk.find(tenantOf(context), [uuid]))[0] ?? null);
    },
  }),
);

builder.mutationFields((t) => ({
  deliveriesRetry: t.field({
    type: BulkOperationResult,
    description:
      'Sends every delivery again that fits a filter and has ended by now, in the background and behind live traffic; see `deliveryRetry`. Without a status: the abandoned ones. Tests are left out.',
    authScopes: SCOPE,
    args: {
      filter: t.arg({ type: DeliveryFilter, required: true, description: 'Which of them; at least one criterion.' }),
    },
    resolve: async (_root, { filter }, context) => ({
      operation: await context.services.bulk.retry(tenantOf(context), bulkFilter(filter)),
    }),
  }),
  deliveriesCancel: t.field({
    type: BulkOperationResult,
    description:
      'Cancels every delivery that fits a filter and is open now. A request that is under way is not called back: if it succeeds, its delivery is DELIVERED after all.',
    authScopes: SCOPE,
    args: {
      filter: t.arg({ type: DeliveryFilter, required: true, description: 'Which of them; at least one criterion.' }),
    },
    resolve: async (_root, { filter }, context) => ({
      operation: await context.services.bulk.cancelDeliveries(tenantOf(context), bulkFilter(filter)),
    }),
  }),
  webhookRecover: t.field({
    type: BulkOperationResult,
    description:
      'Sends a webhook everything since a moment that it failed to get (abandoned and cancelled deliveries), or never got though it wants it now: events of its types and entities from a time when it was disabled, or not there yet. What it got is not sent again. What is older than the retention is not kept.',
    authScopes: SCOPE,
    args: {
      id: t.arg.id({ required: true, description: 'The webhook, `wh_…`.' }),
      since: t.arg({ type: 'DateTime', required: true, description: 'Since when; in the past.' }),
    },
    resolve: async (_root, { id, since }, context) => {
      const uuid = decodeId('webhook', id);
      if (uuid === null) throw new NotFoundError('There is no such webhook.');
      return { operation: await context.services.bulk.recover(tenantOf(context), uuid, since) };
    },
  }),
  bulkOperationCancel: t.field({
    type: BulkOperationResult,
    description: 'Calls an operation off. What was done stays; one that has ended is answered as it is.',
    authScopes: SCOPE,
    args: { id: t.arg.id({ required: true, description: 'The operation, `bop_…`.' }) },
    resolve: async (_root, { id }, context) => ({
      operation: await context.services.bulk.cancel(tenantOf(context), decodeId('bulkOperation', id) ?? NOBODY),
    }),
  }),
}));

builder.subscriptionField('bulkOperationProgress', (t) =>
  t.field({
    type: BulkOperationType,
    description:
      'An operation as it is now, and then each time that it got on; after several steps at once it comes once. Completes after it has ended, and at once for one that this tenant does not have.',
    authScopes: SCOPE,
    args: { id: t.arg.id({ required: true, description: 'The operation, `bop_…`.' }) },
    subscribe: (_root, { id }, context) =>
      context.services.bulkProgress.follow(tenantOf(context), decodeId('bulkOperation', id) ?? NOBODY, context.signal),
    resolve: (operation) => operation,
  }),
);

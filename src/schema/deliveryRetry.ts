import type { DeliveryRecord } from '../domain/deliveries/delivery.ts';
import { ConflictError, NotFoundError } from '../domain/errors.ts';
import { decodeId } from '../platform/ids.ts';
import { builder, tenantOf } from './builder.ts';
import { DeliveryType } from './delivery.ts';

const DeliveryRetrySuccess = builder.objectRef<{ delivery: DeliveryRecord }>('DeliveryRetrySuccess').implement({
  description: 'The delivery is open again, and due now.',
  fields: (t) => ({
    delivery: t.expose('delivery', { type: DeliveryType, description: 'The delivery as it is now.' }),
  }),
});

builder.mutationField('deliveryRetry', (t) =>
  t.field({
    type: DeliveryRetrySuccess,
    description:
      'A further attempt of one delivery that was delivered, abandoned or cancelled, now, with its retry schedule anew. While its webhook is paused it is held.',
    authScopes: { scope: 'DELIVERIES_RETRY' },
    args: { id: t.arg.id({ required: true, description: 'The delivery, `dlv_…`.' }) },
    errors: {
      types: [NotFoundError, ConflictError],
      union: { description: 'The delivery, or why it is not sent again.' },
    },
    resolve: async (_root, { id }, context) => {
      const uuid = decodeId('delivery', id);
      if (uuid === null) throw new NotFoundError('There is no such delivery.');
      return { delivery: await context.services.deliveryRetry.retry(tenantOf(context), uuid) };
    },
  }),
);

import { builder } from './builder.ts';
import { DeliveryType } from './delivery.ts';
import { InboundDeliveryType } from './inboundDelivery.ts';
import { inboundLoaders } from './inboundLoaders.ts';
import { InboundWebhookType } from './inboundWebhook.ts';

builder.objectFields(DeliveryType, (t) => ({
  inboundWebhook: t.field({
    type: InboundWebhookType,
    nullable: true,
    description: 'The inbound webhook whose request this forwards; null for an event, and where it was deleted.',
    authScopes: { scope: 'INBOUND_READ' },
    resolve: ({ isForward, webhookId }, _args, context) =>
      isForward ? inboundLoaders(context).webhook.load(webhookId) : null,
  }),
  inboundDelivery: t.field({
    type: InboundDeliveryType,
    nullable: true,
    description: 'The request that this forwards; null for an event, and where it is not kept any more.',
    authScopes: { scope: 'INBOUND_READ' },
    resolve: ({ isForward, eventId }, _args, context) =>
      isForward ? inboundLoaders(context).delivery.load(eventId) : null,
  }),
}));

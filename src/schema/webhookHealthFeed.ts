import { decodeId } from '../platform/ids.ts';
import { builder, tenantOf } from './builder.ts';
import { WebhookType } from './webhook.ts';

/** The webhook of a subscription that names none that can exist: nothing ever happens to it. */
const NO_WEBHOOK = '00000000-0000-0000-0000-000000000000';

builder.subscriptionField('webhookHealthChanged', (t) =>
  t.field({
    type: WebhookType,
    description:
      'A webhook each time that its health changes: it begins to fail, keeps failing, recovers, is paused, resumed, enabled or disabled, by hand or by itself. Nothing comes before the first change. After several changes at once it comes once, as it is after the last; after a lost connection it may come without a change.',
    authScopes: { scope: 'WEBHOOKS_READ' },
    args: {
      webhookId: t.arg.id({ description: 'This one alone, `wh_…`; every one of the tenant where it is left out.' }),
    },
    subscribe: (_root, { webhookId }, context) =>
      context.services.healthFeed.subscribe(
        tenantOf(context),
        webhookId == null ? null : (decodeId('webhook', webhookId) ?? NO_WEBHOOK),
        context.signal,
      ),
    resolve: (webhook) => webhook,
  }),
);

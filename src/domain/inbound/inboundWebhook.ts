import { defineEntity, p } from '@mikro-orm/core';
import { JsonText } from '../../platform/jsonText.ts';
import type { SecretScope } from '../../platform/secrets.ts';
import { TextList } from '../../platform/textList.ts';
import type { WebhookStatus } from '../webhooks/webhook.ts';
import type { InboundAuthType } from './verification/authType.ts';
import type { ValueSource } from './valueSource.ts';

export const INBOUND_HANDLER_TYPES = ['DIRECT_ACTION', 'WORKFLOW', 'RECORD'] as const;
export type InboundHandlerType = (typeof INBOUND_HANDLER_TYPES)[number];

const InboundWebhookSchema = defineEntity({
  name: 'InboundWebhook',
  tableName: 'inbound_webhook',
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    name: p.text(),
    slug: p.text(),
    description: p.text().nullable(),
    source: p.text(),
    /** Only an ACTIVE one receives; to a sender the others do not exist. */
    status: p.text().$type<WebhookStatus>(),
    authType: p.text().$type<InboundAuthType>(),
    authPreset: p.text().nullable(),
    authConfig: p.type(JsonText).$type<Readonly<Record<string, unknown>>>(),
    /** A ciphertext, or a hash where comparing is all that is done with it; null where the type has none. */
    secret: p.text().nullable().lazy(),
    /** Encrypted. */
    verifyToken: p.text().nullable().lazy(),
    events: p.type(TextList).$type<readonly string[]>(),
    eventTypeSource: p.type(JsonText).$type<ValueSource | null>().nullable(),
    idempotencySource: p.type(JsonText).$type<ValueSource | null>().nullable(),
    idempotencyWindowSeconds: p.integer(),
    handlerType: p.text().$type<InboundHandlerType>(),
    handlerAction: p.text().nullable(),
    handlerFieldMapping: p.type(JsonText).$type<Readonly<Record<string, string>> | null>().nullable(),
    handlerWorkflowId: p.uuid().nullable(),
    url: p.text().nullable(),
    /** Encrypted; what forwards are signed with. Stays when `url` goes, for when it comes back. */
    forwardSecret: p.text().nullable().lazy(),
    /** Encrypted; signs besides `forwardSecret` until `previousForwardSecretExpiresAt`. */
    previousForwardSecret: p.text().nullable().lazy(),
    previousForwardSecretExpiresAt: p.datetime().nullable(),
    rateLimitPerMinute: p.integer(),
    /** The next verified request becomes the sample. */
    sampleArmed: p.boolean(),
    /** JSON as text: the body of a request, as it was read. */
    sample: p.text().nullable().lazy(),
    /** Rises with every change: a receiver that knows another version looks again before it accepts anything. */
    version: p.bigint('number'),
    createdAt: p.datetime(),
    updatedAt: p.datetime(),
  },
});

/** An address of a tenant that others post to: whom it believes, and what comes of what they say. */
export class InboundWebhook extends InboundWebhookSchema.class {}
InboundWebhookSchema.setClass(InboundWebhook);

/** Where the secrets of an inbound webhook live. */
export const inboundSecretScope = (
  tenantId: string,
  webhookId: string,
  field: 'secret' | 'verifyToken' | 'forwardSecret',
): SecretScope => ({ tenant: tenantId, row: webhookId, field });

import { defineEntity, p } from '@mikro-orm/core';
import { IntegerList, TextList } from '../../platform/textList.ts';

/** ACTIVE sends, PAUSED holds what comes, DISABLED cancels what is open and queues nothing. */
export const WEBHOOK_STATUSES = ['ACTIVE', 'PAUSED', 'DISABLED'] as const;
export type WebhookStatus = (typeof WEBHOOK_STATUSES)[number];

/** STRICT: the next delivery waits for the one before, through all its retries. */
export const ORDERINGS = ['NONE', 'STRICT'] as const;
export type Ordering = (typeof ORDERINGS)[number];

const WebhookSchema = defineEntity({
  name: 'Webhook',
  tableName: 'webhook',
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    name: p.text(),
    description: p.text().nullable(),
    url: p.text(),
    eventTypes: p.type(TextList).$type<readonly string[]>(),
    status: p.text().$type<WebhookStatus>(),
    verifySsl: p.boolean(),
    entityIds: p.type(TextList).$type<readonly string[]>(),
    payloadFields: p.type(TextList).$type<readonly string[]>().nullable(),
    timeoutSeconds: p.integer(),
    retrySchedule: p.type(IntegerList).$type<readonly number[]>(),
    maxConcurrency: p.integer(),
    rateLimitPerMinute: p.integer().nullable(),
    ordering: p.text().$type<Ordering>(),
    /** JSONata on the envelope. */
    condition: p.text().nullable(),
    headerNames: p.type(TextList).$type<readonly string[]>(),
    /** Encrypted: a list of names and values; read only where it is sent. */
    headers: p.text().nullable().lazy(),
    /** When it was last resumed: what was due before had been held. */
    resumedAt: p.datetime().nullable(),
    /** Encrypted; read only where it is signed with. */
    secret: p.text().lazy(),
    /** Encrypted; signs besides `secret` until `previousSecretExpiresAt`. */
    previousSecret: p.text().nullable().lazy(),
    previousSecretExpiresAt: p.datetime().nullable(),
    disabledAt: p.datetime().nullable(),
    disabledReason: p.text().nullable(),
    /** Rises with every change: whoever holds the lane compares it. */
    version: p.bigint('number'),
    createdAt: p.datetime(),
    updatedAt: p.datetime(),
  },
});

/** An endpoint of a tenant, what it wants to hear, and how it is to be told. */
export class Webhook extends WebhookSchema.class {}
WebhookSchema.setClass(Webhook);

import { builder } from './builder.ts';
import { InboundAuthTypeEnum, InboundHandlerTypeEnum, ValueSourceInput } from './inboundWebhook.ts';
import { WebhookStatusType } from './webhook.ts';

const InboundAuthInput = builder.inputType('InboundAuthInput', {
  description:
    'How requests are verified: a preset, whose settings `config` may complete or override, or a type with its config. On an update what is left out stays; without preset and type the present one stays.',
  fields: (t) => ({
    preset: t.string({ description: 'The name of a preset, see `inboundPresets`.' }),
    type: t.field({ type: InboundAuthTypeEnum, description: 'What proves that a request is its sender’s.' }),
    config: t.field({
      type: 'JSON',
      description:
        'Settings of the type: an object; null for one of them is its default. Unknown keys and bad values are refused by their name.',
    }),
    secret: t.string({
      description: '8 to 512 characters; generated where the type needs one and none is given.',
    }),
  }),
});

const InboundHandlerInput = builder.inputType('InboundHandlerInput', {
  description: 'What becomes of a request that is let through.',
  fields: (t) => ({
    type: t.field({ type: InboundHandlerTypeEnum, required: true, description: 'Which kind of handler.' }),
    action: t.string({ description: 'Of DIRECT_ACTION: the action that runs, see `inboundActions`.' }),
    fieldMapping: t.field({ type: 'JSON', description: 'Of DIRECT_ACTION: target field to JSONata on the body.' }),
    workflowId: t.id({ description: 'Of WORKFLOW: the workflow that runs, `wfl_…`.' }),
  }),
});

export const InboundWebhookCreateInput = builder.inputType('InboundWebhookCreateInput', {
  description: 'A new inbound webhook.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'A name for people: 1 to 120 characters.' }),
    slug: t.string({
      description:
        'Its name in the address: 1 to 64 lower-case letters, digits and hyphens, unique in the tenant; made from the name where it is left out.',
    }),
    description: t.string({ description: 'What it is for: at most 2,000 characters.' }),
    source: t.string({ description: 'Who sends, in a word: at most 100 characters; `custom` where it is left out.' }),
    auth: t.field({
      type: InboundAuthInput,
      description: 'How requests are verified; STANDARD_WEBHOOKS with a generated secret where it is left out.',
    }),
    events: t.stringList({
      description:
        'Event types that are let through, at most 100, in any case, wildcards such as `order.*` too; left out or empty: all.',
    }),
    eventTypeSource: t.field({
      type: ValueSourceInput,
      description:
        'Where the event type stands in a request. Left out: where the preset says; without one the first text of `type`, `event`, `event_type` in the body.',
    }),
    idempotencySource: t.field({
      type: ValueSourceInput,
      description: 'Where the key stands that repetitions share. Left out: where the preset says; null: nowhere.',
    }),
    idempotencyWindowSeconds: t.int({
      description: 'How long a key is remembered: 1 to 2,592,000 s; a day where it is left out.',
    }),
    handler: t.field({
      type: InboundHandlerInput,
      description: 'What becomes of a request that is let through; RECORD where it is left out.',
    }),
    url: t.string({ description: 'Where requests are also forwarded to, signed: a public address.' }),
    rateLimitPerMinute: t.int({
      description: 'Verified requests a minute: 1 to 60,000; 600 where it is left out.',
    }),
    isActive: t.boolean({ defaultValue: true, description: 'False creates it DISABLED: it receives nothing.' }),
  }),
});

export const InboundWebhookUpdateInput = builder.inputType('InboundWebhookUpdateInput', {
  description:
    'What to change. A field left out stays as it is; null resets it to its default. Lists are replaced as a whole.',
  fields: (t) => ({
    name: t.string({ description: 'A name for people: 1 to 120 characters, not null.' }),
    slug: t.string({ description: 'Its name in the address, under the rules of creation; not null.' }),
    description: t.string({ description: 'What it is for: at most 2,000 characters.' }),
    source: t.string({ description: 'Who sends, in a word: at most 100 characters.' }),
    auth: t.field({
      type: InboundAuthInput,
      description: 'How requests are verified; not null. Another type needs another secret.',
    }),
    events: t.stringList({
      description: 'Event types that are let through, at most 100, wildcards such as `order.*` too; empty: all.',
    }),
    eventTypeSource: t.field({ type: ValueSourceInput, description: 'Where the event type stands in a request.' }),
    idempotencySource: t.field({
      type: ValueSourceInput,
      description: 'Where the key stands that repetitions share; null: nowhere.',
    }),
    idempotencyWindowSeconds: t.int({ description: 'How long a key is remembered: 1 to 2,592,000 s.' }),
    handler: t.field({
      type: InboundHandlerInput,
      description: 'What becomes of a request that is let through; not null.',
    }),
    url: t.string({ description: 'Where requests are also forwarded to; null or empty text stops forwarding.' }),
    rateLimitPerMinute: t.int({ description: 'Verified requests a minute: 1 to 60,000.' }),
    isActive: t.boolean({ description: 'True lets it receive; false pauses it.' }),
    status: t.field({ type: WebhookStatusType, description: 'The status itself; must not contradict `isActive`.' }),
  }),
});

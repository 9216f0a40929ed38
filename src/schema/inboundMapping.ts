import type { Action, TargetField, TargetFieldType } from '../domain/actions/action.ts';
import type { Mapped, MappingError } from '../domain/mapping/mapper.ts';
import { ValidationError } from '../domain/errors.ts';
import { decodeId } from '../platform/ids.ts';
import { builder, tenantOf } from './builder.ts';
import type { Context } from './builder.ts';
import { inboundLoaders } from './inboundLoaders.ts';

const TargetFieldTypeEnum = builder.enumType('TargetFieldType', {
  description: 'What a target field takes.',
  values: {
    STRING: { description: 'A text; numbers and truth values become one.' },
    INT: { description: 'A whole number, or the text of one.' },
    NUMBER: { description: 'A number, or the text of one.' },
    BOOLEAN: { description: 'True or false, as such, as text, or as 1 and 0.' },
    ENUM: { description: 'One of the allowed values, in any case.' },
    JSON: { description: 'Any JSON.' },
    REF: { description: 'The id of an object.' },
  } satisfies Record<TargetFieldType, { description: string }>,
});

const TargetFieldObject = builder.objectRef<TargetField>('TargetField').implement({
  description: 'A field that a mapping can fill in.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Its name in mappings.' }),
    type: t.expose('type', { type: TargetFieldTypeEnum, description: 'What it takes.' }),
    required: t.exposeBoolean('required', { description: 'Whether the action needs it.' }),
    description: t.exposeString('description', { description: 'What it is, its bounds, and what holds without it.' }),
    allowedValues: t.stringList({
      nullable: true,
      description: 'What an ENUM may be; null on other types.',
      resolve: ({ allowedValues }) => allowedValues ?? null,
    }),
    refEntity: t.string({
      nullable: true,
      description: 'What a REF points at; null on other types.',
      resolve: ({ refEntity }) => refEntity ?? null,
    }),
  }),
});

const InboundAction = builder.objectRef<Action>('InboundAction').implement({
  description: 'Something that inbound webhooks and workflows can do.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'What `action` takes.' }),
    entity: t.exposeString('entity', { description: 'The kind of what it works on.' }),
    displayName: t.exposeString('displayName', { description: 'Its name for people.' }),
    description: t.exposeString('description', { description: 'What it does.' }),
    targetFields: t.field({
      type: [TargetFieldObject],
      description: 'What a mapping can fill in.',
      complexity: { field: 1, multiplier: 15 },
      resolve: ({ targetFields }) => targetFields,
    }),
  }),
});

const InboundMappingPreviewInput = builder.inputType('InboundMappingPreviewInput', {
  description: 'A mapping, and what it is tried on.',
  fields: (t) => ({
    action: t.string({ required: true, description: 'The action that it is for.' }),
    fieldMapping: t.field({ type: 'JSON', required: true, description: 'Target field to JSONata on the body.' }),
    inboundWebhookId: t.id({ description: 'The webhook whose sample is used where no body is given.' }),
    body: t.field({ type: 'JSON', description: 'A body.' }),
  }),
});

const MappingErrorObject = builder.objectRef<MappingError>('MappingError').implement({
  description: 'A field that brought no value.',
  fields: (t) => ({
    field: t.exposeString('field', { description: 'The target field.' }),
    expression: t.exposeString('expression', { description: 'Its expression; empty where it has none.' }),
    message: t.exposeString('message', { description: 'Why, in a sentence.' }),
  }),
});

const InboundMappingPreview = builder.objectRef<Mapped>('InboundMappingPreview').implement({
  description: 'What the action would be given.',
  fields: (t) => ({
    output: t.expose('values', {
      type: 'JSON',
      nullable: true,
      description: 'Target field to value; null where a required field failed.',
    }),
    errors: t.expose('errors', {
      type: [MappingErrorObject],
      description: 'Fields that brought no value. Those of optional fields do not keep the action from running.',
      complexity: { field: 1, multiplier: 10 },
    }),
  }),
});

builder.queryFields((t) => ({
  inboundActions: t.field({
    type: [InboundAction],
    description: 'What inbound webhooks and workflows can do here, by entity and name.',
    authScopes: { scope: 'INBOUND_READ' },
    complexity: { field: 1, multiplier: 10 },
    resolve: (_root, _args, { services }) => [...services.actions.list()],
  }),
  inboundMappingPreview: t.field({
    type: InboundMappingPreview,
    description: 'Tries a mapping on a body, or on the sample of an inbound webhook. Nothing is changed.',
    authScopes: { scope: 'INBOUND_READ' },
    args: { input: t.arg({ type: InboundMappingPreviewInput, required: true, description: 'The mapping.' }) },
    complexity: 100,
    resolve: async (_root, { input }, context) => {
      const { body = null, inboundWebhookId } = input;
      const text = body === null && inboundWebhookId != null ? await sampleOf(context, inboundWebhookId) : body;
      if (text === NO_WEBHOOK) return nothingToTry('There is no such inbound webhook.');
      return context.services.mapper.preview(tenantOf(context), input.action, input.fieldMapping, JSON.stringify(text));
    },
  }),
}));

const NO_WEBHOOK = Symbol('no such inbound webhook');

const sampleOf = async (context: Context, id: string): Promise<unknown> => {
  const uuid = decodeId('inboundWebhook', id);
  if (uuid === null || (await inboundLoaders(context).webhook.load(uuid)) === null) return NO_WEBHOOK;
  const sample = await inboundLoaders(context).sample.load(uuid);
  if (sample !== null) return JSON.parse(sample) as unknown;
  throw new ValidationError('It has no sample yet: capture one, or give a body.', ['input', 'inboundWebhookId']);
};

const nothingToTry = (message: string): Mapped => ({
  values: null,
  errors: [{ field: 'inboundWebhookId', expression: '', message }],
});

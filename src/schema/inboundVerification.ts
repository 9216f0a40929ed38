import { checkPayload } from '../domain/inbound/payloadCheck.ts';
import type { PresetRow } from '../domain/inbound/presets/presetRow.ts';
import { PRESETS } from '../domain/inbound/presets/presets.ts';
import type { Verification } from '../domain/inbound/verification/verification.ts';
import { ValidationError } from '../domain/errors.ts';
import { decodeId } from '../platform/ids.ts';
import { builder, tenantOf } from './builder.ts';
import { AuthStatusType } from './inboundDelivery.ts';
import { inboundLoaders } from './inboundLoaders.ts';
import { InboundAuthTypeEnum, ValueSourceObject, receiverUrls } from './inboundWebhook.ts';

const SecretOrigin = builder.enumType('SecretOrigin', {
  description: 'Who makes the secret of a preset.',
  values: {
    SENDER: { description: 'The sender, who shows it: give it to the inbound webhook.' },
    YOU: { description: 'You: give it to the sender, a generated one for instance.' },
    NONE: { description: 'There is none.' },
  } satisfies Record<PresetRow['secretFrom'], { description: string }>,
});

const InboundPreset = builder.objectRef<PresetRow>('InboundPreset').implement({
  description: 'A sender whose requests hookgraph knows how to verify.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'What `preset` takes.' }),
    displayName: t.exposeString('displayName', { description: 'Its name for people.' }),
    type: t.expose('type', { type: InboundAuthTypeEnum, description: 'What proves that a request is its own.' }),
    config: t.expose('config', { type: 'JSON', description: 'Its settings, which `config` may complete or override.' }),
    requiredConfig: t.stringList({
      description: 'Keys of `config` that must be given.',
      resolve: ({ requiredConfig }) => requiredConfig,
    }),
    secretFrom: t.expose('secretFrom', { type: SecretOrigin, description: 'Who makes the secret.' }),
    eventTypeSource: t.expose('eventTypeSource', {
      type: ValueSourceObject,
      nullable: true,
      description: 'Where the event type stands in its requests.',
    }),
    idempotencySource: t.expose('idempotencySource', {
      type: ValueSourceObject,
      nullable: true,
      description: 'Where the key stands that repetitions share; null where its requests have none.',
    }),
    handshake: t.boolean({
      description: 'Whether it asks first whether the address is right, which is answered by itself.',
      resolve: ({ handshake }) => handshake !== null,
    }),
    docsUrl: t.expose('docsUrl', {
      type: 'URL',
      nullable: true,
      description: 'The page that says how its requests are verified.',
    }),
  }),
});

const InboundVerifyInput = builder.inputType('InboundVerifyInput', {
  description: 'A signed payload.',
  fields: (t) => ({
    inboundWebhookId: t.id({
      required: true,
      description: 'The inbound webhook whose verification is asked for, `iwh_…`.',
    }),
    body: t.string({ required: true, description: 'The raw body, byte for byte.' }),
    headers: t.field({
      type: 'JSON',
      required: true,
      description: 'An object of its headers. The first address of `x-forwarded-for` is where it came from.',
    }),
    url: t.string({
      description:
        'Where it was posted to, whole or from the query on (`?token=…`), for whom that counts. Left out: the addresses of the webhook, without a query.',
    }),
  }),
});

const InboundVerification = builder.objectRef<Verification>('InboundVerification').implement({
  description: 'What the receiver would make of a payload now.',
  fields: (t) => ({
    valid: t.exposeBoolean('valid', { description: 'Whether it is its sender’s.' }),
    authStatus: t.expose('authStatus', { type: AuthStatusType, description: 'How its verification ended.' }),
    reason: t.exposeString('reason', { nullable: true, description: 'What is wrong; null where nothing is.' }),
  }),
});

builder.queryFields((t) => ({
  inboundPresets: t.field({
    type: [InboundPreset],
    description: 'The senders that hookgraph knows, by name.',
    authScopes: { scope: 'INBOUND_READ' },
    complexity: { field: 1, multiplier: PRESETS.length },
    resolve: () => PRESETS,
  }),
  inboundVerify: t.field({
    type: InboundVerification,
    description: 'Checks a signed payload against the verification of one inbound webhook, without receiving it.',
    authScopes: { scope: 'INBOUND_READ' },
    args: { input: t.arg({ type: InboundVerifyInput, required: true, description: 'The payload.' }) },
    complexity: 100,
    resolve: async (_root, { input }, context) => {
      const webhookId = decodeId('inboundWebhook', input.inboundWebhookId);
      const webhook = webhookId === null ? null : await inboundLoaders(context).webhook.load(webhookId);
      const addresses = webhook === null ? [] : Object.values(receiverUrls(webhook, context));
      const { receivers, maxBodyBytes } = context.services.inbound;
      return checkPayload(receivers, maxBodyBytes, tenantOf(context), {
        webhookId,
        body: input.body,
        headers: input.headers,
        urls: addresses.map((address) => postedTo(address, input.url ?? '')),
      });
    },
  }),
}));

/** Throws ValidationError for text that is neither an address nor what may stand at the end of one. */
const postedTo = (address: string, url: string): string => {
  if (URL.canParse(url, address)) return new URL(url, address).href;
  throw new ValidationError('This is no URL.', ['input', 'url']);
};

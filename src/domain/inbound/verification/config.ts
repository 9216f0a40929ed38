import { z } from 'zod';
import type { InboundAuthType } from './authType.ts';
import { parseNetwork } from '../../../platform/networks.ts';
import { HANDSHAKE_NAMES } from './handshakeName.ts';
import { parsePath } from './path.ts';
import { ASYMMETRIC_ALGORITHMS, PUBLIC_KEY_ENCODINGS, guessKeyEncoding, parsePublicKey } from './publicKey.ts';
import { KEY_ENCODINGS } from './secretForm.ts';
import { ENCODINGS } from './signature.ts';
import { contentUses, parseSignedContent } from './signedContent.ts';
import { TIMESTAMP_UNITS } from './timestamp.ts';

/** The window of a timestamp where neither the configuration nor the preset has one. */
const DEFAULT_TOLERANCE_SECONDS = 300;
const MAX_TOLERANCE_SECONDS = 604_800;

const oneOf = <const T extends readonly string[]>(values: T) =>
  z.enum(values, { error: `This is one of ${values.join(', ')}.` });

const text = (least: number, most: number) =>
  z
    .string({ error: 'This is a text.' })
    .min(least, 'This must not be empty.')
    .max(most, `At most ${most} characters.`)
    .refine((value) => !value.includes('\0') && value.isWellFormed(), 'This has characters that cannot be stored.');

const headerName = text(1, 100).regex(/^[\w!#$%&'*+.^`|~-]+$/, 'This is no name of a header.');
const parameterName = text(1, 100);

const BODY_PLACE =
  'A place in the body is a plain path: fields joined by dots, others in `backticks`, [0] for an element.';

/** A value's place: a header, a field of the body as a plain path, a query parameter, a field of the signature's header. */
const placed = (place: { readonly in: string; readonly name: string }, context: z.RefinementCtx): void => {
  if (place.in === 'HEADER' && !headerName.safeParse(place.name).success) {
    context.addIssue(`"${place.name}" is no name of a header.`);
  }
  if (place.in === 'BODY' && parsePath(place.name) === null) context.addIssue(BODY_PLACE);
};

const signature = z
  .strictObject({ in: oneOf(['HEADER', 'BODY', 'QUERY']), name: text(1, 256) }, { error: 'This is {in, name}.' })
  .superRefine(placed);

const timestamp = z
  .strictObject(
    {
      in: oneOf(['HEADER', 'FIELD', 'BODY', 'QUERY']),
      name: text(1, 256),
      unit: oneOf(TIMESTAMP_UNITS).default('SECONDS'),
    },
    { error: 'This is {in, name, unit}.' },
  )
  .superRefine(placed);

const cidrs = z
  .array(
    text(1, 64).refine(
      (network) => parseNetwork(network) !== null,
      'This is no IP address or network in CIDR notation.',
    ),
    { error: 'This is a list of IP addresses and networks.' },
  )
  .min(1, 'Name at least one network.')
  .max(500, 'At most 500 networks.');

const toleranceSeconds = z
  .int('This is a whole number of seconds.')
  .min(1, 'At least 1 second.')
  .max(MAX_TOLERANCE_SECONDS, `At most ${MAX_TOLERANCE_SECONDS} seconds.`);

/** What every type takes beside its own. */
const everyType = { cidrs: cidrs.optional(), handshake: oneOf(HANDSHAKE_NAMES).optional() };

/** What HMAC and ASYMMETRIC have in common. */
const signed = {
  header: headerName.optional(),
  signature: signature.optional(),
  encoding: oneOf(ENCODINGS).default('HEX'),
  prefix: text(0, 64).default(''),
  separator: text(1, 8).optional(),
  field: text(1, 64).optional(),
  signedContent: text(1, 1_000).default('{body}'),
  timestamp: timestamp.optional(),
  toleranceSeconds: toleranceSeconds.optional(),
  idHeader: headerName.optional(),
};

interface Signed {
  readonly signature?: z.infer<typeof signature> | undefined;
  readonly prefix: string;
  readonly separator?: string | undefined;
  readonly field?: string | undefined;
  readonly signedContent: string;
  readonly timestamp?: z.infer<typeof timestamp> | undefined;
  readonly toleranceSeconds?: number | undefined;
  readonly idHeader?: string | undefined;
}

const consistent = (config: Signed, context: z.RefinementCtx): void => {
  const wrong = (key: string, message: string): void => context.addIssue({ code: 'custom', message, path: [key] });
  if (config.field !== undefined && config.separator === undefined) {
    wrong('separator', 'A field needs the separator between the fields.');
  }
  if (config.separator !== undefined && config.prefix.includes(config.separator)) {
    wrong('prefix', 'The prefix of one signature must not have the separator between them.');
  }
  if (config.timestamp?.in === 'FIELD' && config.separator === undefined) {
    wrong('separator', 'A timestamp in a field needs the separator between the fields.');
  }
  if (config.toleranceSeconds !== undefined && config.timestamp === undefined) {
    wrong('toleranceSeconds', 'A tolerance needs a timestamp to hold it against.');
  }
  const content = parseSignedContent(config.signedContent);
  if (typeof content === 'string') {
    wrong('signedContent', content);
    return;
  }
  if (contentUses(content, 'timestamp') && config.timestamp === undefined) {
    wrong('timestamp', 'The signed content has a {timestamp}: say where it stands.');
  }
  if (contentUses(content, 'id') && config.idHeader === undefined) {
    wrong('idHeader', 'The signed content has an {id}: say in which header it stands.');
  }
};

const withTolerance = <T extends Signed>(config: T): T =>
  config.timestamp && config.toleranceSeconds === undefined
    ? { ...config, toleranceSeconds: DEFAULT_TOLERANCE_SECONDS }
    : config;

const hmac = z
  .strictObject({
    ...everyType,
    ...signed,
    algorithm: oneOf(['SHA1', 'SHA256', 'SHA512']).default('SHA256'),
    keyEncoding: oneOf(KEY_ENCODINGS).default('TEXT'),
    keyPrefix: text(0, 64).default(''),
  })
  .superRefine(consistent)
  .transform(withTolerance);

const asymmetric = z
  .strictObject({
    ...everyType,
    ...signed,
    algorithm: oneOf(ASYMMETRIC_ALGORITHMS).default('ED25519'),
    publicKey: text(1, 8_192),
    publicKeyEncoding: oneOf(PUBLIC_KEY_ENCODINGS).optional(),
  })
  .superRefine(consistent)
  .transform((config) => ({
    ...withTolerance(config),
    publicKeyEncoding: config.publicKeyEncoding ?? guessKeyEncoding(config.publicKey, config.algorithm),
  }))
  .superRefine(({ publicKey, publicKeyEncoding, algorithm }, context) => {
    if (parsePublicKey(publicKey, publicKeyEncoding, algorithm) === null) {
      context.addIssue({
        code: 'custom',
        message: `This is no ${publicKeyEncoding} public key of ${algorithm}.`,
        path: ['publicKey'],
      });
    }
  });

/** The grammar of each type's config; what parses is complete. */
export const CONFIG_SCHEMAS = {
  HMAC: hmac,
  ASYMMETRIC: asymmetric,
  STANDARD_WEBHOOKS: z.strictObject({
    ...everyType,
    headerPrefix: oneOf(['webhook-', 'svix-']).default('webhook-'),
    toleranceSeconds: toleranceSeconds.default(DEFAULT_TOLERANCE_SECONDS),
  }),
  BEARER: z.strictObject(everyType),
  BASIC: z.strictObject({
    ...everyType,
    username: text(1, 255).refine((name) => !name.includes(':'), 'A user name has no colon.'),
  }),
  API_KEY: z.strictObject({
    ...everyType,
    header: headerName.optional(),
    body: text(1, 256)
      .refine((path) => parsePath(path) !== null, BODY_PLACE)
      .optional(),
  }),
  QUERY_TOKEN: z.strictObject({ ...everyType, param: parameterName.default('token') }),
  IP_ALLOWLIST: z.strictObject({ ...everyType, cidrs }),
} as const satisfies Record<InboundAuthType, z.ZodType>;

export type ConfigOf<Type extends InboundAuthType> = z.infer<(typeof CONFIG_SCHEMAS)[Type]>;

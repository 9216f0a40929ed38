import { z } from 'zod';
import { ValidationError } from '../../errors.ts';
import { findPreset } from '../presets/presets.ts';
import { INBOUND_AUTH_TYPES } from './authType.ts';
import type { AuthSettings, InboundAuthType } from './authType.ts';
import { CONFIG_SCHEMAS } from './config.ts';
import { HANDSHAKE_NEEDS } from './handshakeName.ts';
import type { HandshakeName } from './handshakeName.ts';
import { secretForm } from './secretForm.ts';

/** As callers give it. What is left out (or null) stays as it is; see InboundAuthInput. */
export interface AuthInput {
  readonly preset?: string | null | undefined;
  readonly type?: InboundAuthType | null | undefined;
  readonly config?: unknown;
}

/** Settings to store, and the secrets that stood in the config and must be stored encrypted. */
export interface ParsedAuth {
  readonly settings: AuthSettings;
  readonly secrets: Partial<Record<'verifyToken', string>>;
  /** A secret must be given or generated: the type has one, and what is kept belongs to another type. */
  readonly needsSecret: boolean;
}

type Config = Readonly<Record<string, unknown>>;

const AT = ['input', 'auth', 'config'];

const verifyTokenText = z
  .string('The verify token is a text.')
  .min(1, 'The verify token must not be empty.')
  .max(512, 'The verify token is too long: at most 512 characters.')
  .refine(
    (value) => !value.includes('\0') && value.isWellFormed(),
    'The verify token has characters that cannot be stored.',
  );

/**
 * Checks and completes an authentication. Without preset and type the present one is changed (a new webhook's is
 * STANDARD_WEBHOOKS); a config completes it, its null resets a key to its default. Throws ValidationError at
 * `["input", "auth", "preset" or "type"]`, and for the config at `["input", "auth", "config", KEY]`.
 */
export const parseAuth = (input: AuthInput, present: AuthSettings | null): ParsedAuth => {
  const given = configGiven(input.config);
  const { type, preset, defaults, keeps } = chosen(input, present);
  const { verifyToken = null, ...config } = merged(defaults, keeps ? present!.config : defaults, given);
  const complete = completed(type, config, preset?.requiredConfig ?? []);
  const needs = handshakeNeeds(complete, type);
  const hasToken = keeps && present!.config['handshake'] === config['handshake'];
  const secrets = verifyTokenOf(verifyToken, needs === 'verifyToken', hasToken);
  return {
    settings: { type, preset: preset?.name ?? null, config: complete },
    secrets,
    needsSecret: secretForm(type) !== 'none' && present?.type !== type,
  };
};

/** The settings of a webhook whose owner asks for nothing else. */
export const defaultAuth = (): ParsedAuth => parseAuth({}, null);

const configGiven = (config: unknown): Config => {
  if (config === undefined || config === null) return {};
  if (typeof config !== 'object' || Array.isArray(config)) throw new ValidationError('The config is an object.', AT);
  return config as Config;
};

const chosen = (input: AuthInput, present: AuthSettings | null) => {
  const asked = input.preset ?? (input.type == null ? present?.preset : null) ?? null;
  const preset = asked === null ? null : findPreset(asked);
  if (asked !== null && preset === null) {
    throw new ValidationError(`There is no preset "${asked.slice(0, 60)}"; inboundPresets lists them.`, [
      'input',
      'auth',
      'preset',
    ]);
  }
  const type = preset?.type ?? input.type ?? present?.type ?? 'STANDARD_WEBHOOKS';
  if (!INBOUND_AUTH_TYPES.includes(type) || (input.type != null && input.type !== type)) {
    throw new ValidationError(`The preset ${asked} is of type ${type}. Leave the type out.`, ['input', 'auth', 'type']);
  }
  const keeps = present !== null && present.type === type && present.preset === (preset?.name ?? null);
  return { type, preset, defaults: normalised(preset?.config ?? {}), keeps };
};

/** A config over another: what it says twice in two spellings it says once, and null is the default. */
const merged = (defaults: Config, base: Config, given: Config): Config => {
  const result = new Map<string, unknown>(Object.entries(base));
  for (const [key, value] of Object.entries(normalised(given))) {
    if (key === 'header') result.delete('signature');
    if (key === 'signature') result.delete('header');
    if (value !== null) result.set(key, value);
    else if (Object.hasOwn(defaults, key)) result.set(key, defaults[key]);
    else result.delete(key);
  }
  return Object.fromEntries(result);
};

/** One spelling for each setting: `header` for a signature in a header, `timestamp` for a timestampHeader. */
const normalised = (config: Config): Config => {
  const { signature, timestampHeader, ...rest } = config;
  const result: Record<string, unknown> = { ...rest };
  if (signature !== undefined) {
    if (config['header'] != null && signature !== null) wrong('signature', 'Give header or signature, not both.');
    const place: { in?: unknown; name?: unknown } | null = signature;
    if (place?.in === 'HEADER' && Object.keys(place).length === 2) result['header'] = place.name;
    else result['signature'] = signature;
  }
  if (timestampHeader !== undefined) {
    if (config['timestamp'] != null && timestampHeader !== null) {
      wrong('timestampHeader', 'Give timestampHeader or timestamp, not both.');
    }
    result['timestamp'] = timestampHeader === null ? null : { in: 'HEADER', name: timestampHeader, unit: 'SECONDS' };
  }
  return result;
};

const wrong = (key: string, message: string): never => {
  throw new ValidationError(message, [...AT, key]);
};

const completed = (type: InboundAuthType, config: Config, required: readonly string[]): Config => {
  const result = CONFIG_SCHEMAS[type].safeParse(config);
  // First what is there and means nothing: a mistyped key explains the missing one.
  const unknown = result.error?.issues.find((issue) => issue.code === 'unrecognized_keys' && issue.path.length === 0);
  if (unknown?.code === 'unrecognized_keys') {
    const key = unknown.keys[0]!;
    wrong(key, `${type} has no setting ${key.slice(0, 60)}.`);
  }
  for (const key of [...required, ...requiredOf(type)]) {
    const isGiven = config[key] !== undefined || (key === 'header' && config['signature'] !== undefined);
    if (!isGiven && key !== 'verifyToken') wrong(key, `${type} needs ${key}.`);
  }
  if (
    (type === 'HMAC' || type === 'ASYMMETRIC') &&
    config['header'] === undefined &&
    config['signature'] === undefined
  ) {
    wrong('header', `${type} needs the header of the signature, or another place of it as signature.`);
  }
  if (type === 'API_KEY' && (config['header'] === undefined) === (config['body'] === undefined)) {
    wrong('header', 'API_KEY needs the header of the key, or instead of it the place in the body.');
  }
  if (result.success) return JSON.parse(JSON.stringify(result.data)) as Config;
  const issue = result.error.issues[0]!;
  return wrong(String(issue.path[0]), issue.message);
};

const requiredOf = (type: InboundAuthType): readonly string[] => {
  if (type === 'ASYMMETRIC') return ['publicKey'];
  if (type === 'BASIC') return ['username'];
  return type === 'IP_ALLOWLIST' ? ['cidrs'] : [];
};

const handshakeNeeds = (config: Config, type: InboundAuthType): 'key' | 'verifyToken' | null => {
  const name = config['handshake'] as HandshakeName | undefined;
  const needs = name ? HANDSHAKE_NEEDS[name] : null;
  if (needs === 'key' && secretForm(type) !== 'key') {
    wrong('handshake', `The handshake of ${name} answers with a signature: ${type} has no key for it.`);
  }
  return needs;
};

const verifyTokenOf = (token: unknown, isUsed: boolean, isKept: boolean): ParsedAuth['secrets'] => {
  if (token === null) {
    // The one that is kept stays; only a new handshake has none yet.
    if (isUsed && !isKept) wrong('verifyToken', 'This handshake needs the verify token that you give to the sender.');
    return {};
  }
  if (!isUsed) wrong('verifyToken', 'Only the handshake meta has a verify token.');
  const result = verifyTokenText.safeParse(token);
  return result.success ? { verifyToken: result.data } : wrong('verifyToken', result.error.issues[0]!.message);
};

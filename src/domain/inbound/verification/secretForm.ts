import { createHash, randomBytes } from 'node:crypto';
import { ValidationError } from '../../errors.ts';
import { exactText, parseInput } from '../../text.ts';
import type { AuthSettings, InboundAuthType } from './authType.ts';
import { decodeText } from './signature.ts';

export const KEY_ENCODINGS = ['TEXT', 'BASE64', 'HEX'] as const;
/** How the bytes of a key are spelt in its secret. */
export type KeyEncoding = (typeof KEY_ENCODINGS)[number];

export interface KeySpelling {
  readonly keyEncoding: KeyEncoding;
  /** Stripped from a secret where it is there. */
  readonly keyPrefix: string;
}

/** `whsec_` and base64, in which Standard Webhooks keys are spelt. */
export const STANDARD_WEBHOOKS_KEY: KeySpelling = { keyEncoding: 'BASE64', keyPrefix: 'whsec_' };

/**
 * How a secret is kept. `key`: encrypted, because signatures are computed with it. `hash`: its SHA-256 alone, because what
 * is presented can be hashed and compared. `none`: there is no secret.
 */
export type SecretForm = 'key' | 'hash' | 'none';

export const secretForm = (type: InboundAuthType): SecretForm => {
  switch (type) {
    case 'HMAC':
    case 'STANDARD_WEBHOOKS':
      return 'key';
    case 'BEARER':
    case 'BASIC':
    case 'API_KEY':
    case 'QUERY_TOKEN':
      return 'hash';
    case 'ASYMMETRIC':
    case 'IP_ALLOWLIST':
      return 'none';
    default:
      return type satisfies never;
  }
};

/** What is kept of a secret of form `hash`, and what a presented one is compared as: its SHA-256. */
export const hashSecret = (text: string): Buffer => createHash('sha256').update(text, 'utf8').digest();

/** A secret as it is kept, before encryption: exactly one is set, neither where the type has none. */
export interface StoredSecret {
  /** To be encrypted. */
  readonly key: string | null;
  readonly hash: Buffer | null;
}

export const storedSecret = (type: InboundAuthType, secret: string | null): StoredSecret => ({
  key: secretForm(type) === 'key' ? secret : null,
  hash: secretForm(type) === 'hash' && secret !== null ? hashSecret(secret) : null,
});

const spellingOf = ({ type, config }: AuthSettings): KeySpelling | null => {
  if (type === 'STANDARD_WEBHOOKS') return STANDARD_WEBHOOKS_KEY;
  if (type !== 'HMAC') return null;
  const { keyEncoding = 'TEXT', keyPrefix = '' } = config as Partial<KeySpelling>;
  return { keyEncoding, keyPrefix };
};

/** The key's bytes; null for text that is not in the settings' spelling, for an empty key, and where they have none. */
export const decodeKey = (secret: string, settings: AuthSettings): Buffer | null => {
  const spelling = spellingOf(settings);
  const key = spelling && keyBytes(secret, spelling);
  return key !== null && key.length > 0 ? key : null;
};

const keyBytes = (secret: string, { keyEncoding, keyPrefix }: KeySpelling): Buffer | null => {
  const text = keyPrefix !== '' && secret.startsWith(keyPrefix) ? secret.slice(keyPrefix.length) : secret;
  switch (keyEncoding) {
    case 'TEXT':
      return Buffer.from(text, 'utf8');
    case 'BASE64':
      // Some senders print their keys in the alphabet for URLs.
      return decodeText(text, 'BASE64') ?? decodeText(text, 'BASE64URL');
    case 'HEX':
      return decodeText(text, 'HEX');
    default:
      return keyEncoding satisfies never;
  }
};

/** What arrives in a header as it was sent (RFC 9110, 5.5): what stands around it is stripped, and it is one line. */
const HEADER_VALUE = /^(?!\s)[^\p{Cc}]+(?<!\s)$/u;
const standsInHeader = ({ type, config }: AuthSettings): boolean =>
  type === 'BEARER' || (type === 'API_KEY' && config['header'] !== undefined);

const secretText = exactText(8, 512, 'The secret');
const SECRET_PATH = ['input', 'auth', 'secret'];

/** Throws ValidationError at `["input", "auth", "secret"]` for a secret that can't be kept, has no key in it, or has no use. */
export const checkSecret = (settings: AuthSettings, secret: string): string => {
  if (secretForm(settings.type) === 'none') {
    throw new ValidationError(`${settings.type} has no secret: leave it out.`, SECRET_PATH);
  }
  const text = parseInput(secretText, secret, SECRET_PATH);
  if (standsInHeader(settings) && !HEADER_VALUE.test(text)) {
    throw new ValidationError(
      'No header can carry this secret: it has blanks at an end, or control characters. See what was copied with it.',
      SECRET_PATH,
    );
  }
  if (secretForm(settings.type) === 'hash' || decodeKey(text, settings) !== null) return text;
  const { keyEncoding = 'TEXT', keyPrefix = '' } = spellingOf(settings) ?? {};
  const spelt = `${keyEncoding}${keyPrefix === '' ? '' : `, with or without ${keyPrefix} before it`}`;
  throw new ValidationError(`This secret is no key in the spelling that its settings say: ${spelt}.`, SECRET_PATH);
};

/** A new secret of 32 random bytes, as the settings spell it; for types of secretForm `hash` as base64url text. */
export const generateSecret = (settings: AuthSettings): string => {
  const { keyEncoding, keyPrefix } = spellingOf(settings) ?? { keyEncoding: 'TEXT', keyPrefix: '' };
  const encodings = { TEXT: 'base64url', BASE64: 'base64', HEX: 'hex' } as const;
  return `${keyPrefix}${randomBytes(32).toString(encodings[keyEncoding])}`;
};

import type { SecretBox } from '../../platform/secrets.ts';
import { ValidationError } from '../errors.ts';
import type { CredentialNames } from './credentials.ts';
import { inboundSecretScope } from './inboundWebhook.ts';
import type { InboundWebhook } from './inboundWebhook.ts';
import type { AuthSettings, InboundAuthType } from './verification/authType.ts';
import { credentialHeaderNames, credentialQueryNames } from './verification/credentialNames.ts';
import { checkSecretText, generateSecretText, hashSecret, secretForm } from './verification/secretForm.ts';
import type { KeySpelling } from './verification/secretForm.ts';
import { compileVerifier } from './verification/verifier.ts';
import type { Verifier } from './verification/verifier.ts';

/** What the row keeps of how requests are authenticated. */
export interface KeptAuthentication extends AuthSettings {
  readonly id: string;
  readonly tenantId: string;
  /** A ciphertext for types that compute with it, the hex of a hash for those that compare, null for those without. */
  readonly secret: string | null;
  /** A ciphertext. */
  readonly verifyToken: string | null;
}

export const settingsOf = (
  webhook: Pick<InboundWebhook, 'authType' | 'authPreset' | 'authConfig'>,
): AuthSettings => ({ type: webhook.authType, preset: webhook.authPreset ?? null, config: webhook.authConfig });

/**
 * The secret that a change brings: the given one, or where one is needed a new one of 32 bytes; null where it brings none.
 * Throws ValidationError for one that is given where the type has none, or that can't be its key.
 */
export const givenSecret = (
  settings: AuthSettings,
  given: string | null,
  isNeeded: boolean,
  path: readonly string[] = ['input', 'auth', 'secret'],
): string | null => {
  if (secretForm(settings.type) === 'none') {
    if (given !== null) throw new ValidationError(`${settings.type} has no secret: leave it out.`, path);
    return null;
  }
  const spelling = spellingOf(settings);
  if (given === null) return isNeeded ? generateSecretText(spelling) : null;
  try {
    return checkSecretText(given, spelling);
  } catch (error) {
    if (error instanceof ValidationError) throw new ValidationError(error.message, path);
    throw error;
  }
};

const spellingOf = ({ type, config }: AuthSettings): KeySpelling | null => {
  if (type === 'STANDARD_WEBHOOKS') return { keyEncoding: 'BASE64', keyPrefix: 'whsec_' };
  if (type !== 'HMAC') return null;
  return config as unknown as KeySpelling;
};

/** A secret as the row keeps it. */
export const sealSecret = (
  secrets: SecretBox,
  tenantId: string,
  webhookId: string,
  type: InboundAuthType,
  secret: string,
): string =>
  secretForm(type) === 'hash'
    ? hashSecret(secret).toString('hex')
    : secrets.encrypt(secret, inboundSecretScope(tenantId, webhookId, 'secret'));

/** Makes the verifier of a webhook, and tells under which names its requests carry credentials. */
export const openVerifier = (
  { id, tenantId, secret, verifyToken, ...settings }: KeptAuthentication,
  secrets: SecretBox,
): { verifier: Verifier; credentialNames: CredentialNames } => {
  const form = secretForm(settings.type);
  const open = (text: string, field: 'secret' | 'verifyToken'): string =>
    secrets.decrypt(text, inboundSecretScope(tenantId, id, field));
  return {
    verifier: compileVerifier(settings, {
      keys: form === 'key' && secret !== null ? [open(secret, 'secret')] : [],
      hashes: form === 'hash' && secret !== null ? [Buffer.from(secret, 'hex')] : [],
      verifyToken: verifyToken === null ? null : open(verifyToken, 'verifyToken'),
    }),
    credentialNames: {
      headers: new Set(credentialHeaderNames(settings)),
      query: new Set(credentialQueryNames(settings)),
    },
  };
};

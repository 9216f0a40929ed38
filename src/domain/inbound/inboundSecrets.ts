import type { SecretBox } from '../../platform/secrets.ts';
import { ValidationError } from '../errors.ts';
import { CREDENTIAL_AS_SOURCE } from './credentials.ts';
import type { CredentialNames } from './credentials.ts';
import { inboundSecretScope } from './inboundWebhook.ts';
import type { InboundWebhook } from './inboundWebhook.ts';
import type { Sources } from './presetSources.ts';
import type { AuthSettings, InboundAuthType } from './verification/authType.ts';
import { credentialHeaderNames, credentialQueryNames } from './verification/credentialNames.ts';
import { checkSecret, decodeKey, generateSecret, hashSecret, secretForm } from './verification/secretForm.ts';
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

export const settingsOf = (webhook: Pick<InboundWebhook, 'authType' | 'authPreset' | 'authConfig'>): AuthSettings => ({
  type: webhook.authType,
  preset: webhook.authPreset ?? null,
  config: webhook.authConfig,
});

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
  if (given === null) return isNeeded ? generateSecret(settings) : null;
  try {
    return checkSecret(settings, given);
  } catch (error) {
    if (error instanceof ValidationError) throw new ValidationError(error.message, path);
    throw error;
  }
};

/** Throws ValidationError where the secret that stays is no key to the settings that come: nothing would verify any more. */
export const assertStillKey = (
  settings: AuthSettings,
  kept: { readonly tenantId: string; readonly id: string; readonly secret: string | null },
  secrets: SecretBox,
): void => {
  if (secretForm(settings.type) !== 'key' || kept.secret === null) return;
  const secret = secrets.decrypt(kept.secret, inboundSecretScope(kept.tenantId, kept.id, 'secret'));
  if ((decodeKey(secret, settings)?.length ?? 0) > 0) return;
  throw new ValidationError(
    'The present secret has no key in the spelling that these settings say: give another one.',
    ['input', 'auth', 'secret'],
  );
};

/**
 * Throws ValidationError where an event type or idempotency key would be read from the header that carries the credential:
 * both are kept, and shown, in clear.
 *
 * @param given the sources that this very change brings: it is told at them, else at the authentication
 */
export const assertNoCredentials = (settings: AuthSettings, sources: Sources, given: Sources): void => {
  const names = credentialHeaderNames(settings);
  for (const name of ['eventTypeSource', 'idempotencySource'] as const) {
    const source = sources[name];
    if (source?.type !== 'HEADER' || !names.includes(source.value.toLowerCase())) continue;
    const path = given[name] ? [name, 'value'] : ['auth', 'config', 'header'];
    throw new ValidationError(CREDENTIAL_AS_SOURCE, ['input', ...path]);
  }
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
      query: new Set(credentialQueryNames(settings).map((name) => name.toLowerCase())),
    },
  };
};

import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createSecretKey,
  randomBytes,
  randomInt,
  timingSafeEqual,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { createPrivateFile, readPrivateFile } from './privateFile.ts';
import { StartupError } from './startupError.ts';

/** Where a secret lives. A ciphertext opens only there: moved to another tenant, row or field it is refused. */
export interface SecretScope {
  readonly tenant: string;
  readonly row: string;
  readonly field: string;
}

/** A ciphertext that this key, in this scope, doesn't open. The message has neither key nor text. */
export class UnreadableSecretError extends Error {
  override readonly name = 'UnreadableSecretError';
}

/**
 * Encrypts what is kept in the database: AES-256-GCM with a random 96-bit IV, the scope as additional data. The text is
 * `v1.<key id>.<iv>.<ciphertext and tag>` in base64url; the key id tells which key is needed when keys change.
 */
export class SecretBox {
  /** Can be posted to other threads of this process; prints as nothing. */
  readonly key: KeyObject;
  readonly keyId: string;

  /** `key` is 32 bytes. */
  constructor(key: Buffer | KeyObject) {
    this.key = Buffer.isBuffer(key) ? createSecretKey(key) : key;
    if (this.key.symmetricKeySize !== 32) throw new RangeError('a secret key has 32 bytes');
    this.keyId = createHmac('sha256', key).update('hookgraph key id').digest().subarray(0, 6).toString('base64url');
  }

  encrypt(plain: string, scope: SecretScope): string {
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.key, iv).setAAD(additionalData(scope));
    const sealed = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    return `v1.${this.keyId}.${iv.toString('base64url')}.${sealed.toString('base64url')}`;
  }

  /** Throws UnreadableSecretError for another key, another scope, and text that was changed. */
  decrypt(text: string, scope: SecretScope): string {
    const [version, keyId, ivText, sealedText, ...rest] = text.split('.');
    const iv = Buffer.from(ivText ?? '', 'base64url');
    const sealed = Buffer.from(sealedText ?? '', 'base64url');
    if (version !== 'v1' || iv.length !== 12 || sealed.length < 16 || rest.length > 0) {
      throw new UnreadableSecretError('not a ciphertext of hookgraph');
    }
    if (keyId !== this.keyId) {
      throw new UnreadableSecretError(`encrypted with key ${keyId}, this one is ${this.keyId}`);
    }
    const decipher = createDecipheriv('aes-256-gcm', this.key, iv, { authTagLength: 16 })
      .setAAD(additionalData(scope))
      .setAuthTag(sealed.subarray(-16));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]).toString('utf8');
    } catch (error) {
      throw new UnreadableSecretError('changed, or of another place', { cause: error });
    }
  }
}

function additionalData({ tenant, row, field }: SecretScope): Buffer {
  const parts = [tenant, row, field];
  // A separator inside a part would let two scopes share their additional data.
  if (parts.some((part) => part.includes('|'))) throw new RangeError('a secret scope has no "|"');
  return Buffer.from(parts.join('|'));
}

const canaryScope: SecretScope = { tenant: '', row: 'installation', field: 'canary' };

/**
 * Proves that the key is the one that the database's secrets were encrypted with. Returns the canary to store: the
 * stored one, or where there was none a new one. Throws StartupError where the key doesn't open it.
 */
export function verifyCanary(box: SecretBox, stored: string | null): string {
  if (stored === null) return box.encrypt('hookgraph', canaryScope);
  try {
    box.decrypt(stored, canaryScope);
    return stored;
  } catch (error) {
    if (!(error instanceof UnreadableSecretError)) throw error;
    throw new StartupError(
      `The secret key is not the one that this database's secrets were encrypted with (${error.message}): ` +
        'give the right HOOKGRAPH_SECRET_KEY, or put back the file secret.key that belongs to this database.',
      { cause: error },
    );
  }
}

/**
 * The key of an installation without HOOKGRAPH_SECRET_KEY: 32 bytes as base64 in a file of mode 0600. It is made only
 * where `mayCreate`, which is where the database has no canary yet; elsewhere a missing file is a StartupError, because a
 * new key would open nothing. Processes that start at once get the same key, and a crash leaves a whole file or none.
 */
export async function loadOrCreateKeyFile(path: string, mayCreate: boolean): Promise<Buffer> {
  const existing = await readKeyFile(path);
  if (existing !== null) return existing;
  if (!mayCreate) {
    throw new StartupError(
      `The key file ${path} is missing, and this database already has secrets encrypted with it: ` +
        'put the file back from a backup, or give its content as HOOKGRAPH_SECRET_KEY.',
    );
  }
  await createPrivateFile(path, `${randomBytes(32).toString('base64')}\n`);
  const created = await readKeyFile(path);
  if (created === null) throw new Error(`the key file ${path} vanished while it was made`);
  return created;
}

async function readKeyFile(path: string): Promise<Buffer | null> {
  let text: string;
  try {
    text = await readPrivateFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new StartupError(`The key file ${path} can't be read: ${(error as Error).message}.`, { cause: error });
  }
  const key = Buffer.from(text.trim(), 'base64');
  if (key.length === 32) return key;
  throw new StartupError(`The key file ${path} is not 32 bytes as base64: put it back from a backup.`);
}

const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/**
 * An API key: `hg_`, 30 random characters of base62 (178 bits), and the CRC-32 of those before it in 6 more, so that a
 * scanner for leaked secrets recognises one without asking anybody.
 */
export function generateApiKey(): string {
  const random = Array.from({ length: 30 }, () => base62[randomInt(62)]).join('');
  return `hg_${random}${checksum(`hg_${random}`)}`;
}

function checksum(text: string): string {
  let rest = crc32(text);
  let digits = '';
  for (let place = 0; place < 6; place += 1) {
    digits = `${base62[rest % 62]}${digits}`;
    rest = Math.floor(rest / 62);
  }
  return digits;
}

/** What is kept of an API key. With 160 random bits or more a slow hash would add nothing. */
export function hashApiKey(key: string): Buffer {
  return createHash('sha256').update(key, 'utf8').digest();
}

/** A webhook's signing secret: 32 random bytes as base64url text. The text itself keys `X-Alga-Signature`. */
export function generateSigningSecret(): string {
  return randomBytes(32).toString('base64url');
}

/** A signing secret in both spellings: as hookgraph signs with it, and as the Standard Webhooks libraries take it. */
export function signingSecretSpellings(value: string): { value: string; standardWebhooks: string } {
  return { value, standardWebhooks: `whsec_${Buffer.from(value, 'base64url').toString('base64')}` };
}

/** Compares secrets in a time that tells nothing about where they differ, lengths included. */
export function isSameSecret(a: string | Buffer, b: string | Buffer): boolean {
  const [left, right] = [a, b].map((secret) => createHash('sha256').update(secret).digest());
  return timingSafeEqual(left!, right!);
}

import { createHmac, createSecretKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** A signing secret, ready to use: keyed once by its base64url text, and once by the 32 bytes that the text spells. */
export interface SigningKey {
  readonly text: KeyObject;
  readonly bytes: KeyObject;
}

export const signingKey = (text: string): SigningKey => ({
  text: createSecretKey(text, 'utf8'),
  bytes: createSecretKey(text, 'base64url'),
});

/**
 * `t=<unix seconds>,v1=<hex>`: HMAC-SHA256 of `<t>.<raw body>`, keyed by the secret's text. While two secrets overlap it
 * has a `v1` of each, the newest last, because readers that make a map of the parts keep the last.
 *
 * @param keys oldest first
 */
export const timestampedSignature = (keys: readonly SigningKey[], t: number, body: Buffer): string => {
  let header = `t=${t}`;
  for (const key of keys) header += `,v1=${createHmac('sha256', key.text).update(`${t}.`).update(body).digest('hex')}`;
  return header;
};

/**
 * `v1,<base64>` of each secret, separated by blanks: HMAC-SHA256 of `<id>.<t>.<raw body>`, keyed by the secret's bytes
 * (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
 */
export const standardWebhooksSignature = (keys: readonly SigningKey[], id: string, t: number, body: Buffer): string =>
  keys
    .map((key) => `v1,${createHmac('sha256', key.bytes).update(`${id}.${t}.`).update(body).digest('base64')}`)
    .join(' ');

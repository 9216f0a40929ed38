import { createHmac, createPublicKey, sign as signBytes } from 'node:crypto';
import type * as fc from 'fast-check';

/** A request as its sender makes it. Header names in lower case. */
export interface Sent {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A request with its signature (or credential), as it stands in a header or in the body. */
export interface Signed extends Sent {
  readonly signature: string;
}

/** What shows that a preset takes the sender's requests, and nothing else. */
export interface PresetProof {
  readonly secret: string;
  readonly otherSecret: string;
  /** What the owner has to configure. Of presets with a public key, `secret` is the private one, as PEM. */
  readonly config?: (secret: string) => Readonly<Record<string, unknown>>;
  /** Signs as the sender's documentation says, at a time in milliseconds, for an address. */
  readonly sign: (at: number, secret: string, body?: string, url?: string) => Signed;
  /** Seconds that a signed timestamp may be off; null where the sender signs none. */
  readonly windowSeconds: number | null;
  /** Every byte of the body, nothing of it, or what changes (from, to) of it are covered. */
  readonly covers: 'BODY' | 'NOTHING' | readonly (readonly [string, string])[];
  /** Headers without which nothing is proven. */
  readonly needs: readonly string[];
  /** Keys of the body without which nothing is proven. */
  readonly needsInBody?: readonly string[];
  /** The sender's own library. */
  readonly library?: {
    readonly verifies: (sent: Signed, secret: string) => boolean | Promise<boolean>;
    readonly signs?: (at: number, secret: string, body: string) => Sent | Promise<Sent>;
    /** Bodies that the sender can send; left out: any JSON object. */
    readonly bodies?: fc.Arbitrary<string>;
  };
  /** Examples that the sender has published. */
  readonly documented?: readonly {
    readonly source: string;
    readonly at: number;
    readonly secret: string;
    readonly config?: Readonly<Record<string, unknown>>;
    readonly sent: Signed;
  }[];
  /** What the preset reads as event type and idempotency key of the example. */
  readonly eventType: string | null;
  readonly idempotencyKey: string | null;
}

export const URL_OF_RECEIVER = 'https://hooks.example.com/api/inbound/acme/sender';

export const hex = (key: string | Buffer, text: string, hash = 'sha256'): string =>
  createHmac(hash, key).update(text, 'utf8').digest('hex');

export const base64 = (key: string | Buffer, text: string, hash = 'sha256'): string =>
  createHmac(hash, key).update(text, 'utf8').digest('base64');

export const seconds = (at: number): string => String(Math.floor(at / 1_000));

export const post = (
  signature: string,
  body: string,
  headers: Readonly<Record<string, string>>,
  url = URL_OF_RECEIVER,
): Signed => ({ method: 'POST', url, headers: { 'content-type': 'application/json', ...headers }, body, signature });

/** The raw public key of a private one: the end of its SubjectPublicKeyInfo. */
export const rawPublicKey = (privatePem: string, length: number): Buffer => spki(privatePem).subarray(-length);

export const spki = (privatePem: string): Buffer => createPublicKey(privatePem).export({ format: 'der', type: 'spki' });

export const signedBy = (privatePem: string, text: string, hash: string | null): Buffer =>
  signBytes(hash, Buffer.from(text, 'utf8'), privatePem);

/** Whether a verifier that answers, or throws where it refuses, takes what it is given. */
export const isTaken = (verifies: () => unknown): boolean => {
  try {
    return verifies() !== false;
  } catch {
    return false;
  }
};

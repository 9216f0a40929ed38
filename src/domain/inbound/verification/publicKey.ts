import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { decodeText } from './signature.ts';

export const ASYMMETRIC_ALGORITHMS = ['ED25519', 'ECDSA_P256', 'RSA_SHA256'] as const;
export type AsymmetricAlgorithm = (typeof ASYMMETRIC_ALGORITHMS)[number];

export const PUBLIC_KEY_ENCODINGS = ['PEM', 'SPKI_BASE64', 'RAW_HEX', 'RAW_BASE64'] as const;
export type PublicKeyEncoding = (typeof PUBLIC_KEY_ENCODINGS)[number];

/** What stands before the raw bytes of a key in its SubjectPublicKeyInfo (RFC 8410; RFC 5480, uncompressed point). */
const SPKI_PREFIX = {
  ED25519: Buffer.from('302a300506032b6570032100', 'hex'),
  ECDSA_P256: Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex'),
} as const;
const RAW_LENGTH = { ED25519: 32, ECDSA_P256: 65 } as const;

const LEAST_RSA_BITS = 1_024;

/** The key of the algorithm; null for text that holds none. */
export const parsePublicKey = (
  text: string,
  encoding: PublicKeyEncoding,
  algorithm: AsymmetricAlgorithm,
): KeyObject | null => {
  const key = readKey(text.trim(), encoding, algorithm);
  return key !== null && isOf(key, algorithm) ? key : null;
};

const readKey = (text: string, encoding: PublicKeyEncoding, algorithm: AsymmetricAlgorithm): KeyObject | null => {
  // Node would derive the public key from a private one, and the configuration would show that to every reader.
  if (text.includes('PRIVATE KEY')) return null;
  try {
    if (encoding === 'PEM') return createPublicKey({ key: text, format: 'pem' });
    const bytes = decodeText(text.replaceAll(/\s/g, ''), encoding === 'RAW_HEX' ? 'HEX' : 'BASE64');
    const der = bytes && encoding !== 'SPKI_BASE64' ? wrapped(bytes, algorithm) : bytes;
    return der && createPublicKey({ key: der, format: 'der', type: 'spki' });
  } catch {
    // OpenSSL's words on text that is no key help nobody.
    return null;
  }
};

const wrapped = (bytes: Buffer, algorithm: AsymmetricAlgorithm): Buffer | null => {
  if (algorithm === 'RSA_SHA256' || bytes.length !== RAW_LENGTH[algorithm]) return null;
  return Buffer.concat([SPKI_PREFIX[algorithm], bytes]);
};

const isOf = (key: KeyObject, algorithm: AsymmetricAlgorithm): boolean => {
  const details = key.asymmetricKeyDetails;
  switch (algorithm) {
    case 'ED25519':
      return key.asymmetricKeyType === 'ed25519';
    case 'ECDSA_P256':
      return key.asymmetricKeyType === 'ec' && details?.namedCurve === 'prime256v1';
    case 'RSA_SHA256':
      return key.asymmetricKeyType === 'rsa' && (details?.modulusLength ?? 0) >= LEAST_RSA_BITS;
    default:
      return algorithm satisfies never;
  }
};

/** The encoding that the text looks like, for configurations that don't say. */
export const guessKeyEncoding = (text: string, algorithm: AsymmetricAlgorithm): PublicKeyEncoding =>
  text.includes('-----BEGIN')
    ? 'PEM'
    : (PUBLIC_KEY_ENCODINGS.find((encoding) => parsePublicKey(text, encoding, algorithm) !== null) ?? 'PEM');

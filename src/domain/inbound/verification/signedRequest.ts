import { createHmac, createSecretKey, randomBytes, timingSafeEqual, verify as verifySignature } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { parsePath, textAt } from './path.ts';
import type { AsymmetricAlgorithm } from './publicKey.ts';
import { bodyOf, headerOf, queryOf } from './request.ts';
import type { InboundRequest } from './request.ts';
import { fieldValues, parseSignatures } from './signature.ts';
import type { SignatureFormat } from './signature.ts';
import { fillSignedContent } from './signedContent.ts';
import type { SignedContent } from './signedContent.ts';
import { isWithin, parseTimestamp } from './timestamp.ts';
import type { TimestampUnit } from './timestamp.ts';
import { VERIFIED, rejected } from './verification.ts';
import type { Verification } from './verification.ts';

/** A value's place in a request; FIELD is an item of the signature's header. */
export interface Place {
  readonly in: 'HEADER' | 'BODY' | 'QUERY' | 'FIELD';
  readonly name: string;
}

/** How a sender signs, ready to be checked. */
export interface SigningScheme {
  readonly signature: Place;
  readonly format: SignatureFormat;
  readonly content: SignedContent;
  readonly timestamp: (Place & { readonly unit: TimestampUnit; readonly toleranceSeconds: number }) | null;
  readonly idHeader: string | null;
}

/** Whether one of the signatures is one of the content. Must not throw, and take its time for content without signatures too. */
export type SignatureCheck = (content: readonly (Buffer | string)[], signatures: readonly Buffer[]) => boolean;

/**
 * Checks a signed request: its signature first, whatever the timestamp, so that only genuine requests are told apart as
 * too old. The signature is computed for requests without one too: the time that a refusal takes tells nothing.
 */
export const verifySigned = (scheme: SigningScheme, check: SignatureCheck, request: InboundRequest): Verification => {
  const header = valueAt(scheme.signature, request, null, null);
  const timestamp = scheme.timestamp && valueAt(scheme.timestamp, request, header, scheme.format.separator);
  const id = scheme.idHeader && headerOf(request, scheme.idHeader);
  const content = fillSignedContent(scheme.content, request, { timestamp, id });
  const signatures = header === null ? [] : parseSignatures(header, scheme.format);
  const isGenuine = check(typeof content === 'string' ? [request.body] : content, signatures);
  if (header === null) return rejected('REJECTED_NO_AUTH', `There is no signature in ${nameOf(scheme.signature)}.`);
  if (signatures.length === 0) {
    return rejected('REJECTED_SIGNATURE', `What is in ${nameOf(scheme.signature)} is no signature of this format.`);
  }
  if (typeof content === 'string') return rejected('REJECTED_SIGNATURE', content);
  if (!isGenuine) return rejected('REJECTED_SIGNATURE', 'The signature is not one of this request with this secret.');
  return scheme.timestamp ? verifyTimestamp(scheme.timestamp, timestamp, request.receivedAt) : VERIFIED;
};

const verifyTimestamp = (
  place: NonNullable<SigningScheme['timestamp']>,
  text: string | null,
  now: number,
): Verification => {
  if (text === null) return rejected('REJECTED_TIMESTAMP', `There is no timestamp in ${nameOf(place)}.`);
  const time = parseTimestamp(text, place.unit);
  if (time === null) return rejected('REJECTED_TIMESTAMP', `What is in ${nameOf(place)} is no time in ${place.unit}.`);
  if (isWithin(time, now, place.toleranceSeconds)) return VERIFIED;
  const off = Math.round(Math.abs(now - time) / 1_000);
  return rejected(
    'REJECTED_TIMESTAMP',
    `The timestamp is ${off} s ${time < now ? 'old' : 'in the future'}, and ${place.toleranceSeconds} s are allowed.`,
  );
};

const nameOf = (place: Place): string => {
  const kinds = { HEADER: 'the header', BODY: 'the field', QUERY: 'the query parameter', FIELD: 'the item' } as const;
  return `${kinds[place.in]} ${place.name}`;
};

const valueAt = (
  place: Place,
  request: InboundRequest,
  signatureHeader: string | null,
  separator: string | null,
): string | null => {
  switch (place.in) {
    case 'HEADER':
      return headerOf(request, place.name);
    case 'QUERY':
      return queryOf(request, place.name);
    case 'FIELD':
      return (signatureHeader && separator && fieldValues(signatureHeader, separator, place.name)[0]) || null;
    case 'BODY': {
      const body = bodyOf(request);
      const path = parsePath(place.name);
      return (body.ok && path && textAt(path, body.value)) || null;
    }
    default:
      return place.in satisfies never;
  }
};

/** In constant time. A digest's length is no secret, so nothing is hashed to hide it; another length takes the same time. */
const isSameDigest = (digest: Buffer, signature: Buffer): boolean => {
  const isAsLong = signature.length === digest.length;
  return timingSafeEqual(digest, isAsLong ? signature : digest) && isAsLong;
};

/** HMACs with each of the keys; without a key one with a random one, which verifies nothing and takes as long. */
export const hmacCheck = (algorithm: 'SHA1' | 'SHA256' | 'SHA512', keys: readonly Buffer[]): SignatureCheck => {
  const used = (keys.length > 0 ? keys : [randomBytes(32)]).map((key) => createSecretKey(key));
  const hash = algorithm.toLowerCase();
  return (content, signatures) => {
    const digests = used.map((key) => {
      const hmac = createHmac(hash, key);
      for (const chunk of content) hmac.update(chunk);
      return hmac.digest();
    });
    return signatures.some((signature) => digests.some((digest) => isSameDigest(digest, signature)));
  };
};

/** Signatures of a public key; an ECDSA one as DER, or as its two numbers side by side (IEEE P1363). */
export const publicKeyCheck =
  (algorithm: AsymmetricAlgorithm, key: KeyObject): SignatureCheck =>
  (content, signatures) => {
    const data = Buffer.concat(content.map((chunk) => (typeof chunk === 'string' ? Buffer.from(chunk) : chunk)));
    const hash = algorithm === 'ED25519' ? null : 'sha256';
    return signatures.some((signature) => {
      if (algorithm !== 'ECDSA_P256') return verifySignature(hash, data, key, signature);
      const dsaEncoding = signature.length === 64 ? 'ieee-p1363' : 'der';
      return verifySignature(hash, data, { key, dsaEncoding }, signature);
    });
  };

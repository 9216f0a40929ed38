import { timingSafeEqual } from 'node:crypto';
import { isSameSecret } from '../../../platform/secrets.ts';
import { parsePath, readAll } from './path.ts';
import { bodyOf, headerOf, queryOf } from './request.ts';
import type { InboundRequest } from './request.ts';
import { hashSecret } from './secretForm.ts';
import { VERIFIED, rejected } from './verification.ts';
import type { Verification } from './verification.ts';

/** Checks what a request presents as it is, against the SHA-256 of the secrets. */
export type CredentialCheck = (request: InboundRequest, hashes: readonly Buffer[]) => Verification;

/** An empty credential is none. */
const isOneOf = (presented: string, hashes: readonly Buffer[]): boolean => {
  const hash = hashSecret(presented);
  return presented !== '' && hashes.some((known) => known.length === hash.length && timingSafeEqual(known, hash));
};

/**
 * A header is bytes, each of which the server gives as a character of Latin-1: a sender that writes UTF-8 means the text that
 * they spell. Where that is another text, either is taken.
 */
const isOneInHeader = (presented: string, hashes: readonly Buffer[]): boolean => {
  const spelt = Buffer.from(presented, 'latin1').toString('utf8');
  return isOneOf(presented, hashes) || (spelt !== presented && isOneOf(spelt, hashes));
};

const missing = (where: string): Verification => rejected('REJECTED_NO_AUTH', `There is no credential in ${where}.`);
const judged = (isGenuine: boolean, where: string): Verification =>
  isGenuine ? VERIFIED : rejected('REJECTED_TOKEN', `The credential in ${where} is another one.`);

/** `Authorization: Bearer <token>`, the scheme in any case (RFC 9110, 11.1). */
export const bearerCheck: CredentialCheck = (request, hashes) => {
  const token = schemeValue(request, 'bearer');
  return token === null
    ? missing('Authorization: Bearer')
    : judged(isOneInHeader(token, hashes), 'Authorization: Bearer');
};

/** `Authorization: Basic <base64 of user:password>` (RFC 7617), in UTF-8. */
export const basicCheck =
  (username: string): CredentialCheck =>
  (request, hashes) => {
    const value = schemeValue(request, 'basic');
    if (value === null) return missing('Authorization: Basic');
    const pair = Buffer.from(value, 'base64').toString('utf8');
    const colon = pair.indexOf(':');
    const isUser = isSameSecret(colon === -1 ? '' : pair.slice(0, colon), username);
    const isPassword = isOneOf(pair.slice(colon + 1), hashes);
    return judged(colon !== -1 && isUser && isPassword, 'Authorization: Basic');
  };

const schemeValue = (request: InboundRequest, scheme: string): string | null => {
  const match = /^(\S+) +(\S.*)$/.exec(headerOf(request, 'authorization') ?? '');
  return match?.[1]?.toLowerCase() === scheme ? match[2]! : null;
};

export const headerCheck =
  (name: string): CredentialCheck =>
  (request, hashes) => {
    const value = headerOf(request, name);
    return value === null ? missing(`the header ${name}`) : judged(isOneInHeader(value, hashes), `the header ${name}`);
  };

export const queryCheck =
  (name: string): CredentialCheck =>
  (request, hashes) => {
    const value = queryOf(request, name);
    return value === null
      ? missing(`the query parameter ${name}`)
      : judged(isOneOf(value, hashes), `the query parameter ${name}`);
  };

/** More credentials in one body than any sender puts there. */
const MAX_IN_BODY = 1_000;

/** A credential in the body; where the path reaches several elements, each must have it. */
export const bodyCheck =
  (name: string): CredentialCheck =>
  (request, hashes) => {
    const path = parsePath(name);
    const body = bodyOf(request);
    const values = body.ok && path ? readAll(path, body.value) : [];
    if (values.every((value) => value === undefined)) return missing(`the field ${name}`);
    const isGenuine =
      values.length <= MAX_IN_BODY && values.every((value) => typeof value === 'string' && isOneOf(value, hashes));
    return judged(isGenuine, `the field ${name}`);
  };

import { randomBytes } from 'node:crypto';
import { isWithin, parseNetwork } from '../../../platform/networks.ts';
import type { AuthSettings, InboundAuthType } from './authType.ts';
import { CONFIG_SCHEMAS } from './config.ts';
import type { ConfigOf } from './config.ts';
import { basicCheck, bearerCheck, bodyCheck, headerCheck, queryCheck } from './credential.ts';
import type { CredentialCheck } from './credential.ts';
import { HANDSHAKES } from './handshake.ts';
import type { HandshakeAnswer } from './handshake.ts';
import type { HandshakeName } from './handshakeName.ts';
import { parsePublicKey } from './publicKey.ts';
import type { InboundRequest } from './request.ts';
import { decodeKey } from './secretForm.ts';
import { hmacCheck, publicKeyCheck, verifySigned } from './signedRequest.ts';
import type { SignatureCheck, SigningScheme } from './signedRequest.ts';
import { parseSignedContent } from './signedContent.ts';
import type { SignedContent } from './signedContent.ts';
import { VERIFIED, rejected } from './verification.ts';
import type { Verification } from './verification.ts';

/** A webhook's secrets, decrypted. Several are valid at once; the last one is the newest. */
export interface VerifierSecrets {
  /** In clear, for types of secretForm `key`. */
  readonly keys: readonly string[];
  /** Of `hashSecret`, for types of secretForm `hash`. */
  readonly hashes: readonly Buffer[];
  readonly verifyToken: string | null;
}

/** Judges requests to one webhook. Never throws, whatever the request. */
export interface Verifier {
  verify(request: InboundRequest): Verification;
  /** The answer where the request is the sender's handshake, which then is no event; null for every other request. */
  handshake(request: InboundRequest): HandshakeAnswer | null;
  /**
   * Whether handshakes come unsigned (a GET with a challenge) and are asked for before `verify`, which would refuse them.
   * Else they come signed (Slack, Discord, Zoom) and are asked for once the request is verified, never before.
   */
  readonly handshakeBeforeVerify: boolean;
  /** Whether a handshake may come as GET, a method that receivers have no other use of. */
  readonly handshakeByGet: boolean;
}

type Check = (request: InboundRequest) => Verification;

/**
 * Makes the verifier of a webhook, once per version of it. The settings are what parseAuth made. A secret that doesn't
 * fit them verifies nothing. The allow-list stands before everything else, handshakes too.
 */
export const compileVerifier = (settings: AuthSettings, secrets: VerifierSecrets): Verifier => {
  const keys = secrets.keys.map((secret) => decodeKey(secret, settings)).filter((key) => key !== null);
  const { verifyToken } = secrets;
  const check = checkOf(settings, keys, secrets.hashes);
  const { cidrs, handshake: name } = settings.config as { cidrs?: readonly string[]; handshake?: HandshakeName };
  const networks = cidrs?.map(parseNetwork).filter((network) => network !== null);
  const admits = (request: InboundRequest): boolean =>
    networks === undefined || isWithin(networks, request.remoteAddress);
  const handshake = name === undefined ? null : HANDSHAKES[name];
  return {
    verify: (request) => {
      if (!admits(request)) {
        const address = request.remoteAddress || 'An unknown address (x-forwarded-for tells it)';
        return rejected('REJECTED_IP', `${address} is not in the allow-list.`);
      }
      const verdict = check(request);
      return verdict.valid && handshake?.isSignedForAnybody?.(request.body)
        ? rejected('REJECTED_SIGNATURE', 'Anybody gets such a body signed, as the answer to a handshake.')
        : verdict;
    },
    handshake: (request) => (handshake && admits(request) ? handshake.answer(request, { keys, verifyToken }) : null),
    handshakeBeforeVerify: handshake?.isUnsigned ?? false,
    handshakeByGet: handshake?.method === 'GET',
  };
};

const checkOf = (settings: AuthSettings, keys: readonly Buffer[], hashes: readonly Buffer[]): Check => {
  const credential =
    (check: CredentialCheck): Check =>
    (request) =>
      check(request, hashes);
  switch (settings.type) {
    case 'HMAC': {
      const config = configOf('HMAC', settings);
      return signedCheck(schemeOf(config), hmacCheck(config.algorithm, keys));
    }
    case 'STANDARD_WEBHOOKS': {
      const scheme = standardWebhooks(configOf('STANDARD_WEBHOOKS', settings));
      return signedCheck(scheme, hmacCheck('SHA256', keys));
    }
    case 'ASYMMETRIC': {
      const config = configOf('ASYMMETRIC', settings);
      const key = parsePublicKey(config.publicKey, config.publicKeyEncoding, config.algorithm);
      return key
        ? signedCheck(schemeOf(config), publicKeyCheck(config.algorithm, key))
        : () => rejected('REJECTED_NO_AUTH', 'The public key cannot be read.');
    }
    case 'BEARER':
      return credential(bearerCheck);
    case 'BASIC':
      return credential(basicCheck(configOf('BASIC', settings).username));
    case 'API_KEY': {
      const { header, body } = configOf('API_KEY', settings);
      return credential(body === undefined ? headerCheck(header ?? '') : bodyCheck(body));
    }
    case 'QUERY_TOKEN':
      return credential(queryCheck(configOf('QUERY_TOKEN', settings).param));
    case 'IP_ALLOWLIST':
      return () => VERIFIED;
    default:
      return settings.type satisfies never;
  }
};

const configOf = <Type extends InboundAuthType>(type: Type, settings: AuthSettings): ConfigOf<Type> =>
  CONFIG_SCHEMAS[type].parse(settings.config) as ConfigOf<Type>;

const signedCheck =
  (scheme: SigningScheme, check: SignatureCheck): Check =>
  (request) =>
    verifySigned(scheme, check, request);

const schemeOf = (config: ConfigOf<'HMAC'> | ConfigOf<'ASYMMETRIC'>): SigningScheme => {
  const content = parseSignedContent(config.signedContent);
  if (typeof content === 'string') throw new RangeError(content);
  const { timestamp, toleranceSeconds } = config;
  return {
    signature: config.signature ?? { in: 'HEADER', name: config.header ?? '' },
    format: {
      encoding: config.encoding,
      prefix: config.prefix,
      separator: config.separator ?? null,
      field: config.field ?? null,
    },
    content,
    timestamp: timestamp && toleranceSeconds !== undefined ? { ...timestamp, toleranceSeconds } : null,
    idHeader: config.idHeader ?? null,
  };
};

/** @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md */
const standardWebhooks = ({ headerPrefix, toleranceSeconds }: ConfigOf<'STANDARD_WEBHOOKS'>): SigningScheme => ({
  signature: { in: 'HEADER', name: `${headerPrefix}signature` },
  format: { encoding: 'BASE64', prefix: 'v1,', separator: ' ', field: null },
  content: parseSignedContent('{id}.{timestamp}.{body}') as SignedContent,
  timestamp: { in: 'HEADER', name: `${headerPrefix}timestamp`, unit: 'SECONDS', toleranceSeconds },
  idHeader: `${headerPrefix}id`,
});

/**
 * Stands in for the verifier of a webhook that doesn't exist or takes nothing now: it does the work of a real HMAC over
 * the body, so that the time of a refusal doesn't tell them apart, and verifies nothing.
 */
export const dummyVerifier: Verifier = (() => {
  const real = compileVerifier(
    { type: 'STANDARD_WEBHOOKS', preset: null, config: {} },
    { keys: [randomBytes(32).toString('base64')], hashes: [], verifyToken: null },
  );
  return {
    verify: (request) => {
      real.verify(request);
      return rejected('REJECTED_NO_AUTH', 'There is no webhook here that takes requests.');
    },
    handshake: () => null,
    handshakeBeforeVerify: false,
    handshakeByGet: false,
  };
})();

import { parseAuth } from '../../src/domain/inbound/verification/auth.ts';
import type { AuthInput } from '../../src/domain/inbound/verification/auth.ts';
import { hashSecret, secretForm } from '../../src/domain/inbound/verification/secretForm.ts';
import type { Verification } from '../../src/domain/inbound/verification/verification.ts';
import { compileVerifier } from '../../src/domain/inbound/verification/verifier.ts';
import type { Verifier } from '../../src/domain/inbound/verification/verifier.ts';
import { inboundRequest } from './inboundRequest.ts';
import type { RequestParts } from './inboundRequest.ts';
import { expect } from 'vitest';

/** When requests come, in milliseconds. */
export const AT = 1_800_000_000_000;
export const SECRET = 'a secret that is long enough';

export const VALID = { valid: true, authStatus: 'VERIFIED', reason: null };
export const refused = (authStatus: string) => ({
  valid: false,
  authStatus,
  reason: expect.any(String) as string,
});

/** The verifier of a webhook with this authentication. */
export const verifierOf = (
  input: AuthInput,
  secrets: readonly string[] = [SECRET],
  verifyToken: string | null = null,
): Verifier => {
  const { settings } = parseAuth(input, null);
  const isKey = secretForm(settings.type) === 'key';
  return compileVerifier(settings, {
    keys: isKey ? secrets : [],
    hashes: isKey ? [] : secrets.map(hashSecret),
    verifyToken,
  });
};

export const judge = (input: AuthInput, parts: RequestParts, secrets?: readonly string[]): Verification =>
  verifierOf(input, secrets).verify(inboundRequest({ receivedAt: AT, ...parts }));

import { createHmac, timingSafeEqual } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import type { ReceivedRequest } from './receiver.ts';

const TOLERANCE_SECONDS = 300;

/**
 * Verifies as the receivers in AlgaPSA's guide do: the header cut at `,` and then at `=`, of parts with one name the last,
 * the timestamp within five minutes, the HMAC keyed by the text of the secret.
 */
export const guideVerifies = (request: ReceivedRequest, secret: string): boolean => {
  const header = String(request.headers['x-alga-signature'] ?? '');
  const parts = Object.fromEntries(header.split(',').map((part) => part.split('=') as [string, string]));
  const t = Number(parts['t']);
  if (!t || Math.abs(Math.floor(Date.now() / 1000) - t) > TOLERANCE_SECONDS) return false;
  const expected = createHmac('sha256', secret).update(`${t}.${request.body}`).digest();
  const given = Buffer.from(parts['v1'] ?? '', 'hex');
  return expected.length === given.length && timingSafeEqual(expected, given);
};

/** Verifies with the official library of Standard Webhooks; the secret is the one that begins with `whsec_`. */
export const standardVerifies = (request: ReceivedRequest, secret: string): boolean => {
  try {
    new Webhook(secret).verify(request.body, request.headers as Record<string, string>);
    return true;
  } catch {
    return false;
  }
};

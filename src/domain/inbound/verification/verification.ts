export const AUTH_STATUSES = [
  'NOT_CHECKED',
  'VERIFIED',
  'REJECTED_SIGNATURE',
  'REJECTED_TIMESTAMP',
  'REJECTED_TOKEN',
  'REJECTED_IP',
  'REJECTED_NO_AUTH',
] as const;

/**
 * How a request's authentication ended. REJECTED_NO_AUTH: it carries no signature or credential at all, or there is
 * nothing to check it with. REJECTED_TIMESTAMP: the signature is genuine, the time outside the window.
 */
export type AuthStatus = (typeof AUTH_STATUSES)[number];

/** The verdict on a request. `reason` is for the webhook's owner, never for the sender; it has no secret. */
export interface Verification {
  readonly valid: boolean;
  readonly authStatus: AuthStatus;
  readonly reason: string | null;
}

export const VERIFIED: Verification = { valid: true, authStatus: 'VERIFIED', reason: null };

export const rejected = (
  authStatus: Exclude<AuthStatus, 'NOT_CHECKED' | 'VERIFIED'>,
  reason: string,
): Verification => ({ valid: false, authStatus, reason });

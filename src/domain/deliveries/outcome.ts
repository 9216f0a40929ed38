import type { AttemptError } from './delivery.ts';
import { nextAttemptAt, retryAfterUntil } from './schedule.ts';

/** What came of one exchange with the receiver. */
export interface Answer {
  readonly responseStatus: number | null;
  /** The header as received. */
  readonly retryAfter: string | null;
  readonly error: AttemptError | null;
}

/**
 * What an attempt means for its delivery.
 *
 * - `DELIVERED`: 2xx.
 * - `RETRYING`: due again at `nextAt`; `heldUntil` where the receiver asked the whole webhook to wait, which uses up
 *   nothing of the schedule.
 * - `ABANDONED`: the schedule is used up, or the receiver is gone (410): `isGone` also disables the webhook.
 * - `CANCELLED`: failed, and the webhook was disabled or deleted meanwhile.
 */
export type Outcome =
  | { readonly status: 'DELIVERED' }
  | { readonly status: 'RETRYING'; readonly nextAt: number; readonly heldUntil: number | null }
  | { readonly status: 'ABANDONED'; readonly isGone: boolean }
  | { readonly status: 'CANCELLED' };

export interface OutcomeInput {
  readonly answer: Answer;
  readonly retrySchedule: readonly number[];
  /** Attempts before this one that used up a wait of the schedule. */
  readonly failuresBefore: number;
  /** The webhook is ACTIVE or PAUSED. */
  readonly isOpen: boolean;
  readonly now: number;
  readonly random: number;
}

export const outcomeOf = (input: OutcomeInput): Outcome => {
  const { answer, now } = input;
  if (answer.error === null) return { status: 'DELIVERED' };
  if (answer.responseStatus === 410) return { status: 'ABANDONED', isGone: true };
  if (!input.isOpen) return { status: 'CANCELLED' };
  if (answer.responseStatus === 429 || answer.responseStatus === 503) {
    const heldUntil = retryAfterUntil(answer.retryAfter, now);
    if (heldUntil !== null) return { status: 'RETRYING', nextAt: heldUntil, heldUntil };
  }
  const nextAt = nextAttemptAt(input.retrySchedule, input.failuresBefore + 1, now, input.random);
  return nextAt === null ? { status: 'ABANDONED', isGone: false } : { status: 'RETRYING', nextAt, heldUntil: null };
};

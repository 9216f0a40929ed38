/** A webhook's circuit: closed while `until` is null, open before it, and trying one request at a time from then on. */
export interface Circuit {
  /** Attempts that failed since the last success. */
  readonly failures: number;
  /** Ms since the epoch. */
  readonly until: number | null;
}

export const CIRCUIT_STATES = ['CLOSED', 'OPEN', 'HALF_OPEN'] as const;
export type CircuitState = (typeof CIRCUIT_STATES)[number];

/** Opens after so many failures in a row. */
const MOST_FAILURES = 10;
/** And tries one request after this long. */
const OPEN_MS = 30_000;

export const circuitState = (until: number | null, now: number): CircuitState =>
  until === null ? 'CLOSED' : until > now ? 'OPEN' : 'HALF_OPEN';

/**
 * The circuit after an attempt that came to an end at `now`. A success closes it, whoever reports it. What was under way
 * when it opened, and fails later, changes nothing.
 */
export const afterAttempt = ({ failures, until }: Circuit, isOk: boolean, now: number): Circuit => {
  if (isOk) return { failures: 0, until: null };
  if (until !== null && until > now) return { failures: failures + 1, until };
  const opens = until !== null || failures + 1 >= MOST_FAILURES;
  return { failures: failures + 1, until: opens ? now + OPEN_MS : null };
};

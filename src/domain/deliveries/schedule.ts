/** Waits after each failed attempt where a webhook has no schedule of its own: 1 m, 5 m, 30 m, 2 h, 12 h. */
export const DEFAULT_RETRY_SCHEDULE: readonly number[] = [60, 300, 1_800, 7_200, 43_200];

/** What is still open this long after it was made (or asked for again) is abandoned. */
export const MAX_OPEN_MS = 7 * 86_400_000;

const JITTER = 0.1;

/**
 * When the attempt after the `failures`th failure is due, with ±10 % jitter so that what failed together does not come
 * back together; null where the schedule is used up.
 *
 * @param schedule seconds to wait after each failed attempt
 * @param random in [0, 1)
 */
export const nextAttemptAt = (
  schedule: readonly number[],
  failures: number,
  now: number,
  random: number,
): number | null => {
  const waitSeconds = schedule[failures - 1];
  return waitSeconds === undefined ? null : Math.round(now + waitSeconds * 1000 * (1 - JITTER + 2 * JITTER * random));
};

const LEAST_HOLD_MS = 1_000;
const MOST_HOLD_MS = 3_600_000;

/**
 * Until when `Retry-After` (RFC 9110, 10.2.3: seconds or an HTTP date) holds the webhook back, kept within 1 s and 1 h;
 * null where the header says neither.
 */
export const retryAfterUntil = (header: string | null, now: number): number | null => {
  if (header === null) return null;
  const text = header.trim();
  const at = /^\d{1,10}$/.test(text) ? now + Number(text) * 1000 : httpDate(text);
  return Number.isNaN(at) ? null : Math.min(Math.max(at, now + LEAST_HOLD_MS), now + MOST_HOLD_MS);
};

/** Dates begin with the name of a day; without that check `Date.parse` takes almost anything. */
const httpDate = (text: string): number =>
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/.test(text) ? Date.parse(text) : Number.NaN;

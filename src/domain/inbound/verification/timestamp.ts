export const TIMESTAMP_UNITS = ['SECONDS', 'MILLISECONDS', 'ISO8601'] as const;
export type TimestampUnit = (typeof TIMESTAMP_UNITS)[number];

/** RFC 3339, the profile of ISO 8601 that senders use: with a time and a zone. */
const ISO_8601 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)$/;
const DIGITS: Readonly<Record<'SECONDS' | 'MILLISECONDS', RegExp>> = {
  SECONDS: /^\d{1,11}$/,
  MILLISECONDS: /^\d{1,14}$/,
};

/** Milliseconds since 1970; null for text that is no time in this unit. */
export const parseTimestamp = (text: string, unit: TimestampUnit): number | null => {
  if (unit === 'ISO8601') {
    const time = ISO_8601.test(text) ? Date.parse(text) : Number.NaN;
    return Number.isNaN(time) ? null : time;
  }
  if (!DIGITS[unit].test(text)) return null;
  return unit === 'SECONDS' ? Number(text) * 1_000 : Number(text);
};

/** Whether a time is at most the tolerance away from now, in either direction. All in milliseconds, the tolerance in seconds. */
export const isWithin = (time: number, now: number, toleranceSeconds: number): boolean =>
  Math.abs(now - time) <= toleranceSeconds * 1_000;

const DAY_MS = 86_400_000;
/** Years of four digits; the others are left to `toISOString`. */
const FIRST_MS = Date.UTC(1000, 0);
const BEYOND_MS = Date.UTC(10_000, 0);
/** Of the first of March in the year 0, from which on a leap day is the last of its year. */
const DAYS_BEFORE_1970 = 719_468;
const DAYS_OF_400_YEARS = 146_097;

const TWO_DIGITS = Array.from({ length: 100 }, (_, number) => String(number).padStart(2, '0'));

/**
 * What `toISOString` says, in less than half its time, which was a tenth of what a timeline of 720 hours took the program. The date is
 * worked out in the proleptic Gregorian calendar with years that begin in March (Hinnant, `civil_from_days`).
 */
export const momentText = (moment: Date): string => {
  const ms = moment.getTime();
  if (!(ms >= FIRST_MS && ms < BEYOND_MS)) return moment.toISOString();
  const sinceMarch = Math.floor(ms / DAY_MS) + DAYS_BEFORE_1970;
  const days = sinceMarch % DAYS_OF_400_YEARS;
  const years = Math.floor(
    (days - Math.floor(days / 1_460) + Math.floor(days / 36_524) - Math.floor(days / 146_096)) / 365,
  );
  const dayOfYear = days - (365 * years + Math.floor(years / 4) - Math.floor(years / 100));
  const months = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * months + 2) / 5) + 1;
  const month = months < 10 ? months + 3 : months - 9;
  const year = 400 * Math.floor(sinceMarch / DAYS_OF_400_YEARS) + years + (month < 3 ? 1 : 0);

  const ofDay = ms - Math.floor(ms / DAY_MS) * DAY_MS;
  const seconds = Math.floor(ofDay / 1_000);
  const time = `${two(seconds / 3_600)}:${two((seconds / 60) % 60)}:${two(seconds % 60)}`;
  return `${year}-${two(month)}-${two(day)}T${time}.${String(ofDay % 1_000).padStart(3, '0')}Z`;
};

const two = (number: number): string => TWO_DIGITS[Math.floor(number)]!;

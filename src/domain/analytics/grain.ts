/** Lengths of the stretches that counts are kept for, in minutes. */
export const MINUTE = 1;
export const HOUR = 60;
export const DAY = 1_440;

/** Only of counts by event type: nobody asks for a timeline of them, and a year of 20 types is 7,300 rows of days. */
export const FORTNIGHT = 20_160;

/** What a timeline is divided into. */
export type Bucket = typeof MINUTE | typeof HOUR | typeof DAY;
export type Grain = Bucket | typeof FORTNIGHT;

/** From the coarsest on, those of all that is counted. */
export const GRAINS: readonly Bucket[] = [DAY, HOUR, MINUTE];
/** The same, of counts by event type. */
export const TYPE_GRAINS: readonly Grain[] = [FORTNIGHT, ...GRAINS];

/** How far back counts of each grain are answered, in minutes. */
export const KEPT: Readonly<Record<Grain, number>> = {
  [MINUTE]: 2 * DAY,
  [HOUR]: 90 * DAY,
  [DAY]: 400 * DAY,
  [FORTNIGHT]: 400 * DAY,
};

/** In the place of a webhook's id: the whole tenant. */
export const WHOLE_TENANT = '00000000-0000-0000-0000-000000000000';

export const floorTo = (minute: number, grain: Grain): number => Math.floor(minute / grain) * grain;
export const ceilTo = (minute: number, grain: Grain): number => Math.ceil(minute / grain) * grain;

export const minuteOf = (epochMs: number): number => Math.floor(epochMs / 60_000);

/** Lengths of the stretches that counts are kept for, in minutes. */
export const MINUTE = 1;
export const HOUR = 60;
export const DAY = 1_440;

export type Grain = typeof MINUTE | typeof HOUR | typeof DAY;

/** From the coarsest on. */
export const GRAINS: readonly Grain[] = [DAY, HOUR, MINUTE];

/** How far back counts of each grain are answered, in minutes. */
export const KEPT: Readonly<Record<Grain, number>> = { [MINUTE]: 2 * DAY, [HOUR]: 90 * DAY, [DAY]: 400 * DAY };

/** In the place of a webhook's id: the whole tenant. */
export const WHOLE_TENANT = '00000000-0000-0000-0000-000000000000';

export const floorTo = (minute: number, grain: Grain): number => Math.floor(minute / grain) * grain;
export const ceilTo = (minute: number, grain: Grain): number => Math.ceil(minute / grain) * grain;

export const minuteOf = (epochMs: number): number => Math.floor(epochMs / 60_000);

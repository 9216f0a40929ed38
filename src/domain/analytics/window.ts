import { ValidationError } from '../errors.ts';
import { ceilTo, DAY, floorTo, HOUR, KEPT, MINUTE, minuteOf, TYPE_GRAINS } from './grain.ts';
import type { Bucket, Grain } from './grain.ts';

/** Of one timeline. */
export const MOST_BUCKETS = 1_500;
const DEFAULT_MINUTES = 30 * DAY;

/** Stretches of one grain: from `from` on, before `to`, in minutes since the epoch, both multiples of the grain. */
export interface Segment {
  readonly grain: Grain;
  readonly from: number;
  readonly to: number;
}

/** What analytics are asked about, in whole minutes since the epoch. */
export interface AnalyticsWindow {
  /** Inclusive. */
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
  /** Whether it reaches until now: nothing is published after it. */
  readonly isOpen: boolean;
  /** Of the timeline; its stretches begin at multiples of it, UTC. */
  readonly bucket: Bucket;
}

export interface AskedRange {
  readonly from?: Date | null | undefined;
  readonly to?: Date | null | undefined;
}

const NAMES: Readonly<Record<Bucket, string>> = { [MINUTE]: 'MINUTE', [HOUR]: 'HOUR', [DAY]: 'DAY' };
const COARSER: Readonly<Record<Bucket, string>> = {
  [MINUTE]: ' or ask for HOUR',
  [HOUR]: ' or ask for DAY',
  [DAY]: '',
};

/**
 * The last 30 days without a range, from `firstMinute` where its beginning is left out, and until now where its end is. Widened
 * to whole minutes, and to whole hours and days where nothing finer is kept any more. Throws ValidationError, whose message
 * names a remedy, for a range that has nothing in it, more than 1,500 buckets, or minutes or hours
 * that are not kept any more.
 *
 * @param firstMinute of the earliest delivery that is counted; null where there is none
 */
export const windowOf = (
  range: AskedRange | null | undefined,
  bucket: Bucket,
  nowMs: number,
  firstMinute: number | null,
): AnalyticsWindow => {
  const beyondNow = minuteOf(nowMs) + 1;
  const to = range?.to ? ceilMinute(range.to) : beyondNow;
  const from = range?.from
    ? minuteOf(range.from.getTime())
    : range
      ? Math.min(firstMinute ?? beyondNow - 1, to - 1)
      : beyondNow - 1 - DEFAULT_MINUTES;
  if (range?.from && range.to && range.from >= range.to) {
    throw new ValidationError('This range has nothing in it: range.from has to be before range.to.', ['range', 'from']);
  }
  if (from >= Math.min(to, beyondNow)) {
    throw new ValidationError('This range has nothing in it: range.from is in the future.', ['range', 'from']);
  }
  const window = {
    from: widened(from, beyondNow, floorTo),
    to: widened(to, beyondNow, ceilTo),
    isOpen: to >= beyondNow,
    bucket,
  };
  const count = (ceilTo(window.to, bucket) - floorTo(window.from, bucket)) / bucket;
  if (count > MOST_BUCKETS) {
    throw new ValidationError(
      `These are ${count} buckets, at most ${MOST_BUCKETS}: narrow the range with range.from${COARSER[bucket]}.`,
      range?.from ? ['range', 'from'] : ['range'],
    );
  }
  // Nothing is coarser than days: of those that are not kept any more the timeline has zeros.
  if (bucket !== DAY && floorTo(window.from, bucket) < beyondNow - KEPT[bucket] - bucket) {
    throw new ValidationError(
      `Buckets of one ${NAMES[bucket]} are kept for ${KEPT[bucket] / DAY} days: set range.from to a later time${COARSER[bucket]}.`,
      ['range', 'from'],
    );
  }
  return window;
};

const ceilMinute = (moment: Date): number => minuteOf(moment.getTime() + 59_999);

const widened = (minute: number, now: number, round: (minute: number, grain: Grain) => number): number => {
  if (minute < now - KEPT[HOUR]) return round(minute, DAY);
  return minute < now - KEPT[MINUTE] ? round(minute, HOUR) : minute;
};

/** The last 24 hours, whatever they are divided into. */
export const lastDay = (nowMs: number): AnalyticsWindow => ({
  from: minuteOf(nowMs) - DAY,
  to: minuteOf(nowMs) + 1,
  isOpen: true,
  bucket: HOUR,
});

/**
 * Cuts a window into as few stretches as there are, none longer than `longest`: the longest, with finer ones before and after
 * them, minutes at both ends. Together they are the window, and no minute is in two. Where the window is open they go on to the end of
 * the last of the longest: there is nothing in it but what happened until now, and its hours and minutes need not be read.
 */
export const segmentsOf = ({ from, to, isOpen }: AnalyticsWindow, longest: Grain): Segment[] =>
  cut(
    from,
    isOpen ? ceilTo(to, longest) : to,
    TYPE_GRAINS.filter((grain) => grain <= longest),
  );

const cut = (from: number, to: number, [grain, ...finer]: readonly Grain[]): Segment[] => {
  if (grain === undefined || from >= to) return [];
  const [first, beyond] = [ceilTo(from, grain), floorTo(to, grain)];
  if (first >= beyond) return cut(from, to, finer);
  return [...cut(from, first, finer), { grain, from: first, to: beyond }, ...cut(beyond, to, finer)];
};

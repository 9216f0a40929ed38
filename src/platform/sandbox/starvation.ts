import { readFileSync } from 'node:fs';

/**
 * Deadlines are of the clock, because that is what others wait by; but a machine that is too busy to run a child must not
 * make an expression fail that did nothing wrong. What had less than this share of its deadline from the processor gets it again …
 */
export const SHARE_OF_RUNNING = 0.8;
/** … up to so many times in all. */
export const MOST_TRIES = 4;

const MS_PER_TICK = 10;
const [UTIME, STIME] = [11, 12];

/**
 * Processor time of a process so far, in milliseconds, to the hundredth of a second (proc(5), /proc/pid/stat). Null where that can't be
 * told: elsewhere than on Linux, and of a process that is gone.
 */
export const processorTimeOf = (pid: number): number | null => {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null;
  }
  // The second field is the name, in brackets, with anything in it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[UTIME]) + Number(fields[STIME])) * MS_PER_TICK;
};

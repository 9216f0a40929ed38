/** A step into a value: a field of an object, or an element of an array. */
type Step = string | number;

/** A plain path, such as `event.id`, "`event-data`.id" or `$[0].type`. */
export type Path = readonly Step[];

/** What `readPath` answers where only JSONata itself can tell: a field of an array, which JSONata maps over. */
export const NOT_PLAIN: unique symbol = Symbol('not a plain path');

const MAX_LENGTH = 256;
const MAX_STEPS = 16;

/** Words that JSONata takes for something else than a field. */
const RESERVED = new Set(['true', 'false', 'null', 'function', 'and', 'or', 'in']);

const FIELD = /(?:([A-Za-z_]\w*)|`([^`]+)`)/y;
const INDEX = /\[(\d{1,9})\]/y;

/**
 * The plain paths among JSONata's expressions: fields joined by dots, a name with other characters in backticks, indexes
 * in brackets, `$` for the whole. Null for anything else.
 */
export const parsePath = (text: string): Path | null => {
  if (text.length === 0 || text.length > MAX_LENGTH) return null;
  const steps: Step[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match) at += match[0].length;
    return match;
  };
  const takeField = (): boolean => {
    const match = take(FIELD);
    if (!match || RESERVED.has(match[1] ?? '')) return false;
    steps.push((match[1] ?? match[2])!);
    return true;
  };
  const takeIndexes = (): void => {
    for (let match = take(INDEX); match; match = take(INDEX)) steps.push(Number(match[1]));
  };
  if (text.startsWith('$')) at = 1;
  else if (!takeField()) return null;
  takeIndexes();
  while (at < text.length) {
    if (text[at] !== '.') return null;
    at += 1;
    if (!takeField()) return null;
    takeIndexes();
  }
  return steps.length <= MAX_STEPS ? steps : null;
};

/**
 * The value at the path, as JSONata gives it; undefined where there is none. Own fields only. NOT_PLAIN where the path
 * leads through an array without an index.
 */
export const readPath = (path: Path, value: unknown): unknown => {
  let here = value;
  for (const step of path) {
    if (typeof step === 'number') {
      // To JSONata a single value is the array of itself.
      if (Array.isArray(here)) here = here[step] as unknown;
      else if (step > 0) return undefined;
    } else {
      if (Array.isArray(here)) return NOT_PLAIN;
      if (typeof here !== 'object' || here === null || !Object.hasOwn(here, step)) return undefined;
      here = (here as Record<string, unknown>)[step];
    }
    if (here === undefined) return undefined;
  }
  return here;
};

/**
 * Everything that the path reaches where a field of an array is that field of each of its elements; NOT_PLAIN for elements
 * that are arrays themselves.
 */
export const readAll = (path: Path, value: unknown): readonly unknown[] =>
  path.reduce<readonly unknown[]>(
    (reached, step) =>
      (typeof step === 'number' ? reached : reached.flat()).map((here) =>
        here === NOT_PLAIN ? NOT_PLAIN : readPath([step], here),
      ),
    [value],
  );

/**
 * The value that the path reaches where every array on its way without an index has one element, as JSONata reads it;
 * undefined where that element has none. NOT_PLAIN where arrays have none or several: what is signed of one element must
 * not vouch for another beside it.
 */
export const readOnly = (path: Path, value: unknown): unknown => {
  const reached = readAll(path, value);
  return reached.length === 1 ? reached[0] : NOT_PLAIN;
};

/** A text, or a number or boolean as text; null for everything else. */
export const asText = (value: unknown): string | null => {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : null;
};

/** The text at the path as `readOnly` reads it; null where there is nothing, or something else. */
export const textAt = (path: Path, value: unknown): string | null => asText(readOnly(path, value));

/** The most that an expression may result in, as JSON. */
export const MAX_RESULT_CHARACTERS = 1_048_576;
/** Levels of arrays and objects in a result: what walks it later, such as a message to another thread, must not use up its stack. */
export const DEEPEST_NESTING = 1_000;

/** Or too deep. */
export class ResultTooLarge extends Error {}

/**
 * What an expression resulted in, as JSON text; undefined where there is nothing. Functions are nothing, as numbers that
 * JSON doesn't know are null. Throws ResultTooLarge, before a small structure that holds the same thing many times over is
 * written out.
 */
export const toJson = (value: unknown): string | undefined => {
  const measure: Measure = { characters: 0, hasFunctions: false };
  add(measure, value);
  // A replacer costs as much as everything else together.
  const text = (
    measure.hasFunctions
      ? JSON.stringify(value, (_key, part: unknown) => (isFunctionValue(part) ? undefined : part))
      : JSON.stringify(value)
  ) as string | undefined;
  if (text !== undefined && text.length > MAX_RESULT_CHARACTERS) throw new ResultTooLarge();
  return text;
};

interface Measure {
  /** What its text has at least. */
  characters: number;
  hasFunctions: boolean;
}

const add = (measure: Measure, value: unknown, level = 0): void => {
  if (level > DEEPEST_NESTING) throw new ResultTooLarge();
  measure.characters += typeof value === 'string' ? value.length + 2 : 1;
  if (measure.characters > MAX_RESULT_CHARACTERS) throw new ResultTooLarge();
  if (isFunctionValue(value)) {
    measure.hasFunctions = true;
  } else if (Array.isArray(value)) {
    for (const item of value) {
      measure.characters += 1;
      add(measure, item, level + 1);
    }
  } else if (typeof value === 'object' && value !== null) {
    for (const key of Object.keys(value)) {
      measure.characters += key.length + 4;
      add(measure, (value as Record<string, unknown>)[key], level + 1);
    }
  }
};

/** JSONata's own functions are objects; what only looks like one came from the input and stays. */
const isFunctionValue = (value: unknown): boolean => {
  if (typeof value === 'function') return true;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const { implementation, environment } = value as { implementation?: unknown; environment?: { lookup?: unknown } };
  return typeof implementation === 'function' || typeof environment?.lookup === 'function';
};

/** What JSONata's `$boolean` makes of a value, and false of nothing. Of arrays in arrays what is too far in is not looked at. */
export const isTruthy = (value: unknown, depth = 0): boolean => {
  if (typeof value === 'string') return value !== '';
  if (typeof value === 'number') return value !== 0 && !Number.isNaN(value);
  if (typeof value !== 'object' || value === null) return value === true;
  if (Array.isArray(value)) return depth < DEEPEST_NESTING && value.some((item) => isTruthy(item, depth + 1));
  return !looksLikeFunction(value) && Object.keys(value).length > 0;
};

/** JSONata takes an object with one of these marks for a function, wherever it comes from. */
export const looksLikeFunction = (value: object): boolean => {
  const marks = value as { _jsonata_function?: unknown; _jsonata_lambda?: unknown };
  return marks._jsonata_function === true || marks._jsonata_lambda === true;
};

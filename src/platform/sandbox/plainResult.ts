/** The most that an expression may result in, as JSON. */
export const MAX_RESULT_CHARACTERS = 1_048_576;

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

const add = (measure: Measure, value: unknown): void => {
  measure.characters += typeof value === 'string' ? value.length + 2 : 1;
  if (measure.characters > MAX_RESULT_CHARACTERS) throw new ResultTooLarge();
  if (isFunctionValue(value)) {
    measure.hasFunctions = true;
  } else if (Array.isArray(value)) {
    for (const item of value) {
      measure.characters += 1;
      add(measure, item);
    }
  } else if (typeof value === 'object' && value !== null) {
    for (const key of Object.keys(value)) {
      measure.characters += key.length + 4;
      add(measure, (value as Record<string, unknown>)[key]);
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

/** Of arrays in arrays; what is further in is not looked at. Keeps hostile input from using up the stack. */
export const DEEPEST_NESTING = 1_000;

/** What JSONata's `$boolean` makes of a value, and false of nothing. */
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

import { DEEPEST_NESTING, isTruthy, looksLikeFunction } from './plainResult.ts';

/** A word, or anything in backticks. */
const NAME = '[A-Za-z_][A-Za-z0-9_]*|`[^`]+`';
const PATH = new RegExp(`^(?:(\\$\\$?)|(?:(\\$\\$?)\\.)?((?:${NAME})(?:\\.(?:${NAME}))*))$`);
const STEP = new RegExp(NAME, 'g');
/** Read as something else than a name. */
const WORDS = new Set(['and', 'or', 'in', 'true', 'false', 'null', 'function']);
const NUMBER = /^-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?$/;
const STRING = /^(?:'[^'\\]*'|"[^"\\]*")$/;
const COMPARISON = /^(.*?[^!\s])\s*(!?=)\s*(\S.*)$/s;
const MAX_SIMPLE_CHARACTERS = 512;

/** Texts and backticks whole, words with the path that they stand in, anything else by itself. */
const TOKEN = /'[^'\\]*'|"[^"\\]*"|`[^`]+`|[\w$.]+|[^]/g;

/**
 * What most expressions are, `data.id`, `$.x`, `'text'`, `$`, such a path compared with a literal (`data.type = 'x'`), and
 * those joined by `and` and `or`, as a function that does exactly what JSONata does; null for anything else. It takes what
 * JSON.parse returns, never throws, and needs no child: its work is bounded by the size of its input. Arrays nested deeper than 1,000
 * are nothing to it.
 */
export const parseSimplePath = (expression: string): ((input: unknown) => unknown) | null => {
  if (expression.length > MAX_SIMPLE_CHARACTERS) return null;
  const alternatives = splitAt(expression.match(TOKEN) ?? [], 'or').map((tokens) =>
    splitAt(tokens, 'and').map((term) => parseTerm(term.join('').replaceAll(/^[ \t\r\n]+|[ \t\r\n]+$/g, ''))),
  );
  if (!alternatives.every((terms): terms is Evaluate[] => terms.every((term) => term !== null))) return null;
  const [first] = alternatives;
  if (alternatives.length === 1 && first!.length === 1) return first![0]!;
  return (input) => alternatives.some((terms) => terms.every((term) => isTruthy(term(input))));
};

type Evaluate = (input: unknown) => unknown;

const splitAt = (tokens: readonly string[], word: string): string[][] => {
  const parts: string[][] = [[]];
  for (const [index, token] of tokens.entries()) {
    // A quote that follows at once is part of a name to JSONata.
    if (token === word && !/^['"`]/.test(tokens[index + 1] ?? '')) parts.push([]);
    else parts.at(-1)!.push(token);
  }
  return parts;
};

const parseTerm = (text: string): Evaluate | null => {
  const single = parseLiteral(text) ?? parsePath(text);
  if (single) return single;

  const [, left, operator, right] = COMPARISON.exec(text) ?? [];
  const path = left === undefined ? null : parsePath(left);
  const literal = right === undefined ? null : parseLiteral(right);
  if (!path || !literal) return null;
  const wanted = literal();
  const whenEqual = operator === '=';
  return (input) => {
    const found = path(input);
    return found !== undefined && (found === wanted) === whenEqual;
  };
};

const parseLiteral = (text: string): (() => unknown) | null => {
  if (STRING.test(text)) {
    const value = text.slice(1, -1);
    return () => value;
  }
  if (NUMBER.test(text)) {
    const value = Number(text) + 0; // never -0, which JSON doesn't have
    return () => value;
  }
  if (text === 'true' || text === 'false') return () => text === 'true';
  return text === 'null' ? () => null : null;
};

const parsePath = (text: string): Evaluate | null => {
  const [, alone, start, steps] = PATH.exec(text) ?? [];
  if (alone !== undefined) return ROOTS[alone as keyof typeof ROOTS];
  if (steps === undefined) return null;
  const names = steps.match(STEP)!;
  if (names.some((name) => WORDS.has(name))) return null;
  const keys = names.map((name) => (name.startsWith('`') ? name.slice(1, -1) : name));
  if (start === undefined) return (input) => follow([input], keys);
  const root = ROOTS[start as keyof typeof ROOTS];
  return (input) => {
    const first = root(input);
    return follow(Array.isArray(first) ? first : [first], keys);
  };
};

/** JSONata marks an array at the root as a wrapper, and takes an object with that mark for one where `$` is asked for. */
const ROOTS = {
  $: (input: unknown): unknown => {
    if (typeof input !== 'object' || input === null || Array.isArray(input)) return input;
    const { outerWrapper, 0: wrapped } = input as { outerWrapper?: unknown; 0?: unknown };
    return outerWrapper ? wrapped : input;
  },
  $$: (input: unknown): unknown => input,
};

/** Each step is taken from every item; what is found is gathered into one list, and a list of one is that one. */
const follow = (start: readonly unknown[], keys: readonly string[]): unknown => {
  let items = start;
  for (const [index, key] of keys.entries()) {
    const found = items.map((item) => lookUp(item, key)).filter((value) => value !== undefined);
    // An array that the last step finds alone stays as it stands in the input, even with one item or none.
    if (index === keys.length - 1 && found.length === 1 && Array.isArray(found[0])) return found[0];
    items = found.flat();
    if (items.length === 0) return undefined;
  }
  return items.length === 1 ? items[0] : items;
};

const lookUp = (item: unknown, key: string): unknown => {
  if (!Array.isArray(item)) return property(item, key);
  const gathered = gather(item, key, 0);
  return gathered.length < 2 ? gathered[0] : gathered;
};

const gather = (array: readonly unknown[], key: string, depth: number): unknown[] => {
  if (depth > DEEPEST_NESTING) return [];
  return array.flatMap((item) => {
    const value = Array.isArray(item) ? gather(item, key, depth + 1) : property(item, key);
    return value === undefined ? [] : value;
  });
};

const property = (item: unknown, key: string): unknown => {
  if (typeof item !== 'object' || item === null || !Object.hasOwn(item, key) || looksLikeFunction(item))
    return undefined;
  return (item as Record<string, unknown>)[key];
};

import type { TargetField } from '../actions/action.ts';

/** A value as its target field takes it, or why it can't be had. */
export type Coerced = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly message: string };

const NUMERIC = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?$/i;
const LONGEST_SHOWN = 60;

/**
 * Brings what an expression found to the type of its target field. Null stays null: it empties the field. Text is what
 * PostgreSQL can store, so NUL goes and lone surrogates are replaced. How long a text may be, and which objects a
 * JSON field takes, is the action's own matter.
 */
export const coerce = (field: TargetField, value: unknown): Coerced => {
  if (value === null) return taken(null);
  switch (field.type) {
    case 'STRING':
      return isScalar(value) ? taken(textOf(value)) : refused('a text', value);
    case 'REF':
      return isScalar(value) ? taken(textOf(value).trim()) : refused('an id', value);
    case 'INT': {
      const number = numberOf(value);
      return Number.isSafeInteger(number) ? taken(number) : refused('a whole number', value);
    }
    case 'NUMBER': {
      const number = numberOf(value);
      return Number.isFinite(number) ? taken(number) : refused('a number', value);
    }
    case 'BOOLEAN': {
      const text = isScalar(value) ? textOf(value).trim().toLowerCase() : '';
      if (text === 'true' || text === '1') return taken(true);
      return text === 'false' || text === '0' ? taken(false) : refused('true or false', value);
    }
    case 'ENUM': {
      const allowed = field.allowedValues ?? [];
      const text = isScalar(value) ? textOf(value).trim().toLowerCase() : null;
      const found = allowed.find((one) => one.toLowerCase() === text);
      return found === undefined ? refused(`one of ${allowed.join(', ')}`, value) : taken(found);
    }
    case 'JSON':
      return taken(value);
    default:
      return field.type satisfies never;
  }
};

const taken = (value: unknown): Coerced => ({ ok: true, value });

const refused = (wanted: string, value: unknown): Coerced => ({
  ok: false,
  message: `It takes ${wanted}, and got ${shown(value)}.`,
});

const isScalar = (value: unknown): value is string | number | boolean =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';

const textOf = (value: string | number | boolean): string => String(value).replaceAll('\0', '').toWellFormed();

/** NaN for what is no number. */
const numberOf = (value: unknown): number => {
  if (typeof value === 'number') return value;
  const text = typeof value === 'string' ? value.trim() : '';
  return NUMERIC.test(text) ? Number(text) : Number.NaN;
};

const shown = (value: unknown): string => {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (!isScalar(value)) return 'an object';
  const text = textOf(value);
  return JSON.stringify(text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…`.toWellFormed() : text);
};

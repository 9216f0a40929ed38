import { z } from 'zod';
import { ValidationError } from './errors.ts';

/** Text for people, trimmed. Storable in PostgreSQL: no NUL, no lone surrogate. Length in UTF-16 units. */
export const text = (least: number, most: number, what: string) => bounded(storable(what).trim(), least, most, what);

/** The same for programs: kept to the last blank. */
export const exactText = (least: number, most: number, what: string) => bounded(storable(what), least, most, what);

const bounded = (schema: z.ZodString, least: number, most: number, what: string) =>
  schema
    .min(least, least === 1 ? `${what} must not be empty.` : `${what} needs at least ${least} characters.`)
    .max(most, `${what} is too long: at most ${most} characters.`);

const storable = (what: string) =>
  z
    .string(`${what} is a text.`)
    .refine((value) => !value.includes('\0') && value.isWellFormed(), `${what} has characters that cannot be stored.`);

/** Parses with zod; the first thing that is wrong becomes a ValidationError with `at` and the place within the value. */
export const parseInput = <T>(schema: z.ZodType<T>, value: unknown, at: readonly string[] = ['input']): T => {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new ValidationError(issue.message, [...at, ...issue.path.map(String)]);
};

/** Throws ValidationError for text that no stored text can equal, because PostgreSQL takes no NUL. */
export const assertStorable = (texts: readonly string[], path: readonly string[]): void => {
  if (texts.some((one) => one.includes('\0'))) throw new ValidationError('This text has a NUL in it.', path);
};

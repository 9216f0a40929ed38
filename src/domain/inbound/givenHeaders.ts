import { ValidationError } from '../errors.ts';

const MOST_HEADERS = 100;
const LONGEST_HEADER = 8_192;
/** A token (RFC 9110, 5.6.2). */
const HEADER_NAME = /^[!#$%&'*+.^_`|~\da-z-]{1,128}$/i;

/**
 * Headers as a caller of the API gives them, an object of texts, with their names in lower case. Throws ValidationError
 * with a path below the given one.
 */
export const givenHeaders = (headers: unknown, path: readonly string[]): Readonly<Record<string, string>> => {
  const refuse = (message: string, below: readonly string[] = []): never => {
    throw new ValidationError(message, [...path, ...below]);
  };
  if (headers === null || headers === undefined) return {};
  if (typeof headers !== 'object' || Array.isArray(headers)) return refuse('Headers are an object of texts.');
  const entries = Object.entries(headers);
  if (entries.length > MOST_HEADERS) refuse(`At most ${MOST_HEADERS} headers.`);
  return Object.fromEntries(
    entries.map(([name, value]: [string, unknown]) => {
      if (!HEADER_NAME.test(name)) refuse('This is no name of a header.', [name.slice(0, 60)]);
      if (typeof value === 'string' && value.length <= LONGEST_HEADER) return [name.toLowerCase(), value];
      return refuse(`The value of a header is a text of at most ${LONGEST_HEADER} characters.`, [name]);
    }),
  );
};

/** What stands in a record where a credential was. */
export const MASK = '***';

/** Why an event type or idempotency key can't be read from a header. */
export const CREDENTIAL_AS_SOURCE = 'This header holds a credential, which is never kept: name another one.';

/** Names of headers and query parameters whose values are taken for credentials, whatever a webhook expects there. */
const TELLING =
  /authorization|cookie|token|secret|passw|passphrase|api[-_]?key|access[-_]?key|credential|jwt|(?:^|[-_.])(?:auth(?:entication)?|pwd)$|^key$/i;
/** What only makes a request idempotent proves nothing, though Twilio calls it a token. */
const HARMLESS = /idempotency/i;
/** A shorter one would be found in places where it is none. */
const SHORTEST_CREDENTIAL = 8;
const LONGEST_PATH = 2_048;

/** Whether the value of a header or query parameter of this name is never kept. */
export const isCredentialName = (name: string): boolean => TELLING.test(name) && !HARMLESS.test(name);

/** What of a request is recorded, besides its body. */
export interface RecordedHead {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Names, in lower case, under which a webhook expects credentials. */
export interface CredentialNames {
  readonly headers: ReadonlySet<string>;
  readonly query: ReadonlySet<string>;
}

/**
 * Head of a request without credentials: those that the webhook expects, and those that their names tell, are `***`; and
 * what was masked in one place is masked wherever else it stands. Header names in lower case; all text is storable.
 */
export const withoutCredentials = (
  path: string,
  query: string,
  headers: Readonly<Record<string, string>>,
  names: CredentialNames,
): RecordedHead => {
  const found = new Set<string>();
  // A plain object, which is spelt as JSON in half the time. A header `__proto__` is lost by that, and nobody sends one.
  const kept: Record<string, string> = {};
  for (const name of Object.keys(headers)) {
    const value = headers[name]!;
    if (names.headers.has(name) || isCredentialName(name)) {
      // Of "Bearer x" and "a=b; c=d" the parts as well.
      for (const part of [value, ...value.split(/[\s,;=]+/)]) found.add(part);
      kept[name] = MASK;
    } else kept[name] = storable(value);
  }
  const parameters = query === '' ? '' : `?${maskQuery(query, names.query, found)}`;
  const secrets = [...found].filter((text) => text.length >= SHORTEST_CREDENTIAL && text !== MASK);
  const clean = (text: string): string => secrets.reduce((rest, secret) => rest.replaceAll(secret, MASK), text);
  if (secrets.length > 0) for (const name of Object.keys(kept)) kept[name] = clean(kept[name]!);
  return { path: storable(clean(path + parameters)).slice(0, LONGEST_PATH), headers: kept };
};

const maskQuery = (query: string, names: ReadonlySet<string>, found: Set<string>): string =>
  query
    .split('&')
    .map((parameter) => {
      const equals = parameter.indexOf('=');
      if (equals === -1) return parameter;
      const name = decode(parameter.slice(0, equals));
      if (!names.has(name.toLowerCase()) && !TELLING.test(name)) return parameter;
      const value = parameter.slice(equals + 1);
      found.add(value);
      found.add(decode(value));
      return `${parameter.slice(0, equals)}=${MASK}`;
    })
    .join('&');

const decode = (text: string): string => new URLSearchParams(`x=${text.replaceAll('&', '%26')}`).get('x') ?? text;

/** Text as PostgreSQL takes it: no NUL, no lone surrogate. */
export const storable = (text: string): string =>
  text.isWellFormed() && !text.includes('\0') ? text : text.replaceAll('\0', '\uFFFD').toWellFormed();

/** A body's value; null of an empty body. `ok: false` is a body that is neither JSON nor a form of bearable size. */
export type ParsedBody = { readonly ok: true; readonly value: unknown } | { readonly ok: false };

/** More fields than a form of any sender has; sorting and storing them is bounded by it. */
const MAX_FORM_FIELDS = 2_000;

const FORM = /^application\/x-www-form-urlencoded\s*(?:;|$)/i;

export const isForm = (contentType: string | null): boolean => contentType !== null && FORM.test(contentType);

/** The fields of a form in their order; null where there are more than a form may have. */
export const formFields = (body: Buffer): readonly (readonly [string, string])[] | null => {
  let separators = 0;
  for (let at = body.indexOf(0x26); at !== -1; at = body.indexOf(0x26, at + 1)) {
    separators += 1;
    if (separators >= MAX_FORM_FIELDS) return null;
  }
  return [...new URLSearchParams(body.toString('utf8'))];
};

/**
 * Parses a body by its Content-Type, which only tells a form from JSON. A form is an object of its fields, a repeated one
 * an array of its values; a field `payload` that holds a JSON object or array (Slack, GitHub) is that value.
 */
export const parseBody = (contentType: string | null, body: Buffer): ParsedBody => {
  if (body.length === 0) return { ok: true, value: null };
  if (isForm(contentType)) {
    const fields = formFields(body);
    return fields ? { ok: true, value: formObject(fields) } : { ok: false };
  }
  const text = body.toString('utf8').replace(/^\uFEFF/, '');
  return text.trim() === '' ? { ok: true, value: null } : parseJson(text);
};

const formObject = (fields: readonly (readonly [string, string])[]): Record<string, unknown> => {
  const values = new Map<string, string[]>();
  for (const [name, value] of fields) {
    const present = values.get(name);
    if (present) present.push(value);
    else values.set(name, [value]);
  }
  return Object.fromEntries(
    [...values].map(([name, all]) => {
      const value = all.length === 1 ? all[0]! : all;
      return [name, name === 'payload' && typeof value === 'string' ? payloadOf(value) : value];
    }),
  );
};

const payloadOf = (text: string): unknown => {
  const result = parseJson(text);
  return result.ok && typeof result.value === 'object' && result.value !== null ? result.value : text;
};

/** Digits that may be more than a double has. */
const LONG_NUMBER = /\d{16}/;
const WHOLE = /^-?\d+$/;

/** A whole number that a double would round, such as an id of 64 bits, is its text: two of them must not become one. */
const exact = (_key: string, value: unknown, context?: { readonly source?: string }): unknown => {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  const text = context?.source ?? '';
  return WHOLE.test(text) && String(value) !== text ? text : value;
};

const parseJson = (text: string): ParsedBody => {
  try {
    return { ok: true, value: (LONG_NUMBER.test(text) ? JSON.parse(text, exact) : JSON.parse(text)) as unknown };
  } catch {
    // Whatever JSON.parse says, the sender learns one thing: this is not JSON.
    return { ok: false };
  }
};

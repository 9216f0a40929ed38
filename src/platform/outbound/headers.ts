/** Bounds of the static headers that a webhook can carry. */
export const MAX_CUSTOM_HEADERS = 20;
const MAX_NAME_LENGTH = 128;
const MAX_VALUE_LENGTH = 4_096;

/** A token (RFC 9110, 5.6.2). */
const TOKEN = /^[!#$%&'*+.^_`|~\da-z-]+$/i;

/** Visible ASCII, blanks and tabs inside. RFC 9110 (5.5) lets bytes above pass for history's sake only; nobody agrees on what they mean. */
const VALUE = /^(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?$/;

/*
 * Hop-by-hop (RFC 9110, 7.6.1) and framing headers, which could cut one request into two, and those that hookgraph sets itself.
 */
const RESERVED = new Set([
  'accept-encoding',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
]);

/** Judges a header name that a user wants sent with every delivery. Null, or a sentence with what is wrong. `signedPrefix` as configured (`X-Alga-`). */
export function checkHeaderName(name: string, signedPrefix: string): string | null {
  if (name.length === 0 || name.length > MAX_NAME_LENGTH)
    return `A header name has 1 to ${MAX_NAME_LENGTH} characters.`;
  if (!TOKEN.test(name)) return "A header name consists of letters, digits and !#$%&'*+-.^_`|~ only.";
  const lower = name.toLowerCase();
  if (RESERVED.has(lower)) return `The header ${lower} is set by hookgraph itself: leave it out.`;
  if (lower.startsWith('webhook-') || (signedPrefix !== '' && lower.startsWith(signedPrefix.toLowerCase()))) {
    return `Headers that start with webhook- or ${signedPrefix} are signed by hookgraph: choose another name.`;
  }
  return null;
}

/** Judges a header value. Null, or a sentence with what is wrong, which never repeats the value: it is a secret. */
export function checkHeaderValue(value: string): string | null {
  if (value.length > MAX_VALUE_LENGTH) return `A header value has at most ${MAX_VALUE_LENGTH} characters.`;
  if (!VALUE.test(value)) {
    return 'A header value consists of printable ASCII characters, without line breaks, and has no blanks around it.';
  }
  return null;
}

/** Judges the names of all static headers together. Null, or the index of the first bad one and why (-1: the list itself). */
export function checkHeaderNames(
  names: readonly string[],
  signedPrefix: string,
): { readonly index: number; readonly message: string } | null {
  if (names.length > MAX_CUSTOM_HEADERS) return { index: -1, message: `At most ${MAX_CUSTOM_HEADERS} headers.` };
  const seen = new Set<string>();
  for (const [index, name] of names.entries()) {
    const lower = name.toLowerCase();
    const message = seen.has(lower)
      ? `The header ${lower} is there twice: leave one out.`
      : checkHeaderName(name, signedPrefix);
    if (message !== null) return { index, message };
    seen.add(lower);
  }
  return null;
}

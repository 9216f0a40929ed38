export const ENCODINGS = ['HEX', 'BASE64', 'BASE64URL'] as const;
export type Encoding = (typeof ENCODINGS)[number];

/** How signatures stand in their header, query parameter or field. */
export interface SignatureFormat {
  readonly encoding: Encoding;
  readonly prefix: string;
  /** Between several in one header; null where there is one. */
  readonly separator: string | null;
  /** Of `field=value` items, the one that is a signature. */
  readonly field: string | null;
}

/** More than a sender that rotates its keys lists; each costs a comparison. */
const MAX_SIGNATURES = 16;

/** HMAC senders that the configuration has no prefix of often name their hash all the same. */
const HASH_NAME = /^sha(?:1|256|512)=/;

const ALPHABET: Readonly<Record<Encoding, RegExp>> = {
  HEX: /^(?:[0-9a-f]{2})+$/i,
  BASE64: /^[A-Za-z0-9+/]+={0,2}$/,
  BASE64URL: /^[A-Za-z0-9_-]+={0,2}$/,
};

/** The values of the header's items that are named `name`, in their order. */
export const fieldValues = (header: string, separator: string, name: string): readonly string[] =>
  header
    .split(separator)
    .map((item) => item.trim())
    .filter((item) => item.slice(0, item.indexOf('=')).trim() === name && item.includes('='))
    .map((item) => item.slice(item.indexOf('=') + 1).trim());

/** The signatures as bytes; what isn't of the format is left out, so that a malformed header has none. */
export const parseSignatures = (header: string, format: SignatureFormat): readonly Buffer[] =>
  itemsOf(header, format)
    .slice(0, MAX_SIGNATURES)
    .flatMap((item) => {
      if (!item.startsWith(format.prefix)) return [];
      const text = format.prefix === '' ? item.replace(HASH_NAME, '') : item.slice(format.prefix.length);
      return decodeText(text, format.encoding) ?? [];
    });

const itemsOf = (header: string, { separator, field }: SignatureFormat): readonly string[] => {
  if (separator === null) return [header.trim()];
  if (field !== null) return fieldValues(header, separator, field);
  return header
    .split(separator)
    .map((item) => item.trim())
    .filter((item) => item !== '');
};

/** Null for text that is not of the encoding; padding may be left out. */
export const decodeText = (text: string, encoding: Encoding): Buffer | null => {
  if (!ALPHABET[encoding].test(text)) return null;
  // One letter beyond a group of four holds no byte: Node would pass over it.
  if (encoding !== 'HEX' && text.replace(/=+$/, '').length % 4 === 1) return null;
  return Buffer.from(text, encoding === 'HEX' ? 'hex' : encoding === 'BASE64' ? 'base64' : 'base64url');
};

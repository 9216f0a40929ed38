import { createHash } from 'node:crypto';
import { formFields, isForm } from './body.ts';
import { asText, parsePath, readOnly } from './path.ts';
import type { Path } from './path.ts';
import { bodyOf, headerOf, queryOf } from './request.ts';
import type { InboundRequest } from './request.ts';

interface FormPart {
  readonly kind: 'form';
}

type Part =
  | FormPart
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'body' | 'timestamp' | 'id' | 'method' | 'url' | 'path' | 'query' }
  | { readonly kind: 'header'; readonly name: string }
  | { readonly kind: 'json'; readonly path: Path; readonly source: string };

/** A template of what a sender signs, parsed once. */
export type SignedContent = readonly Part[];

const PLAIN = ['body', 'timestamp', 'id', 'method', 'url', 'path', 'query', 'form'] as const;
const HEADER_TOKEN = /^header\.([\w!#$%&'*+.^|~-]{1,100})$/;

/** Parses a template; a string is what is wrong with it. */
export const parseSignedContent = (template: string): SignedContent | string => {
  const parts: Part[] = [];
  let end = 0;
  const literal = (text: string): void => {
    if (text !== '') parts.push({ kind: 'literal', text });
  };
  for (const match of template.matchAll(/\{([^{}]*)\}/g)) {
    literal(template.slice(end, match.index));
    const part = parseToken(match[1]!);
    if (typeof part === 'string') return part;
    parts.push(part);
    end = match.index + match[0].length;
  }
  literal(template.slice(end));
  return parts.some((part) => part.kind !== 'literal') ? parts : 'The signed content must have {body} or another part.';
};

const parseToken = (token: string): Part | string => {
  const plain = PLAIN.find((kind) => kind === token);
  if (plain) return { kind: plain };
  const header = HEADER_TOKEN.exec(token);
  if (header) return { kind: 'header', name: header[1]! };
  const path = token.startsWith('json.') ? parsePath(token.slice('json.'.length)) : null;
  if (path) return { kind: 'json', path, source: token };
  return `{${token}} is no part of a signed content.`;
};

export const contentUses = (content: SignedContent, kind: Part['kind']): boolean =>
  content.some((part) => part.kind === kind);

/** What a template is filled with besides the request itself. */
export interface SignedValues {
  readonly timestamp: string | null;
  readonly id: string | null;
}

/** The signed bytes, in chunks to be hashed in a row; or, as a string, why this request has none. */
export const fillSignedContent = (
  content: SignedContent,
  request: InboundRequest,
  values: SignedValues,
): readonly (Buffer | string)[] | string => {
  const chunks: (Buffer | string)[] = [];
  for (const part of content) {
    const chunk = part.kind === 'form' ? formText(request, isUrlSigned(content)) : chunkOf(part, request, values);
    if (chunk === null) return `The request has no {${nameOf(part)}}, which is signed.`;
    chunks.push(chunk);
  }
  return chunks;
};

const isUrlSigned = (content: SignedContent): boolean => contentUses(content, 'url') || contentUses(content, 'query');

const nameOf = (part: Part): string => {
  if (part.kind === 'header') return `header.${part.name}`;
  return part.kind === 'json' ? part.source : part.kind;
};

const chunkOf = (
  part: Exclude<Part, FormPart>,
  request: InboundRequest,
  values: SignedValues,
): Buffer | string | null => {
  switch (part.kind) {
    case 'literal':
      return part.text;
    case 'timestamp':
      return values.timestamp;
    case 'id':
      return values.id;
    case 'header':
      return headerOf(request, part.name);
    case 'json':
      return jsonText(part.path, request);
    case 'body':
    case 'method':
    case 'url':
    case 'path':
    case 'query':
      return request[part.kind];
    default:
      return part satisfies never;
  }
};

/** A missing or null field is empty, as senders that sign fields have it (Adyen's originalReference); a structure is none. */
const jsonText = (path: Path, request: InboundRequest): string | null => {
  const body = bodyOf(request);
  return body.ok ? asText(readOnly(path, body.value) ?? '') : null;
};

/**
 * A form's names, sorted, each with its value; of a repeated name each value once, sorted. A body that is no form is not
 * covered by this, so its SHA-256 must stand in the URL as `bodySHA256`, and the URL be signed.
 * @see https://www.twilio.com/docs/usage/security#validating-requests
 */
const formText = (request: InboundRequest, isUrlSigned: boolean): string | null => {
  const bodyHash = isUrlSigned ? queryOf(request, 'bodySHA256') : null;
  if (bodyHash !== null && bodyHash.toLowerCase() !== createHash('sha256').update(request.body).digest('hex'))
    return null;
  if (!isForm(headerOf(request, 'content-type'))) return request.body.length === 0 || bodyHash !== null ? '' : null;
  const fields = formFields(request.body);
  if (fields === null) return null;
  const pairs = new Map<string, Set<string>>();
  for (const [name, value] of fields) pairs.set(name, (pairs.get(name) ?? new Set<string>()).add(value));
  return [...pairs.keys()]
    .sort()
    .flatMap((name) => [...pairs.get(name)!].sort().map((value) => `${name}${value}`))
    .join('');
};

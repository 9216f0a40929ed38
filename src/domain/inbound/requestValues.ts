import { hash } from 'node:crypto';
import { SandboxUnavailableError } from '../../platform/sandbox/sandbox.ts';
import type { Sandbox } from '../../platform/sandbox/sandbox.ts';
import { parseSimplePath } from '../../platform/sandbox/simplePath.ts';
import { isAmong } from '../events/typePatterns.ts';
import { storable } from './credentials.ts';
import type { InboundReceiver } from './directory.ts';
import type { IdempotencyClaim } from './receipts.ts';
import type { ValueSource } from './valueSource.ts';
import { NOT_PLAIN, parsePath, readPath } from './verification/path.ts';

/** What the settings of a webhook find in a request. All text is storable. */
export interface RequestValues {
  readonly eventType: string | null;
  readonly idempotency: IdempotencyClaim | null;
}

/** A verified request whose body was read. */
export interface ReadRequest {
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly value: unknown;
  /** The value as JSON. */
  readonly json: () => string;
}

const LONGEST_TYPE = 255;
const LONGEST_SHOWN_KEY = 255;
/** Where senders put the type of an event, where nobody says. */
const USUAL_TYPE_FIELDS = ['type', 'event', 'event_type'];

type Settings = Pick<InboundReceiver, 'id' | 'tenantId' | 'eventTypeSource' | 'idempotencySource'>;

/**
 * Finds the event type and the idempotency key of a request. What is not there, or whose expression fails, is null: the
 * sender has done nothing wrong, so its request counts, without a type or without a key. Rejects with
 * SandboxUnavailableError where nobody can tell now: to guess would lose the request, or handle it twice.
 */
export const readValues = async (
  settings: Settings,
  request: ReadRequest,
  sandbox: Pick<Sandbox, 'evaluateAll'>,
): Promise<RequestValues> => {
  const { eventTypeSource, idempotencySource } = settings;
  const [type, key] = await valuesAt([eventTypeSource, idempotencySource], request, settings, sandbox);
  const typeText = textOf(eventTypeSource === null ? usualType(request.value) : type);
  const keyText = typeof key === 'object' && key !== null ? JSON.stringify(key) : textOf(key);
  return {
    eventType: typeText === null ? null : storable(typeText.slice(0, LONGEST_TYPE)),
    idempotency:
      keyText === null
        ? null
        : { shown: storable(keyText.slice(0, LONGEST_SHOWN_KEY)), hash: hash('sha256', keyText, 'hex') },
  };
};

/** Whether a type is among those let through, itself or by a wildcard. Without a type a request passes only where all do. */
export const isLetThrough = (events: ReadonlySet<string>, eventType: string | null): boolean =>
  events.size === 0 || (eventType !== null && isAmong(events, eventType.trim().toLowerCase()));

/** One round trip at most, for all that this process can't evaluate itself. */
const valuesAt = async (
  sources: readonly (ValueSource | null)[],
  { headers, value, json }: ReadRequest,
  { tenantId, id }: Settings,
  sandbox: Pick<Sandbox, 'evaluateAll'>,
): Promise<unknown[]> => {
  const values: unknown[] = [];
  const outside: { readonly at: number; readonly expression: string }[] = [];
  for (const [at, source] of sources.entries()) {
    if (source?.type === 'HEADER') values[at] = headers[source.value.toLowerCase()];
    else if (source?.type === 'JSONATA') {
      const found = valueAt(source.value, value);
      if (found === NOT_PLAIN) outside.push({ at, expression: source.value });
      else values[at] = found;
    }
  }
  if (outside.length === 0) return values;
  const expressions = outside.map(({ expression }) => expression);
  const found = await sandbox.evaluateAll(tenantId, expressions, json(), id);
  for (const [index, { at }] of outside.entries()) {
    const one = found[index]!;
    if (one.ok) values[at] = one.value;
    else if (one.code === 'UNAVAILABLE') throw new SandboxUnavailableError();
  }
  return values;
};

/** NOT_PLAIN where it takes JSONata itself to tell. */
const valueAt = (expression: string, value: unknown): unknown => {
  const simple = parseSimplePath(expression);
  if (simple) return simple(value);
  const path = parsePath(expression);
  return path === null ? NOT_PLAIN : readPath(path, value);
};

const usualType = (value: unknown): unknown => {
  if (typeof value !== 'object' || value === null) return null;
  const found = USUAL_TYPE_FIELDS.find(
    (name) => Object.hasOwn(value, name) && typeof (value as Record<string, unknown>)[name] === 'string',
  );
  return found === undefined ? null : (value as Record<string, unknown>)[found];
};

/** Of a text, number or boolean, trimmed; null for nothing, and for what is no text. */
const textOf = (value: unknown): string | null => {
  if (typeof value === 'string') return value.trim() || null;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : null;
};

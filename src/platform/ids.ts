import { createHash } from 'node:crypto';
import { TypeID } from 'typeid-js';
import { V7Generator } from 'uuidv7';

/** Every kind of object that has an id, by its TypeID prefix (https://github.com/jetify-com/typeid). */
export const ID_PREFIXES = {
  webhook: 'wh',
  event: 'evt',
  delivery: 'dlv',
  attempt: 'att',
  inboundWebhook: 'iwh',
  inboundDelivery: 'idl',
  workflow: 'wfl',
  workflowRun: 'wfr',
  bulkOperation: 'bop',
  apiKey: 'key',
  tenant: 'ten',
  ticket: 'tkt',
  ticketComment: 'cmt',
  client: 'cli',
  asset: 'ast',
} as const;

export type IdKind = keyof typeof ID_PREFIXES;

const KINDS = new Map(Object.entries(ID_PREFIXES).map(([kind, prefix]) => [prefix as string, kind as IdKind]));

const generator = new V7Generator();
let clockOffsetMs = 0;

/** Shifts the clock of new ids, so that the ids of several machines fall into the same partitions. */
export const correctIdClock = (offsetMs: number): void => {
  clockOffsetMs = offsetMs;
};

/** A UUIDv7 (RFC 9562): ascending within this process, also within one millisecond. */
export const newId = (): string =>
  generator.generateOrResetCore(Date.now() + clockOffsetMs, ROLLBACK_ALLOWANCE_MS).toString();

const ROLLBACK_ALLOWANCE_MS = 10_000;

/** The smallest UUIDv7 of a millisecond: the bound of a partition or of a time range over ids. */
export const lowestIdAt = (epochMs: number): string => {
  const hex = Math.max(0, Math.floor(epochMs)).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
};

/** The millisecond that a UUIDv7 was made in. */
export const idTime = (uuid: string): number => Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16);

/** The TypeID of a stored UUID, as it is shown everywhere: API, headers, envelope, logs. */
export const encodeId = (kind: IdKind, uuid: string): string => TypeID.fromUUID(ID_PREFIXES[kind], uuid).toString();

/** The kind and UUID of a TypeID; null for anything else, so that a caller can answer "not found". */
export const decodeAnyId = (text: string): { kind: IdKind; uuid: string } | null => {
  if (text.length > 64) return null;
  try {
    const id = TypeID.fromString(text);
    const kind = KINDS.get(id.getType());
    return kind === undefined ? null : { kind, uuid: id.toUUID() };
  } catch {
    return null; // typeid-js throws for malformed text; malformed is simply not an id
  }
};

/** The UUID of a TypeID of this kind; null for a malformed one or one of another kind. */
export const decodeId = (kind: IdKind, text: string): string | null => {
  const id = decodeAnyId(text);
  return id?.kind === kind ? id.uuid : null;
};

/**
 * A UUIDv7 with the millisecond of `base` and 74 bits of a hash of base and salt: the same pair, the same id. The SQL
 * function `derive_id` gives the same.
 */
export const deriveId = (base: string, salt: string): string => {
  const bytes = Buffer.from(base.replaceAll('-', ''), 'hex');
  const hash = createHash('sha256').update(bytes).update(salt).digest();
  hash.copy(bytes, 6, 0, 10);
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
};

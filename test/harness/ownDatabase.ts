import { afterAll, beforeAll } from 'vitest';
import { schema } from '../../mikro-orm.config.ts';
import { openDatabase } from '../../src/platform/database.ts';
import type { Database } from '../../src/platform/database.ts';
import { createTestDatabase } from './database.ts';

/** A database without a program. It is there while a test or a `beforeAll` further down runs. */
export interface OwnDatabase {
  readonly url: string;
  readonly database: Database;
}

/** Sets one up for the tests of a file or a group, and takes it down again. */
export const useDatabase = (poolSize: number): OwnDatabase => {
  const own = {} as { -readonly [Part in keyof OwnDatabase]: OwnDatabase[Part] };
  let drop: () => Promise<void>;
  beforeAll(async () => {
    const created = await createTestDatabase();
    own.url = created.url;
    drop = () => created.drop();
    own.database = await openDatabase({ url: own.url, poolSize, schema });
  });
  afterAll(async () => {
    await own.database.close();
    await drop();
  });
  return own;
};

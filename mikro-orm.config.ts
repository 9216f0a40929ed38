import { Migration0001Foundation } from './migrations/0001-foundation.ts';
import type { DatabaseSchema } from './src/platform/database.ts';

/** The entities and migrations of this installation, in order. Migrations only ever go forward. */
export const schema: DatabaseSchema = {
  entities: [],
  migrations: [Migration0001Foundation],
};

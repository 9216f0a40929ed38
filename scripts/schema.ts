import { writeFile } from 'node:fs/promises';
import { lexicographicSortSchema, printSchema } from 'graphql';
import { buildSchema } from '../src/schema/index.ts';

const schema = await buildSchema({ desk: true });

/** Writes `schema.graphql`, which a test compares with the schema: a change of the API shows in its diff. */
await writeFile(new URL('../schema.graphql', import.meta.url), `${printSchema(lexicographicSortSchema(schema))}\n`);

import { expect, it } from 'vitest';
import { schema } from '../mikro-orm.config.ts';
import { openDatabase } from '../src/platform/database.ts';
import { useDatabase } from './harness/ownDatabase.ts';

const own = useDatabase(1);

it('is closed when what was under way has ended, be it that its connection was still being made', async () => {
  for (let round = 0; round < 20; round++) {
    const database = await openDatabase({ url: own.url, poolSize: 3, schema });
    if (round % 2 === 1) await database.sql.query('select 1');
    const statements = [1, 2].map((n) => database.sql.query<{ n: number }>(`select ${n} as n`));
    const transaction = database.transaction((sql) => sql.query<{ n: number }>('select 3 as n'));
    await database.close();
    expect((await Promise.all([...statements, transaction])).flat()).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
    await database.close();
  }
});

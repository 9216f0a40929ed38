import { afterAll, beforeAll, expect, it } from 'vitest';
import { schema } from '../mikro-orm.config.ts';
import { READ_DUE } from '../src/domain/deliveries/openDeliveries.ts';
import { SETTLE } from '../src/domain/deliveries/settlement.ts';
import { PUBLISH } from '../src/domain/events/publisher.ts';
import { openDatabase } from '../src/platform/database.ts';
import type { Database } from '../src/platform/database.ts';
import { newId } from '../src/platform/ids.ts';
import { createTestDatabase } from './harness/database.ts';
import type { TestDatabase } from './harness/database.ts';

let own: TestDatabase;
let database: Database;

beforeAll(async () => {
  own = await createTestDatabase();
  database = await openDatabase({ url: own.url, poolSize: 1, schema });
});
afterAll(async () => {
  await database.close();
  await own.drop();
});

/** The plan that a prepared statement keeps: the generic one. */
const planOf = async (statement: string, values: readonly unknown[]): Promise<string> =>
  (await database.sql.query<{ 'QUERY PLAN': string }>(`explain ${statement}`, values))
    .map((row) => row['QUERY PLAN'])
    .join('\n');

const STATEMENTS: Readonly<Record<string, [string, () => unknown[], RegExp]>> = {
  READ_DUE: [READ_DUE, () => [newId(), '-infinity', '0', [], 200], /Index Scan using delivery_open_due/],
  SETTLE: [SETTLE, () => ['[]'], /Index Scan using delivery_open_pkey/],
  PUBLISH: [PUBLISH, () => ['[]', 1_000], /webhook_subscription_pkey/],
};

it('every hot statement goes by its index alone, on empty tables and on full ones', async () => {
  const check = async (): Promise<void> => {
    for (const [name, [statement, values, index]] of Object.entries(STATEMENTS)) {
      const plan = await planOf(statement, values());
      expect(plan, name).toMatch(index);
      expect(plan, name).not.toMatch(/Seq Scan|Sort Key: .*next_at/);
    }
  };
  await check();
  const tenant = newId();
  await database.sql.query(
    `insert into delivery_open (id, tenant_id, webhook_id, event_id, event_type, next_at, created_at, expires_at)
     select gen_random_uuid(), $1, ('00000000-0000-4000-8000-0000000000' || lpad((n % 50)::text, 2, '0'))::uuid,
       gen_random_uuid(), 'a.b', now() - n * interval '1 ms', now(), now() from generate_series(1, 20000) n`,
    [tenant],
  );
  await check();
  await database.sql.query('analyze delivery_open');
  await check();
});

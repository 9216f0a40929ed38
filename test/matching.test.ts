import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { Migration0014FanOut } from '../migrations/0014-fan-out.ts';
import { schema } from '../mikro-orm.config.ts';
import { coveringPatterns } from '../src/domain/events/patterns.ts';
import { typeMatcher } from '../src/domain/events/typePatterns.ts';
import { openDatabase } from '../src/platform/database.ts';
import { newId } from '../src/platform/ids.ts';
import { createEmptyDatabase } from './harness/database.ts';
import { useScene } from './harness/scene.ts';

const scene = useScene({ HOOKGRAPH_ROLES: 'api' });

/** Few words, so that much coincides; `ticket` and `tickets`, so that a prefix of a word is not taken for a word. */
const word = fc.constantFrom('ticket', 'tickets', 'comment', 'added');
const type = fc.array(word, { minLength: 2, maxLength: 4 }).map((words) => words.join('.'));
const pattern = fc.oneof(
  type,
  fc.constant('*'),
  fc.array(word, { minLength: 1, maxLength: 3 }).map((words) => `${words.join('.')}.*`),
);
const entity = fc.constantFrom('e1', 'e2');

interface Subscriber {
  readonly eventTypes: readonly string[];
  readonly entityIds: readonly string[];
  readonly status: 'ACTIVE' | 'PAUSED' | 'DISABLED';
}
const subscriber: fc.Arbitrary<Subscriber> = fc.record({
  eventTypes: fc.uniqueArray(pattern, { minLength: 1, maxLength: 4 }),
  entityIds: fc.uniqueArray(entity, { maxLength: 2 }),
  status: fc.constantFrom('ACTIVE', 'ACTIVE', 'PAUSED', 'DISABLED'),
});
/** Together with what it was before it became that. */
const changed = fc.record({ before: fc.option(subscriber), now: subscriber });
const event = fc.record({ type, entityId: fc.option(entity) });

/** What the documentation says, word by word. */
const isMeant = (one: string, by: string): boolean => {
  const [words, meant] = [one.split('.'), by.split('.')];
  if (meant.at(-1) !== '*') return one === by;
  const before = meant.slice(0, -1);
  return words.length > before.length && before.every((each, at) => words[at] === each);
};

it('a wildcard stands for all further segments, whichever way it is looked up', () => {
  fc.assert(
    fc.property(type, pattern, (one, by) => {
      expect(typeMatcher([by])(one)).toBe(isMeant(one, by));
      expect(coveringPatterns(one).includes(by)).toBe(isMeant(one, by));
    }),
  );
});

it('an event gets one delivery for each webhook that means its type and its entity, and for none besides', async () => {
  const { tenant } = scene;
  const registered = new Set<string>();
  const register = async (names: readonly string[]): Promise<void> => {
    for (const name of names.filter((one) => !registered.has(one))) {
      registered.add(name);
      await tenant.graphql(`mutation ($input: EventTypeInput!) { eventTypeRegister(input: $input) { __typename } }`, {
        input: { name, description: 'For a test' },
      });
    }
  };

  await fc.assert(
    fc.asyncProperty(
      fc.array(changed, { minLength: 1, maxLength: 6 }),
      fc.array(event, { minLength: 1, maxLength: 20 }),
      async (changes, events) => {
        const subscribers = changes.map(({ now }) => now);
        await register(events.map((one) => one.type));
        const ids: string[] = [];
        for (const { before, now } of changes) {
          const { eventTypes, entityIds, status } = now;
          const first = before ?? now;
          const { id } = await tenant.createWebhook('https://example.com/', [...first.eventTypes], {
            entityIds: first.entityIds,
          });
          if (before) await tenant.update(id, { eventTypes });
          if (before) await tenant.update(id, { entityIds });
          if (status !== 'ACTIVE') await tenant.update(id, { status });
          ids.push(id);
        }
        const { results } = await tenant.publishMany(
          events.map(({ type: name, entityId }) => ({ type: name, entityId, data: {} })),
        );
        const reached = await Promise.all(
          ids.map(async (id) => {
            const { deliveries } = await tenant.graphql(
              `query ($id: ID!) { deliveries(first: 100, filter: { webhookId: $id }) { nodes { event { id } } } }`,
              { id },
            );
            return deliveries.nodes.map((node: { event: { id: string } }) => node.event.id) as string[];
          }),
        );
        const eventIds = results.map((one: { event: { id: string } }) => one.event.id);
        const matched = events.map(() => 0);
        for (const [at, { eventTypes, entityIds, status }] of subscribers.entries()) {
          const meant = events.flatMap(({ type: name, entityId }, index) => {
            const isReached =
              status !== 'DISABLED' &&
              eventTypes.some((by) => isMeant(name, by)) &&
              (entityIds.length === 0 || (entityId !== null && entityIds.includes(entityId)));
            if (isReached) matched[index]!++;
            return isReached ? [eventIds[index]] : [];
          });
          expect(reached[at]).toHaveLength(meant.length);
          expect(new Set(reached[at])).toEqual(new Set(meant));
        }
        expect(results.map((one: { matchedCount: number }) => one.matchedCount)).toEqual(matched);
        for (const id of ids) await tenant.remove(id);
      },
    ),
    { numRuns: 20 },
  );
}, 120_000);

it('webhooks that were narrowed before subscriptions knew of it are found by their entities, and no others', async () => {
  const empty = await createEmptyDatabase();
  const database = await openDatabase({ url: empty.url, poolSize: 1, schema });
  try {
    await database.orm.migrator.up({ to: Migration0014FanOut.name });
    const [tenantId, narrowed, all] = [newId(), newId(), newId()];
    await database.sql.query(`insert into tenant (id, slug, name) values ($1, 'one', 'One')`, [tenantId]);
    for (const [id, entityIds] of [
      [narrowed, ['e1', 'e2']],
      [all, []],
    ] as const) {
      await database.sql.query(
        `insert into webhook (id, tenant_id, name, url, event_types, entity_ids, status, timeout_seconds, retry_schedule,
           max_concurrency, secret)
         values ($1, $2, 'W', 'https://example.com/', '{a.b,c.*}', $3, 'ACTIVE', 10, '{}', 10, '')`,
        [id, tenantId, entityIds],
      );
      await database.sql.query(`insert into webhook_subscription values ($1, 'a.b', $2), ($1, 'c.*', $2)`, [
        tenantId,
        id,
      ]);
    }
    await database.orm.migrator.up();
    const rows = await database.sql.query<{ webhook_id: string; found: string }>(
      `select webhook_id, string_agg(pattern || ' ' || entity_id, ', ' order by pattern, entity_id) as found
       from webhook_subscription group by webhook_id order by webhook_id`,
    );
    expect(rows).toEqual([
      { webhook_id: narrowed, found: 'a.b e1, a.b e2, c.* e1, c.* e2' },
      { webhook_id: all, found: 'a.b , c.* ' },
    ]);
  } finally {
    await database.close();
    await empty.drop();
  }
});

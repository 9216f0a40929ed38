import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { coveringPatterns } from '../src/domain/events/patterns.ts';
import { typeMatcher } from '../src/domain/events/typePatterns.ts';
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
      fc.array(subscriber, { minLength: 1, maxLength: 6 }),
      fc.array(event, { minLength: 1, maxLength: 20 }),
      async (subscribers, events) => {
        await register(events.map((one) => one.type));
        const ids: string[] = [];
        for (const { status, ...settings } of subscribers) {
          const { eventTypes, entityIds } = settings;
          const { id } = await tenant.createWebhook('https://example.com/', [...eventTypes], { entityIds });
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
    { numRuns: 10 },
  );
}, 120_000);

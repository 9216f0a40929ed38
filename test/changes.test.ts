import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { schema } from '../mikro-orm.config.ts';
import { ActionRegistry } from '../src/domain/actions/actionRegistry.ts';
import { createChanges } from '../src/domain/actions/changes.ts';
import type { Changes } from '../src/domain/actions/changes.ts';
import type { Ring } from '../src/domain/deliveries/bell.ts';
import { Desk } from '../src/domain/desk/desk.ts';
import { deskModule } from '../src/domain/desk/deskModule.ts';
import { ValidationError } from '../src/domain/errors.ts';
import { Catalogue } from '../src/domain/events/catalogue.ts';
import { findEvents } from '../src/domain/events/eventLog.ts';
import { EventTypes } from '../src/domain/events/eventTypes.ts';
import { publishEventAction } from '../src/domain/events/publishEventAction.ts';
import type { Publisher } from '../src/domain/events/event.ts';
import { createPublisher } from '../src/domain/events/publisher.ts';
import { Tenant } from '../src/domain/tenants/tenant.ts';
import { openDatabase } from '../src/platform/database.ts';
import type { Database } from '../src/platform/database.ts';
import { decodeId, encodeId, newId } from '../src/platform/ids.ts';
import { createTestDatabase } from './harness/database.ts';
import type { TestDatabase } from './harness/database.ts';

let own: TestDatabase;
let database: Database;
let changes: Changes;
let tenantId: string;
const webhookId = newId();
const rings: Ring[] = [];
let mends = 0;

beforeAll(async () => {
  own = await createTestDatabase();
  database = await openDatabase({ url: own.url, poolSize: 4, schema });
  tenantId = newId();
  await database.sql.query(`insert into tenant (id, slug, name) values ($1, 'acme', 'Acme')`, [tenantId]);
  await database.sql.query(
    `insert into webhook (id, tenant_id, name, url, event_types, status, timeout_seconds, retry_schedule, max_concurrency, secret)
     values ($1, $2, 'W', 'https://a.example', '{ticket.*}', 'ACTIVE', 10, '{}', 10, '')`,
    [webhookId, tenantId],
  );
  await database.sql.query(`insert into webhook_subscription values ($1, 'ticket.*', $2)`, [tenantId, webhookId]);
  const bell = { ring: (some: readonly Ring[]) => void rings.push(...some), configurationChanged: () => undefined };
  const mend = async (error: unknown): Promise<boolean> => {
    mends += 1;
    return (error as Error).message === 'mendable';
  };
  const publisher = createPublisher({ database, bell, now: Date.now, mend });
  changes = createChanges({ database, publisher, mend });
});
afterAll(async () => {
  await database.close();
  await own.drop();
});
beforeEach(() => void rings.splice(0));

const renamed = async (): Promise<string> =>
  (await database.em().findOneOrFail(Tenant, { id: tenantId }, { disableIdentityMap: true })).name;
const openCount = async (): Promise<number> =>
  (await database.sql.query<{ count: number }>('select count(*)::int as count from delivery_open'))[0]!.count;

test('what changed and what was published commit together; lanes are rung after the commit, once', async () => {
  const before = await openCount();
  const id = await changes.commit({ tenantId, source: 'test', hops: 3 }, async ({ sql, em, publish }) => {
    const tenant = await em.findOneOrFail(Tenant, { id: tenantId });
    tenant.name = 'Renamed';
    await em.flush();
    const [published] = await publish([{ type: 'ticket.created', data: { n: 1 } }], 'desk');
    await publish([{ type: 'ticket.closed', data: { n: 2 } }]);
    expect(published).toMatchObject({ matchedCount: 1, duplicate: false, event: { source: 'desk', hops: 3 } });
    expect((await sql.query<{ name: string }>('select name from tenant where id = $1', [tenantId]))[0]!.name).toBe(
      'Renamed',
    );
    // Nobody else sees any of it yet, and nobody has been told.
    expect(await renamed()).toBe('Acme');
    expect(await openCount()).toBe(before);
    expect(rings).toEqual([]);
    return published!.event.id;
  });
  expect(await renamed()).toBe('Renamed');
  expect(await openCount()).toBe(before + 2);
  expect(rings).toMatchObject(
    ['ticket.created', 'ticket.closed'].map((type) => ({
      tenantId,
      webhookId,
      fresh: { version: 1, events: [{ type }] },
    })),
  );
  expect((await findEvents(database.sql, tenantId, [id])).get(id)).toMatchObject({ hops: 3, source: 'desk' });
});

test('what is rolled back was never published, and an idempotency key that it took is free', async () => {
  const event = { type: 'ticket.created', data: {}, idempotencyKey: 'rolled-back' };
  const before = await openCount();
  const failed = changes.commit({ tenantId, source: 'test' }, async ({ publish }) => {
    await publish([event]);
    throw new Error('no');
  });
  await expect(failed).rejects.toThrow('no');
  expect(await openCount()).toBe(before);
  expect(rings).toEqual([]);
  for (const duplicate of [false, true]) {
    const [published] = await changes.commit({ tenantId, source: 'test' }, ({ publish }) => publish([event]));
    expect(published).toMatchObject({ duplicate, matchedCount: 1 });
  }
  expect(rings).toHaveLength(1);
  await expect(
    changes.commit({ tenantId, source: 'test' }, ({ publish }) => publish([{ ...event, data: { other: 1 } }])),
  ).rejects.toMatchObject({ code: 'CONFLICT', path: ['0', 'idempotencyKey'] });
});

test('a change is tried once more where what was missing has been made, and no further', async () => {
  mends = 0;
  let runs = 0;
  const attempt = changes.commit({ tenantId, source: 'test' }, async () => {
    runs += 1;
    throw new Error('mendable');
  });
  await expect(attempt).rejects.toThrow('mendable');
  expect([runs, mends]).toEqual([2, 1]);
});

test('a change needs no connection but its own, from the first one on', async () => {
  const narrow = await openDatabase({ url: own.url, poolSize: 1, schema });
  try {
    const bell = { ring: () => undefined, configurationChanged: () => undefined };
    const mend = async (): Promise<boolean> => false;
    const publisher = createPublisher({ database: narrow, bell, now: Date.now, mend });
    const desk = new Desk(createChanges({ database: narrow, publisher, mend }));
    const { ticket } = await desk.createTicket(tenantId, { title: 'A', externalId: 'narrow' });
    const closed = await desk.changeTicketStatus(tenantId, encodeId('ticket', ticket.id), 'closed');
    expect(closed.events).toHaveLength(2);
  } finally {
    await narrow.close();
  }
});

test('a ticket whose event cannot be written is not there either, and its number is given to the next', async () => {
  const refusing: Publisher = {
    publish: () => Promise.reject(new Error('no')),
    publishIn: () => Promise.reject(new Error('no')),
  };
  const deskWith = (publisher: Publisher): Desk =>
    new Desk(createChanges({ database, publisher, mend: async () => false }));
  const bell = { ring: () => undefined, configurationChanged: () => undefined };
  const working = deskWith(createPublisher({ database, bell, now: Date.now, mend: async () => false }));
  const { ticket } = await working.createTicket(tenantId, { title: 'A' });
  await expect(deskWith(refusing).createTicket(tenantId, { title: 'B' })).rejects.toThrow('no');
  const id = encodeId('ticket', ticket.id);
  await expect(deskWith(refusing).changeTicketStatus(tenantId, id, 'closed')).rejects.toThrow('no');
  await expect(deskWith(refusing).commentTicket(tenantId, id, { text: 'C' })).rejects.toThrow('no');
  const rows = await database.sql.query(
    `select title, status, (select count(*)::int from ticket_comment where ticket_id = ticket.id) as comments
     from ticket where tenant_id = $1 and number >= $2`,
    [tenantId, ticket.number],
  );
  expect(rows).toEqual([{ title: 'A', status: 'new', comments: 0 }]);
  expect((await working.createTicket(tenantId, { title: 'D' })).ticket.number).toBe(ticket.number + 1);
});

test('the action publishEvent keeps the rules of the vocabulary and names its own fields', async () => {
  const action = publishEventAction(new EventTypes(database, new Catalogue([deskModule])));
  const run = (values: Record<string, unknown>) =>
    changes.commit({ tenantId, source: 'inbound', hops: 1 }, (context) => action.run(context, values));
  const outcome = await run({ type: 'ticket.created', data: { a: 1 }, entity_id: 'e', idempotency_key: 'k' });
  expect(outcome).toMatchObject({ entity: 'event', operation: 'published', notes: [], events: [outcome.entityId] });
  const id = decodeId('event', outcome.entityId!)!;
  expect((await findEvents(database.sql, tenantId, [id])).get(id)).toMatchObject({
    source: 'inbound',
    hops: 1,
    entityId: 'e',
  });
  const again = await run({ type: 'ticket.created', data: { a: 1 }, entity_id: 'e', idempotency_key: 'k' });
  expect(again).toMatchObject({ operation: 'unchanged', entityId: outcome.entityId, output: { duplicate: true } });
  const refused: [Record<string, unknown>, string[]][] = [
    [{ type: 'ticket.created', data: { a: 2 }, idempotency_key: 'k' }, ['idempotency_key']],
    [{ type: 'invoice.paid', data: {} }, ['type']],
    [{ type: 'ticket.created', data: [] }, ['data']],
    [{ type: 'ticket.created', data: {}, entity_id: 'x'.repeat(256) }, ['entity_id']],
  ];
  for (const [values, path] of refused) {
    const error = await run(values).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ValidationError);
    expect(error).toMatchObject({ path });
  }
});

test('actions are found by name and listed by entity, and no two share a name', () => {
  const action = publishEventAction({ checkEvent: () => Promise.reject(new Error('not asked')) });
  const others = ['b', 'a'].map((name) => ({ ...action, name, entity: 'client' }));
  const registry = new ActionRegistry([action, ...others]);
  expect(registry.list().map(({ name }) => name)).toEqual(['a', 'b', 'publishEvent']);
  expect(registry.find('publishEvent')).toBe(action);
  expect(registry.find('constructor')).toBeUndefined();
  expect(() => new ActionRegistry([action, action])).toThrow(/same name/);
});

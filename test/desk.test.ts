import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { changesOf, eventsOfChange } from '../src/domain/desk/ticketEvents.ts';
import type { TicketRecord } from '../src/domain/desk/ticketEvents.ts';
import { isClosing, TICKET_PRIORITIES, TICKET_STATUSES } from '../src/domain/desk/ticketStatus.ts';
import { encodeId, newId } from '../src/platform/ids.ts';
import { deskOf } from './harness/desk.ts';
import type { TestDesk } from './harness/desk.ts';
import { startGraphql } from './harness/graphql.ts';
import { startTestProgram } from './harness/program.ts';
import { useScene } from './harness/scene.ts';
import { tenantOf } from './harness/tenant.ts';

const scene = useScene();
let desk: TestDesk;
beforeAll(() => {
  desk = deskOf(scene.tenant);
});

const typesOf = ({ events }: { events: { type: string }[] }): string[] => events.map(({ type }) => type);

/** Every key that events of tickets have, in their order. */
const RECORD_KEYS = [
  'ticket_id',
  'ticket_number',
  'title',
  'status_id',
  'status_name',
  'priority_id',
  'priority_name',
  'client_id',
  'client_name',
  'contact_name_id',
  'contact_name',
  'contact_email',
  'assigned_to',
  'assigned_to_name',
  'assigned_team_id',
  'board_id',
  'board_name',
  'category_id',
  'subcategory_id',
  'is_closed',
  'entered_at',
  'updated_at',
  'closed_at',
  'due_date',
  'tags',
  'url',
  'suppress_contact_notifications',
  'suppress_internal_notifications',
];

describe('a ticket', () => {
  it('is opened with a number, defaults, and the event that carries its record', async () => {
    const { client } = await desk.upsertClient({ externalId: 'acme', name: 'Acme Dental' });
    const { ticket, events } = await desk.create({
      title: '  Printer offline ',
      clientId: client.id,
      board: 'field_service',
      tags: ['hardware', 'hardware', 'urgent, really'],
      dueDate: '2026-03-05T12:00:00Z',
    });
    expect(ticket).toMatchObject({
      id: expect.stringMatching(/^tkt_/),
      ticketNumber: expect.stringMatching(/^TIC-1\d\d\d$/),
      title: 'Printer offline',
      description: null,
      status: 'new',
      priority: 'medium',
      client: { id: client.id, name: 'Acme Dental' },
      isClosed: false,
      tags: ['hardware', 'urgent, really'],
      dueDate: '2026-03-05T12:00:00.000Z',
      externalId: null,
      comments: [],
      closedAt: null,
    });
    expect(events).toHaveLength(1);
    const [event] = events;
    expect(event).toMatchObject({
      type: 'ticket.created',
      entityId: ticket.id,
      source: 'desk',
      occurredAt: ticket.createdAt,
    });
    expect(Object.keys(event.data)).toEqual(RECORD_KEYS);
    expect(event.data).toEqual({
      ...Object.fromEntries(RECORD_KEYS.map((key) => [key, null])),
      ticket_id: ticket.id,
      ticket_number: ticket.ticketNumber,
      title: 'Printer offline',
      status_id: 'new',
      status_name: 'New',
      priority_id: 'medium',
      priority_name: 'Medium',
      client_id: client.id,
      client_name: 'Acme Dental',
      board_id: 'field_service',
      board_name: 'Field service',
      is_closed: false,
      entered_at: ticket.createdAt,
      updated_at: ticket.createdAt,
      due_date: '2026-03-05T12:00:00.000Z',
      tags: ['hardware', 'urgent, really'],
      suppress_contact_notifications: false,
      suppress_internal_notifications: false,
    });
  });

  it('tells an update with what changed, and nothing where nothing did', async () => {
    const { ticket } = await desk.create({ title: 'A', priority: 'low', contactName: 'Dana', tags: ['x'] });
    const changed = await desk.update(ticket.id, { title: 'B', priority: null, contactName: '', tags: ['x'] });
    expect(changed.ticket).toMatchObject({ title: 'B', priority: 'medium', contactName: null, tags: ['x'] });
    expect(typesOf(changed)).toEqual(['ticket.updated']);
    const { data, occurredAt } = changed.events[0];
    expect(Object.keys(data)).toEqual([...RECORD_KEYS, 'changes']);
    expect(data.changes).toEqual({
      title: { previous: 'A', new: 'B' },
      priority_id: { previous: 'low', new: 'medium' },
      contact_name: { previous: 'Dana', new: null },
    });
    expect(occurredAt).toBe(changed.ticket.updatedAt);
    for (const input of [{}, { title: 'B' }, { tags: ['x', 'x'] }]) {
      const same = await desk.update(ticket.id, input);
      expect(same.events).toEqual([]);
      expect(same.ticket.updatedAt).toBe(changed.ticket.updatedAt);
    }
  });

  it('tells who it is assigned to, and as an update that it is nobody’s any more', async () => {
    const { ticket } = await desk.create({ title: 'A' });
    const assigned = await desk.assign(ticket.id, 'sam');
    expect(typesOf(assigned)).toEqual(['ticket.assigned']);
    expect(assigned.events[0].data).toMatchObject({ assigned_to: 'sam', assigned_to_name: 'sam' });
    expect(Object.keys(assigned.events[0].data)).toEqual(RECORD_KEYS);
    expect((await desk.assign(ticket.id, 'sam')).events).toEqual([]);
    const free = await desk.assign(ticket.id, null);
    expect(free.ticket.assignedTo).toBeNull();
    expect(typesOf(free)).toEqual(['ticket.updated']);
    expect(free.events[0].data.changes).toEqual({ assigned_to: { previous: 'sam', new: null } });
  });

  it('tells a new status with the previous one; closing is told as closing, never as an update', async () => {
    const { ticket } = await desk.create({ title: 'A' });
    const moved = await desk.changeStatus(ticket.id, 'in_progress');
    expect(typesOf(moved)).toEqual(['ticket.status_changed']);
    expect(moved.events[0].data).toMatchObject({
      status_id: 'in_progress',
      status_name: 'In progress',
      previous_status_id: 'new',
      previous_status_name: 'New',
    });
    expect(Object.keys(moved.events[0].data)).toEqual([...RECORD_KEYS, 'previous_status_id', 'previous_status_name']);

    const closed = await desk.close(ticket.id);
    expect(typesOf(closed)).toEqual(['ticket.closed', 'ticket.status_changed']);
    expect(closed.ticket).toMatchObject({ status: 'closed', isClosed: true, closedAt: closed.ticket.updatedAt });
    expect(closed.events[0].data).toMatchObject({ is_closed: true, closed_at: closed.ticket.closedAt });
    expect(Object.keys(closed.events[0].data)).toEqual(RECORD_KEYS);
    expect(closed.events[1].data).toMatchObject({ previous_status_id: 'in_progress', is_closed: true });
    expect((await desk.close(ticket.id)).events).toEqual([]);

    // From one closing status to another it stays closed, since when it was.
    const resolved = await desk.changeStatus(ticket.id, 'resolved');
    expect(typesOf(resolved)).toEqual(['ticket.status_changed']);
    expect(resolved.ticket.closedAt).toBe(closed.ticket.closedAt);
    const open = await desk.changeStatus(ticket.id, 'open');
    expect(typesOf(open)).toEqual(['ticket.status_changed']);
    expect(open.ticket).toMatchObject({ isClosed: false, closedAt: null });
  });

  it('tells a comment, marked where it is internal, and never the others', async () => {
    const { ticket } = await desk.create({ title: 'A' });
    await desk.comment(ticket.id, { text: 'In public' });
    const { events, ticket: after } = await desk.comment(ticket.id, {
      text: 'Secret',
      author: 'sam',
      isInternal: true,
    });
    expect(typesOf({ events })).toEqual(['ticket.comment.added']);
    expect(Object.keys(events[0].data)).toEqual([...RECORD_KEYS, 'comment']);
    expect(events[0].data.comment).toEqual({
      text: 'Secret',
      author: 'sam',
      timestamp: after.updatedAt,
      is_internal: true,
    });
    expect(after.comments).toEqual([
      { id: expect.stringMatching(/^cmt_/), text: 'In public', author: null, isInternal: false },
      { id: expect.stringMatching(/^cmt_/), text: 'Secret', author: 'sam', isInternal: true },
    ]);
    const updated = await desk.update(ticket.id, { title: 'B' });
    expect(JSON.stringify(updated.events)).not.toMatch(/Secret|In public/);
  });

  it('has times that put its events in order, however fast they come, and loses no change of two at once', async () => {
    const { ticket } = await desk.create({ title: 'A' });
    const changes = await Promise.all([
      desk.update(ticket.id, { title: 'B' }),
      desk.update(ticket.id, { description: 'C' }),
      desk.assign(ticket.id, 'sam'),
      desk.changeStatus(ticket.id, 'open'),
      desk.comment(ticket.id, { text: 'D' }),
    ]);
    const { ticket: after } = await desk.update(ticket.id, {});
    expect(after).toMatchObject({ title: 'B', description: 'C', assignedTo: 'sam', status: 'open' });
    const times = changes.map(({ events }) => events[0].occurredAt as string);
    expect(new Set(times).size).toBe(times.length);
    expect([...times].sort().at(-1)).toBe(after.updatedAt);
  });

  it('gets the next number of its tenant, without gaps, also when many are opened at once', async () => {
    const before = await desk.create({ title: 'A' });
    const many = await Promise.all(Array.from({ length: 20 }, () => desk.create({ title: 'B' })));
    const numberOf = ({ ticket }: { ticket: { ticketNumber: string } }) => Number(ticket.ticketNumber.slice(4));
    expect(many.map(numberOf).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (_, n) => numberOf(before) + 1 + n),
    );
    const { tenantCreate } = await scene.tenant.graphql(
      `mutation { tenantCreate(input: { slug: "numbers" }) { ... on TenantCreateSuccess { secret } } }`,
    );
    const theirs = await deskOf(tenantOf(scene.program, tenantCreate.secret)).create({ title: 'C' });
    expect(theirs.ticket.ticketNumber).toBe('TIC-1001');
  });

  it('has an external id that no other ticket has, also when two want it at once', async () => {
    const both = await Promise.all(['A', 'B'].map((title) => desk.create({ title, externalId: 'ext-1' })));
    expect(new Set(both.map((one) => one.__typename))).toEqual(new Set(['ConflictError', 'TicketSuccess']));
    expect(both.find((one) => one.code)).toMatchObject({ code: 'CONFLICT', path: ['input', 'externalId'] });
    const { ticket } = await scene.tenant.graphql(`{ ticket(externalId: "ext-1") { title } }`);
    expect(ticket.title).toBe(both.find((one) => one.ticket).ticket.title);
  });

  it('is refused with the field that is wrong, and nothing is published then', async () => {
    const { ticket } = await desk.create({ title: 'A' });
    const nobody = encodeId('client', newId());
    const refused: [Promise<{ code: string; path: string[] | null; message: string }>, string, string[] | null][] = [
      [desk.create({ title: ' ' }), 'BAD_REQUEST', ['input', 'title']],
      [desk.create({ title: 'x'.repeat(501) }), 'BAD_REQUEST', ['input', 'title']],
      [desk.create({ title: 'A', description: 'x'.repeat(20_001) }), 'BAD_REQUEST', ['input', 'description']],
      [desk.create({ title: 'A', status: 'done' }), 'BAD_REQUEST', ['input', 'status']],
      [desk.create({ title: 'A', priority: 'none' }), 'BAD_REQUEST', ['input', 'priority']],
      [desk.create({ title: 'A', tags: Array(51).fill('x') }), 'BAD_REQUEST', ['input', 'tags']],
      [desk.create({ title: 'A', tags: ['x', ''] }), 'BAD_REQUEST', ['input', 'tags', '1']],
      [desk.create({ title: 'A', externalId: '' }), 'BAD_REQUEST', ['input', 'externalId']],
      [desk.create({ title: 'A\0' }), 'BAD_REQUEST', ['input', 'title']],
      [desk.create({ title: 'A', dueDate: '0001-01-01T00:00:00Z' }), 'BAD_REQUEST', ['input', 'dueDate']],
      [desk.create({ title: 'A', clientId: nobody }), 'NOT_FOUND', ['input', 'clientId']],
      [desk.create({ title: 'A', clientId: 'x' }), 'NOT_FOUND', ['input', 'clientId']],
      [desk.update(ticket.id, { title: null }), 'BAD_REQUEST', ['input', 'title']],
      [desk.update(ticket.id, { clientId: nobody }), 'NOT_FOUND', ['input', 'clientId']],
      [desk.update('tkt_x', { title: 'B' }), 'NOT_FOUND', null],
      [desk.assign(ticket.id, 'x'.repeat(256)), 'BAD_REQUEST', ['assignedTo']],
      [desk.changeStatus(ticket.id, 'NEW'), 'BAD_REQUEST', ['status']],
      [desk.close(encodeId('ticket', newId())), 'NOT_FOUND', null],
      [desk.comment(ticket.id, { text: '' }), 'BAD_REQUEST', ['input', 'text']],
      [desk.comment(ticket.id, { text: 'x'.repeat(20_001) }), 'BAD_REQUEST', ['input', 'text']],
    ];
    for (const [answer, code, path] of refused) expect(await answer).toMatchObject({ code, path });
    const { events } = await scene.tenant.graphql(
      `query ($id: String!) { events(filter: { entityId: $id }) { nodes { type } } }`,
      { id: ticket.id },
    );
    expect(typesOf({ events: events.nodes })).toEqual(['ticket.created']);
  });
});

describe('lists of the desk', () => {
  it('page through what fits the filter, newest first, each once', async () => {
    const { tenantCreate } = await scene.tenant.graphql(
      `mutation { tenantCreate(input: { slug: "lists" }) { ... on TenantCreateSuccess { secret } } }`,
    );
    const tenant = tenantOf(scene.program, tenantCreate.secret);
    const mine = deskOf(tenant);
    const clients = await Promise.all(
      ['c1', 'c2'].map(async (externalId) => (await mine.upsertClient({ externalId, name: externalId })).client.id),
    );
    const made: { id: string; status: string; assignedTo: string | null; clientId: string | null }[] = [];
    for (let n = 0; n < 24; n++) {
      const input = {
        status: TICKET_STATUSES[n % 6]!,
        assignedTo: n % 4 === 0 ? 'sam' : null,
        clientId: n % 3 === 0 ? clients[n % 2]! : null,
      };
      const { ticket } = await mine.create({ title: String(n), ...input });
      made.unshift({ id: ticket.id, ...input });
    }
    const filters: [object, (one: (typeof made)[number]) => boolean][] = [
      [{}, () => true],
      [{ status: ['open', 'closed', 'open'] }, ({ status }) => status === 'open' || status === 'closed'],
      [{ status: [] }, () => false],
      [{ isClosed: true }, ({ status }) => status === 'closed' || status === 'resolved'],
      [{ isClosed: false, status: ['closed', 'new'] }, ({ status }) => status === 'new'],
      [{ assignedTo: 'sam' }, ({ assignedTo }) => assignedTo === 'sam'],
      [{ clientId: clients[0] }, ({ clientId }) => clientId === clients[0]],
      [
        { clientId: clients[0], isClosed: false },
        (one) => one.clientId === clients[0] && !/closed|resolved/.test(one.status),
      ],
      [{ clientId: 'wh_x' }, () => false],
    ];
    for (const [filter, fits] of filters) {
      const seen: string[] = [];
      const expected = made.filter(fits).map(({ id }) => id);
      let after: string | null = null;
      do {
        const {
          tickets,
        }: {
          tickets: {
            nodes: { id: string }[];
            totalCount: number;
            pageInfo: { hasNextPage: boolean; endCursor: string | null };
          };
        } = await tenant.graphql(
          `query ($after: String, $filter: TicketFilter) { tickets(first: 5, after: $after, filter: $filter) {
              nodes { id } totalCount pageInfo { hasNextPage endCursor } } }`,
          { after, filter },
        );
        expect(tickets.totalCount, JSON.stringify(filter)).toBe(expected.length);
        seen.push(...tickets.nodes.map(({ id }) => id));
        after = tickets.pageInfo.hasNextPage ? tickets.pageInfo.endCursor : null;
      } while (after !== null);
      expect(seen, JSON.stringify(filter)).toEqual(expected);
    }
    const { clients: list } = await tenant.graphql(
      `{ clients(first: 1) { nodes { externalId } totalCount pageInfo { hasNextPage } } }`,
    );
    expect(list).toMatchObject({ totalCount: 2, pageInfo: { hasNextPage: true } });
    await expect(tenant.graphql(`{ tickets(filter: { status: ["done"] }) { totalCount } }`)).rejects.toThrow(
      /BAD_REQUEST/,
    );
  });

  it('read clients and comments for many tickets at once', async () => {
    const harness = await startGraphql();
    try {
      const graphql = async (query: string, variables = {}) => (await harness.post(query, variables)).data;
      const mine = deskOf({ graphql });
      for (let n = 0; n < 30; n++) {
        const { client } = await mine.upsertClient({ externalId: `c${n}`, name: `C${n}` });
        const { ticket } = await mine.create({ title: `T${n}`, clientId: client.id });
        for (const text of ['A', 'B', 'C']) await mine.comment(ticket.id, { text });
      }
      const page = `{ tickets(first: 30) { nodes { title client { name } comments(last: 2) { text } } } }`;
      await graphql(page); // who asks is known from now on
      let tickets: { nodes: unknown[] } = { nodes: [] };
      const statements = await harness.statementsOf(async () => ({ tickets } = await graphql(page)));
      expect(tickets.nodes).toHaveLength(30);
      expect(tickets.nodes[0]).toEqual({
        title: 'T29',
        client: { name: 'C29' },
        comments: [{ text: 'B' }, { text: 'C' }],
      });
      // Some ten, and what else the process sends meanwhile; one for each ticket would be thirty more.
      expect(statements).toBeLessThan(25);
    } finally {
      await harness.close();
    }
  });

  it('fit their cost with clients and comments: a page of 100 with every scalar, one of 50 with its comments', async () => {
    const scalars = `id ticketNumber title description status priority contactName contactEmail assignedTo board isClosed
      tags dueDate externalId createdAt updatedAt closedAt`;
    await scene.tenant.graphql(`{ tickets(first: 100) { nodes { ${scalars} client { id name } } totalCount } }`);
    await scene.tenant.graphql(
      `{ tickets(first: 50) { nodes { ${scalars} comments { id text author isInternal createdAt } } } }`,
    );
    await scene.tenant.graphql(
      `{ clients(first: 100) { nodes { id name externalId isActive properties } totalCount } }`,
    );
  });
});

describe('a client', () => {
  it('is written by its external id, and keeps what is not said of it', async () => {
    const first = await desk.upsertClient({
      externalId: 'c',
      name: 'C',
      isActive: false,
      properties: { z: 1, a: [2] },
    });
    expect(first.client).toMatchObject({ name: 'C', isActive: false, properties: { z: 1, a: [2] } });
    const second = await desk.upsertClient({ externalId: 'c', name: 'D' });
    expect(second.client).toMatchObject({ id: first.client.id, name: 'D', isActive: false, properties: { z: 1 } });
    const third = await desk.upsertClient({ externalId: 'c', name: 'D', isActive: null, properties: null });
    expect(third.client).toMatchObject({ isActive: true, properties: {} });
    const same = await desk.upsertClient({ externalId: 'c', name: 'D' });
    expect(same.client.updatedAt).toBe(third.client.updatedAt);
    for (const properties of [[], 'x', { a: 'x'.repeat(65_536) }]) {
      expect(await desk.upsertClient({ externalId: 'c', name: 'D', properties })).toMatchObject({
        code: 'BAD_REQUEST',
        path: ['input', 'properties'],
      });
    }
    const { node, client } = await scene.tenant.graphql(
      `query ($id: ID!) { node(id: $id) { __typename id } client(externalId: "c") { id } }`,
      { id: first.client.id },
    );
    expect([node, client.id]).toEqual([{ __typename: 'Client', id: first.client.id }, first.client.id]);
  });

  it('is one, also when twenty write it at once', async () => {
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, n) => desk.upsertClient({ externalId: 'many', name: String(n) })),
    );
    expect(new Set(all.map(({ client }) => client.id)).size).toBe(1);
  });
});

describe('scopes', () => {
  it('let a key with DESK_READ read and not write, and the other way round', async () => {
    const keyWith = async (scope: string): Promise<string> =>
      (
        await scene.tenant.graphql(
          `mutation ($scope: Scope!) { apiKeyCreate(input: { name: "x", scopes: [$scope] }) { ... on ApiKeyCreateSuccess { secret } } }`,
          { scope },
        )
      ).apiKeyCreate.secret;
    const [reads, writes] = await Promise.all(['DESK_READ', 'DESK_WRITE'].map(keyWith));
    const { ticket } = await deskOf(tenantOf(scene.program, writes)).create({ title: 'A' });
    await expect(deskOf(tenantOf(scene.program, reads)).create({ title: 'A' })).rejects.toThrow(/FORBIDDEN/);
    const node = `query ($id: ID!) { node(id: $id) { __typename } ticket(id: $id) { title } }`;
    expect(await scene.program.graphql(node, { id: ticket.id }, reads)).toEqual({
      node: { __typename: 'Ticket' },
      ticket: { title: 'A' },
    });
    await expect(scene.program.graphql(node, { id: ticket.id }, writes)).rejects.toThrow(/FORBIDDEN/);
  });
});

describe('HOOKGRAPH_DESK=off', () => {
  it('leaves no trace of the desk: no type in the schema, six reserved names', async () => {
    const program = await startTestProgram(scene.database.url, { HOOKGRAPH_DESK: 'off' });
    try {
      const { schema, ticket, mutation } = await program.graphql(
        `{ schema: __schema { types { name } } ticket: __type(name: "Ticket") { name } mutation: __type(name: "Mutation") { fields { name } } }`,
      );
      const names = schema.types.map(({ name }: { name: string }) => name);
      expect(names).toContain('Webhook');
      expect(names.filter((name: string) => /^(Ticket|Client|Asset)/.test(name))).toEqual([]);
      expect(ticket).toBeNull();
      expect(mutation.fields.filter(({ name }: { name: string }) => /^(ticket|client)/.test(name))).toEqual([]);
      const tenant = tenantOf(program);
      const { eventTypes } = await tenant.graphql(`{ eventTypes { name status } }`);
      expect(eventTypes).toHaveLength(43);
      const live = eventTypes.filter(({ status }: { status: string }) => status !== 'RESERVED');
      expect(live.map(({ name }: { name: string }) => name)).toEqual([
        'webhook.failing',
        'webhook.disabled',
        'delivery.abandoned',
      ]);
      expect(await tenant.publish('ticket.created')).toMatchObject({ code: 'BAD_REQUEST', path: ['input', 'type'] });
      // What it has no type for is not there.
      const { ticket: left } = await desk.create({ title: 'A' });
      const { node } = await tenant.graphql(`query ($id: ID!) { node(id: $id) { id } }`, { id: left.id });
      expect(node).toBeNull();
    } finally {
      await program.stop();
    }
  });
});

const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary);
const moment = fc.date({ min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true });
const ids = [newId(), newId()];
const ticketOf = fc.record({
  title: fc.constantFrom('A', 'B'),
  description: maybe(fc.constantFrom('A', 'B')),
  status: fc.constantFrom(...TICKET_STATUSES),
  priority: fc.constantFrom(...TICKET_PRIORITIES),
  clientId: maybe(fc.constantFrom(...ids)),
  contactName: maybe(fc.constantFrom('A', 'B')),
  contactEmail: maybe(fc.constantFrom('a@b.example', 'b@b.example')),
  assignedTo: maybe(fc.constantFrom('sam', 'kim')),
  board: maybe(fc.constantFrom('x', 'y')),
  tags: fc.array(fc.constantFrom('x', 'y', 'z'), { maxLength: 3 }),
  dueDate: maybe(moment),
});
const record = (fields: object): TicketRecord =>
  ({
    id: ids[0],
    number: 1_001,
    externalId: null,
    createdAt: new Date(0),
    updatedAt: new Date(0),
    closedAt: null,
    ...fields,
  }) as TicketRecord;

describe('what a change is', () => {
  it('is told whole and once: whoever applies its events to the old record has the new one', () => {
    fc.assert(
      fc.property(ticketOf, ticketOf, (a, b) => {
        const [before, after] = [record(a), record(b)];
        const events = eventsOfChange(before, after, null);
        const told = new Map(events.map((event) => [event.type, event.data]));
        expect(told.size).toBe(events.length);
        const changes = changesOf(before, after);
        for (const { previous, new: next } of Object.values(changes)) expect(next).not.toEqual(previous);
        expect(told.get('ticket.updated')?.['changes'] ?? {}).toEqual(changes);
        expect(told.has('ticket.closed')).toBe(isClosing(after.status) && !isClosing(before.status));
        expect(told.get('ticket.status_changed')?.['previous_status_id'] ?? after.status).toBe(before.status);
        expect(told.has('ticket.assigned')).toBe(after.assignedTo !== null && after.assignedTo !== before.assignedTo);
        const names: Record<string, keyof typeof b> = {
          title: 'title',
          description: 'description',
          priority_id: 'priority',
          contact_name: 'contactName',
          contact_email: 'contactEmail',
          board_id: 'board',
          tags: 'tags',
        };
        for (const [name, field] of Object.entries(names)) {
          expect(changes[name] ? changes[name].new : a[field], name).toEqual(b[field]);
        }
        expect(eventsOfChange(after, after, null)).toEqual([]);
      }),
    );
  });
});

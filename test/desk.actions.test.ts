import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { schema } from '../mikro-orm.config.ts';
import type { ActionOutcome } from '../src/domain/actions/action.ts';
import { ActionRegistry } from '../src/domain/actions/actionRegistry.ts';
import { createChanges } from '../src/domain/actions/changes.ts';
import type { Changes } from '../src/domain/actions/changes.ts';
import { deskModule } from '../src/domain/desk/deskModule.ts';
import { ValidationError } from '../src/domain/errors.ts';
import { createPublisher } from '../src/domain/events/publisher.ts';
import { openDatabase } from '../src/platform/database.ts';
import type { Database } from '../src/platform/database.ts';
import { decodeId } from '../src/platform/ids.ts';
import { deskOf } from './harness/desk.ts';
import { useScene } from './harness/scene.ts';

const scene = useScene();
let database: Database;
let changes: Changes;
let tenantId: string;
const actions = new ActionRegistry(deskModule.actions);

beforeAll(async () => {
  database = await openDatabase({ url: scene.database.url, poolSize: 4, schema });
  const bell = { ring: () => undefined, configurationChanged: () => undefined };
  const mend = async (): Promise<boolean> => false;
  const publisher = createPublisher({ database, bell, now: Date.now, mend });
  changes = createChanges({ database, publisher, mend });
  const { viewer } = await scene.tenant.graphql(`{ viewer { tenant { id } } }`);
  tenantId = decodeId('tenant', viewer.tenant.id)!;
});
afterAll(() => database.close());

const run = (name: string, values: Record<string, unknown>): Promise<ActionOutcome> =>
  changes.commit({ tenantId, source: 'inbound', hops: 2 }, (context) => actions.find(name)!.run(context, values));

/** What the API says that was published. */
const published = async ({ events }: ActionOutcome): Promise<unknown[]> =>
  Promise.all(
    events.map(
      async (id) =>
        (await scene.tenant.graphql(`query ($id: ID!) { event(id: $id) { type source entityId data } }`, { id })).event,
    ),
  );

const refusal = async (name: string, values: Record<string, unknown>): Promise<string[] | null> => {
  const error = await run(name, values).catch((thrown: unknown) => thrown);
  expect(error, JSON.stringify(values)).toBeInstanceOf(ValidationError);
  return [...((error as ValidationError).path ?? [])];
};

describe('the actions of the desk', () => {
  it('have the fields that were promised', () => {
    const fields = Object.fromEntries(
      actions
        .list()
        .map((action) => [action.name, action.targetFields.map((one) => `${one.name}${one.required ? '*' : ''}`)]),
    );
    const ticket =
      'description status priority client_id client_external_id contact_name contact_email assigned_to board tags due_date';
    expect(fields).toEqual({
      createTicket: `title* ${ticket} external_id`.split(' '),
      updateTicketByExternalId: `external_id* title ${ticket}`.split(' '),
      changeTicketStatusByExternalId: ['external_id*', 'status*'],
      addTicketCommentByExternalId: ['external_id*', 'content*', 'author', 'is_internal'],
      upsertClientByExternalId: ['external_id*', 'client_name*', 'is_inactive', 'properties'],
      upsertAssetByExternalId:
        'external_id* name asset_type status client_id client_external_id serial_number location rmm_snapshot'.split(
          ' ',
        ),
    });
    for (const { targetFields } of actions.list()) {
      for (const one of targetFields) expect(one.type === 'ENUM').toBe(one.allowedValues !== undefined);
    }
  });

  it('take a ticket from its opening to its end, and publish what each change is', async () => {
    const client = await run('upsertClientByExternalId', { external_id: 'acme', client_name: 'Acme' });
    const created = await run('createTicket', {
      title: 'Disk full',
      external_id: 't-1',
      client_external_id: 'acme',
      tags: 'disk, server,',
      due_date: '2026-03-02',
      priority: 'high',
    });
    expect(created).toMatchObject({ entity: 'ticket', operation: 'created', notes: [] });
    expect(created.output).toMatchObject({
      ticket_id: created.entityId,
      client_id: client.entityId,
      external_id: 't-1',
    });
    expect(await published(created)).toMatchObject([
      {
        type: 'ticket.created',
        source: 'desk',
        entityId: created.entityId,
        data: { client_name: 'Acme', tags: ['disk', 'server'], due_date: '2026-03-02T00:00:00.000Z' },
      },
    ]);
    const updated = await run('updateTicketByExternalId', {
      external_id: 't-1',
      title: 'Disk nearly full',
      status: 'in_progress',
      assigned_to: 'sam',
    });
    expect(await published(updated)).toMatchObject([
      { type: 'ticket.status_changed', data: { previous_status_id: 'new' } },
      { type: 'ticket.assigned' },
      { type: 'ticket.updated', data: { changes: { title: { previous: 'Disk full', new: 'Disk nearly full' } } } },
    ]);
    // What was not mapped is as it was.
    expect(updated.output).toMatchObject({ priority_id: 'high', tags: ['disk', 'server'], client_name: 'Acme' });
    const comment = await run('addTicketCommentByExternalId', { external_id: 't-1', content: 'Cleaned up' });
    expect(comment).toMatchObject({ operation: 'updated', output: { comment_id: expect.stringMatching(/^cmt_/) } });
    expect(await published(comment)).toMatchObject([
      { type: 'ticket.comment.added', data: { comment: { text: 'Cleaned up', author: null, is_internal: true } } },
    ]);
    const close = { external_id: 't-1', status: 'resolved' };
    expect(await published(await run('changeTicketStatusByExternalId', close))).toMatchObject([
      { type: 'ticket.closed' },
      { type: 'ticket.status_changed' },
    ]);
    expect(await run('changeTicketStatusByExternalId', close)).toMatchObject({ operation: 'unchanged', events: [] });
  });

  it('leave the client empty and say so where its external id is unknown, and refuse an unknown id', async () => {
    const created = await run('createTicket', { title: 'A', client_external_id: 'nobody' });
    expect(created.notes).toEqual([expect.stringContaining('"nobody"')]);
    expect(created.output).toMatchObject({ client_id: null });
    const asset = await run('upsertAssetByExternalId', { external_id: 'a-0', client_external_id: 'nobody' });
    expect(asset.notes).toHaveLength(1);
    expect(await refusal('createTicket', { title: 'A', client_id: 'cli_x' })).toEqual(['client_id']);
  });

  it('empty what is mapped to null where it can be empty', async () => {
    await run('createTicket', { title: 'A', external_id: 't-2', assigned_to: 'sam', tags: ['x'], description: 'B' });
    const { output } = await run('updateTicketByExternalId', {
      external_id: 't-2',
      title: null,
      status: null,
      assigned_to: null,
      tags: null,
      due_date: null,
      client_external_id: null,
    });
    expect(output).toMatchObject({ title: 'A', status_id: 'new', assigned_to: null, tags: [] });
    for (const [given, meant] of [
      ['2026-03-02T09:15', '2026-03-02T09:15:00.000Z'],
      ['2026-03-02T09:15:00+02:00', '2026-03-02T07:15:00.000Z'],
    ]) {
      const dated = await run('updateTicketByExternalId', { external_id: 't-2', due_date: given });
      expect(dated.output['due_date']).toBe(meant);
    }
    for (const [given, meant] of [
      ['b, a,, b ', ['b', 'a']],
      [
        ['x', 7, true],
        ['x', '7', 'true'],
      ],
    ]) {
      const tagged = await run('updateTicketByExternalId', { external_id: 't-2', tags: given });
      expect(tagged.output['tags']).toEqual(meant);
    }
    const { ticket } = await scene.tenant.graphql(`{ ticket(externalId: "t-2") { description } }`);
    expect(ticket.description).toBe('B');
  });

  it('write an asset by its external id, and keep what is not mapped', async () => {
    const created = await run('upsertAssetByExternalId', { external_id: 'a-1' });
    expect(created).toMatchObject({
      operation: 'created',
      output: { name: 'a-1', asset_type: 'unknown', status: 'active', client_id: null },
    });
    await run('upsertClientByExternalId', { external_id: 'acme', client_name: 'Acme', is_inactive: true });
    const snapshot = { z: [1, null, 'ä\0'], a: { b: true } };
    const written = { external_id: 'a-1', asset_type: 'server', client_external_id: 'acme', rmm_snapshot: snapshot };
    expect(await run('upsertAssetByExternalId', written)).toMatchObject({ operation: 'updated', notes: [] });
    expect(await run('upsertAssetByExternalId', written)).toMatchObject({ operation: 'unchanged' });
    expect(await run('upsertAssetByExternalId', { external_id: 'a-1', location: 'Rack 4' })).toMatchObject({
      output: { asset_type: 'server', client_id: expect.stringMatching(/^cli_/) },
    });
    const query = `{ it: asset(externalId: "a-1") { id name location rmmSnapshot client { name isActive } } assets { totalCount } }`;
    const { it, assets } = await scene.tenant.graphql(query);
    expect(it).toEqual({
      id: created.entityId,
      name: 'a-1',
      location: 'Rack 4',
      rmmSnapshot: snapshot,
      client: { name: 'Acme', isActive: false },
    });
    expect(assets.totalCount).toBeGreaterThan(0);
  });

  it('refuse for good, with the field, what no retry would mend', async () => {
    const [title, external_id] = ['A', 't-3'];
    await run('createTicket', { title, external_id });
    const refused: [string, Record<string, unknown>, string[]][] = [
      ['createTicket', {}, ['title']],
      ['createTicket', { title: '' }, ['title']],
      ['createTicket', { title, external_id }, ['external_id']],
      ['createTicket', { title, status: 'done' }, ['status']],
      ['createTicket', { title, due_date: 'tomorrow' }, ['due_date']],
      ['createTicket', { title, due_date: '2026-02-31' }, ['due_date']],
      ['createTicket', { title, tags: [[1]] }, ['tags', '0']],
      ['createTicket', { title, tags: { a: 1 } }, ['tags']],
      ['createTicket', { title, description: 'x'.repeat(20_001) }, ['description']],
      ['updateTicketByExternalId', { external_id: 'none', title }, ['external_id']],
      ['changeTicketStatusByExternalId', { external_id: 'none', status: 'open' }, ['external_id']],
      ['changeTicketStatusByExternalId', { external_id, status: null }, ['status']],
      ['addTicketCommentByExternalId', { external_id: 'none', content: 'x' }, ['external_id']],
      ['addTicketCommentByExternalId', { external_id, content: '' }, ['content']],
      ['upsertClientByExternalId', { external_id }, ['client_name']],
      ['upsertClientByExternalId', { external_id, client_name: 'x', properties: [] }, ['properties']],
      ['upsertAssetByExternalId', { external_id, name: 'x'.repeat(256) }, ['name']],
      ['upsertAssetByExternalId', { external_id, rmm_snapshot: 'x'.repeat(262_144) }, ['rmm_snapshot']],
    ];
    for (const [name, values, path] of refused) expect(await refusal(name, values), name).toEqual(path);
  });

  it('work on one ticket from two sides at once without losing a change', async () => {
    const { entityId } = await run('createTicket', { title: 'A', external_id: 't-4' });
    await Promise.all([
      run('updateTicketByExternalId', { external_id: 't-4', board: 'B' }),
      deskOf(scene.tenant).assign(entityId!, 'sam'),
      run('addTicketCommentByExternalId', { external_id: 't-4', content: 'C', is_internal: false }),
    ]);
    const { ticket } = await scene.tenant.graphql(
      `{ ticket(externalId: "t-4") { board assignedTo comments { text isInternal } } }`,
    );
    expect(ticket).toEqual({ board: 'B', assignedTo: 'sam', comments: [{ text: 'C', isInternal: false }] });
  });
});

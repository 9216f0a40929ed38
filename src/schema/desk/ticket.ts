import { TICKET_STATUSES } from '../../domain/desk/ticketStatus.ts';
import type { TicketStatus } from '../../domain/desk/ticketStatus.ts';
import { ticketNumber } from '../../domain/desk/ticket.ts';
import type { Ticket } from '../../domain/desk/ticket.ts';
import type { TicketComment } from '../../domain/desk/ticketComment.ts';
import type { TicketFilter } from '../../domain/desk/ticketList.ts';
import { ValidationError } from '../../domain/errors.ts';
import { assertStorable } from '../../domain/text.ts';
import { decodeId, encodeId, lowestIdAt } from '../../platform/ids.ts';
import { builder, tenantOf } from '../builder.ts';
import { forwardArgs, idConnection, idCursor, pageCost, pageRequest } from '../connection.ts';
import { ClientType } from './client.ts';
import { addDeskNode, byEitherId, deskLoaders, deskReader } from './deskContext.ts';

const DEFAULT_COMMENTS = 50;
const MAX_COMMENTS = 100;

const TicketCommentType = builder.objectRef<TicketComment>('TicketComment').implement({
  description: 'What somebody said about a ticket.',
  interfaces: [builder.nodeInterfaceRef()],
  fields: (t) => ({
    id: t.id({ description: 'TypeID, `cmt_…`.', resolve: ({ id }) => encodeId('ticketComment', id) }),
    text: t.exposeString('text', { description: 'What was said.' }),
    author: t.exposeString('author', { nullable: true, description: 'Who said it.' }),
    isInternal: t.exposeBoolean('isInternal', { description: 'Whether it is not for the client’s eyes.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was said.' }),
  }),
});

export const TicketType = builder.objectRef<Ticket>('Ticket').implement({
  description: 'Something that somebody wants done.',
  interfaces: [builder.nodeInterfaceRef()],
  fields: (t) => ({
    id: t.id({ description: 'TypeID, `tkt_…`.', resolve: ({ id }) => encodeId('ticket', id) }),
    ticketNumber: t.string({ description: 'Its number for people, such as `TIC-1001`.', resolve: ticketNumber }),
    title: t.exposeString('title', { description: 'What it is about, in a line.' }),
    description: t.exposeString('description', { nullable: true, description: 'What it is about, at length.' }),
    status: t.exposeString('status', { description: `One of ${TICKET_STATUSES.join(', ')}.` }),
    priority: t.exposeString('priority', { nullable: true, description: 'One of low, medium, high, urgent.' }),
    client: t.field({
      type: ClientType,
      nullable: true,
      description: 'Whom it is for.',
      resolve: ({ clientId }, _args, context) => (clientId == null ? null : deskLoaders(context).client.load(clientId)),
    }),
    contactName: t.exposeString('contactName', { nullable: true, description: 'Whom to talk to.' }),
    contactEmail: t.exposeString('contactEmail', { nullable: true, description: 'Where to write to.' }),
    assignedTo: t.exposeString('assignedTo', { nullable: true, description: 'Who is on it.' }),
    board: t.exposeString('board', { nullable: true, description: 'The board that it hangs on.' }),
    isClosed: t.boolean({
      description: 'Whether its status is resolved or closed.',
      resolve: ({ closedAt }) => closedAt != null,
    }),
    tags: t.stringList({ description: 'Words to find it by.', resolve: ({ tags }) => tags }),
    dueDate: t.expose('dueDate', { type: 'DateTime', nullable: true, description: 'When it has to be done.' }),
    externalId: t.exposeString('externalId', {
      nullable: true,
      description: 'What another system calls it; unique among the tenant’s tickets.',
    }),
    comments: t.field({
      type: [TicketCommentType],
      description: 'Its last comments, oldest first.',
      args: {
        last: t.arg.int({
          defaultValue: DEFAULT_COMMENTS,
          description: `How many at most: 0 to ${MAX_COMMENTS}.`,
        }),
      },
      complexity: ({ last }) => ({
        field: 1,
        multiplier: Math.max(1, Math.min(last ?? DEFAULT_COMMENTS, MAX_COMMENTS)),
      }),
      resolve: async ({ id }, args, context) => {
        const last = args.last ?? DEFAULT_COMMENTS;
        if (last < 0 || last > MAX_COMMENTS) {
          throw new ValidationError(`Ask for 0 to ${MAX_COMMENTS} comments.`, ['last']);
        }
        return (await deskLoaders(context).comments(last).load(id)) ?? [];
      },
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was opened.' }),
    updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'When it last changed.' }),
    closedAt: t.expose('closedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was resolved or closed; null while it is not.',
    }),
  }),
});

addDeskNode('ticket', {
  type: TicketType,
  find: async (context, id) => (await deskReader(context).tickets(tenantOf(context), [id]))[0] ?? null,
});
addDeskNode('ticketComment', {
  type: TicketCommentType,
  find: async (context, id) => (await deskReader(context).comments(tenantOf(context), [id]))[0] ?? null,
});

const TicketConnection = builder.connectionObject(
  { type: TicketType, name: 'TicketConnection', description: 'A page of tickets.' },
  { name: 'TicketEdge', description: 'A ticket in its list.' },
);

const TicketFilterInput = builder.inputType('TicketFilter', {
  description: 'Which tickets a list has: those that fit everything that is given.',
  fields: (t) => ({
    status: t.stringList({ description: 'With one of these statuses.' }),
    isClosed: t.boolean({ description: 'Resolved or closed, or neither.' }),
    assignedTo: t.string({ description: 'That this person is on.' }),
    clientId: t.id({ description: 'For this client, `cli_…`.' }),
  }),
});

/** A client that there can't be: what is for it is nothing. */
const NOBODY = lowestIdAt(0);

const listFilter = ({ status, isClosed, assignedTo, clientId }: typeof TicketFilterInput.$inferInput): TicketFilter => {
  assertStorable([assignedTo ?? ''], ['filter', 'assignedTo']);
  return {
    status: status?.map((word) => knownStatus(word)),
    isClosed: isClosed ?? undefined,
    assignedTo: assignedTo ?? undefined,
    clientId: clientId == null ? undefined : (decodeId('client', clientId) ?? NOBODY),
  };
};

const knownStatus = (word: string): TicketStatus => {
  const known = TICKET_STATUSES.find((status) => status === word);
  if (!known) throw new ValidationError(`The status is one of ${TICKET_STATUSES.join(', ')}.`, ['filter', 'status']);
  return known;
};

builder.queryFields((t) => ({
  ticket: t.field({
    type: TicketType,
    nullable: true,
    description: 'One ticket, by either of its ids; null for one that this tenant does not have.',
    authScopes: { scope: 'DESK_READ' },
    args: {
      id: t.arg.id({ description: 'The ticket, `tkt_…`.' }),
      externalId: t.arg.string({ description: 'What another system calls it.' }),
    },
    resolve: (_root, args, context) => {
      const [reader, tenantId] = [deskReader(context), tenantOf(context)];
      return byEitherId(
        args,
        (id) => decodeId('ticket', id),
        async (id) => (await reader.tickets(tenantId, [id]))[0],
        (externalId) => reader.ticketByExternalId(tenantId, externalId),
      );
    },
  }),
  tickets: t.field({
    type: TicketConnection,
    description: 'The tickets of the tenant, newest first.',
    authScopes: { scope: 'DESK_READ' },
    args: { ...forwardArgs, filter: t.arg({ type: TicketFilterInput, description: 'Which of them.' }) },
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const [reader, tenantId] = [deskReader(context), tenantOf(context)];
      const request = pageRequest(args, idCursor('ticket'));
      const filter = listFilter(args.filter ?? {});
      return idConnection('ticket', await reader.listTickets(tenantId, filter, request), request, () =>
        reader.countTickets(tenantId, filter),
      );
    },
  }),
}));

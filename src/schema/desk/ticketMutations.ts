import { TICKET_PRIORITIES, TICKET_STATUSES } from '../../domain/desk/ticketStatus.ts';
import type { TicketChange } from '../../domain/desk/tickets.ts';
import { ConflictError, NotFoundError, ValidationError } from '../../domain/errors.ts';
import { builder, tenantOf } from '../builder.ts';
import { EventType } from '../event.ts';
import { deskChanges } from './deskContext.ts';
import { TicketType } from './ticket.ts';

const STATUSES = TICKET_STATUSES.join(', ');
const PRIORITIES = TICKET_PRIORITIES.join(', ');

const TicketCreateInput = builder.inputType('TicketCreateInput', {
  description: 'A new ticket.',
  fields: (t) => ({
    title: t.string({ required: true, description: 'What it is about, in a line: 1 to 500 characters.' }),
    description: t.string({ description: 'What it is about, at length: at most 20,000 characters.' }),
    status: t.string({ description: `One of ${STATUSES}; new where it is left out.` }),
    priority: t.string({ description: `One of ${PRIORITIES}; medium where it is left out.` }),
    clientId: t.id({ description: 'Whom it is for, `cli_…`.' }),
    contactName: t.string({ description: 'Whom to talk to: at most 255 characters.' }),
    contactEmail: t.string({ description: 'Where to write to: at most 320 characters.' }),
    assignedTo: t.string({ description: 'Who is on it: at most 255 characters.' }),
    board: t.string({ description: 'The board that it hangs on: at most 100 characters.' }),
    tags: t.stringList({ description: 'Words to find it by: at most 50 of 1 to 100 characters.' }),
    dueDate: t.field({ type: 'DateTime', description: 'When it has to be done.' }),
    externalId: t.string({ description: 'What another system calls it: 1 to 255 characters, not taken.' }),
  }),
});

const TicketUpdateInput = builder.inputType('TicketUpdateInput', {
  description: 'What to change. A field left out stays as it is; null empties it, or resets it to its default.',
  fields: (t) => ({
    title: t.string({ description: 'What it is about, in a line: 1 to 500 characters, not null.' }),
    description: t.string({ description: 'What it is about, at length: at most 20,000 characters.' }),
    priority: t.string({ description: `One of ${PRIORITIES}; null is medium.` }),
    clientId: t.id({ description: 'Whom it is for, `cli_…`.' }),
    contactName: t.string({ description: 'Whom to talk to: at most 255 characters.' }),
    contactEmail: t.string({ description: 'Where to write to: at most 320 characters.' }),
    board: t.string({ description: 'The board that it hangs on: at most 100 characters.' }),
    tags: t.stringList({ description: 'All of its tags: at most 50 of 1 to 100 characters.' }),
    dueDate: t.field({ type: 'DateTime', description: 'When it has to be done.' }),
  }),
});

const TicketCommentInput = builder.inputType('TicketCommentInput', {
  description: 'A comment on a ticket.',
  fields: (t) => ({
    text: t.string({ required: true, description: 'What is said: 1 to 20,000 characters.' }),
    author: t.string({ description: 'Who says it: at most 255 characters.' }),
    isInternal: t.boolean({ defaultValue: false, description: 'Whether it is not for the client’s eyes.' }),
  }),
});

const TicketSuccess = builder.objectRef<TicketChange>('TicketSuccess').implement({
  description: 'The ticket is as it was asked for, and whoever subscribes to that will hear of it.',
  fields: (t) => ({
    ticket: t.expose('ticket', { type: TicketType, description: 'The ticket as it is now.' }),
    events: t.field({
      type: [EventType],
      description: 'What this change published; nothing where nothing changed.',
      resolve: ({ events }) => events.map(({ event }) => event),
    }),
  }),
});

const TicketResult = builder.errorUnion('TicketResult', {
  description: 'The ticket, or why it stays as it was.',
  types: [TicketSuccess, ValidationError, NotFoundError, ConflictError],
  resolveType: () => 'TicketSuccess',
});

builder.mutationFields((t) => {
  const id = t.arg.id({ required: true, description: 'The ticket, `tkt_…`.' });
  const authScopes = { scope: 'DESK_WRITE' } as const;
  return {
    ticketCreate: t.field({
      type: TicketResult,
      description: 'Opens a ticket, and publishes `ticket.created`.',
      authScopes,
      args: { input: t.arg({ type: TicketCreateInput, required: true, description: 'The ticket.' }) },
      resolve: (_root, { input }, context) => deskChanges(context).createTicket(tenantOf(context), input),
    }),
    ticketUpdate: t.field({
      type: TicketResult,
      description: 'Changes what is given, and publishes `ticket.updated` where anything differs then.',
      authScopes,
      args: { id, input: t.arg({ type: TicketUpdateInput, required: true, description: 'The change.' }) },
      resolve: (_root, { id, input }, context) => deskChanges(context).updateTicket(tenantOf(context), id, input),
    }),
    ticketAssign: t.field({
      type: TicketResult,
      description: 'Gives a ticket to somebody, and publishes `ticket.assigned`; without anybody, `ticket.updated`.',
      authScopes,
      args: {
        id,
        assignedTo: t.arg.string({ description: 'Who is on it, at most 255 characters; null takes it away.' }),
      },
      resolve: (_root, { id, assignedTo }, context) =>
        deskChanges(context).assignTicket(tenantOf(context), id, assignedTo ?? null),
    }),
    ticketChangeStatus: t.field({
      type: TicketResult,
      description: 'Moves a ticket to a status: `ticket.status_changed`, and `ticket.closed` where that closes it.',
      authScopes,
      args: { id, status: t.arg.string({ required: true, description: `One of ${STATUSES}.` }) },
      resolve: (_root, { id, status }, context) =>
        deskChanges(context).changeTicketStatus(tenantOf(context), id, status),
    }),
    ticketClose: t.field({
      type: TicketResult,
      description: 'Moves a ticket to the status closed; one that is there stays, and nothing is published.',
      authScopes,
      args: { id },
      resolve: (_root, { id }, context) => deskChanges(context).changeTicketStatus(tenantOf(context), id, 'closed'),
    }),
    ticketAddComment: t.field({
      type: TicketResult,
      description: 'Adds a comment to a ticket, and publishes `ticket.comment.added`.',
      authScopes,
      args: { id, input: t.arg({ type: TicketCommentInput, required: true, description: 'The comment.' }) },
      resolve: (_root, { id, input }, context) => deskChanges(context).commentTicket(tenantOf(context), id, input),
    }),
  };
});

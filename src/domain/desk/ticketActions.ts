import { encodeId } from '../../platform/ids.ts';
import type { Action, ActionContext, ActionOutcome, TargetField } from '../actions/action.ts';
import { ValidationError } from '../errors.ts';
import { parseInput } from '../text.ts';
import { given } from './deskInput.ts';
import {
  CLIENT_FIELDS,
  externalIdField,
  field,
  namedClient,
  ticketCommentValues,
  ticketCreateValues,
  ticketStatusValues,
  ticketUpdateValues,
} from './deskValues.ts';
import { ticketRecord } from './ticketEvents.ts';
import { changeTicket, commentTicket, openTicket } from './tickets.ts';
import type { TicketChange, TicketFields } from './tickets.ts';
import { TICKET_PRIORITIES, TICKET_STATUSES } from './ticketStatus.ts';

const STATUS = field('status', 'ENUM', 'Where it stands; new on a new one.', {
  allowedValues: TICKET_STATUSES,
});

const FIELDS: readonly TargetField[] = [
  field('description', 'STRING', 'What it is about, at length: at most 20,000 characters.'),
  STATUS,
  field('priority', 'ENUM', 'How much it presses; medium on a new one.', {
    allowedValues: TICKET_PRIORITIES,
  }),
  ...CLIENT_FIELDS,
  field('contact_name', 'STRING', 'Whom to talk to: at most 255 characters.'),
  field('contact_email', 'STRING', 'Where to write to: at most 320 characters.'),
  field('assigned_to', 'STRING', 'Who is on it: at most 255 characters.'),
  field('board', 'STRING', 'The board that it hangs on: at most 100 characters.'),
  field('tags', 'JSON', 'Words to find it by: a list of at most 50, or one text with commas between them.'),
  field('due_date', 'STRING', 'When it has to be done, such as 2026-03-02 or 2026-03-02T09:15:00Z.'),
];

const title = (required: boolean): TargetField =>
  field('title', 'STRING', 'What it is about, in a line: 1 to 500 characters.', { required });

export const ticketActions: readonly Action[] = [
  {
    name: 'createTicket',
    entity: 'ticket',
    displayName: 'Create a ticket',
    description: 'Opens a ticket. An external id that another ticket has is refused.',
    targetFields: [
      title(true),
      ...FIELDS,
      field('external_id', 'STRING', 'What the sender calls it, so that it can be found again: 1 to 255 characters.'),
    ],
    run: async (context, values) => {
      const parsed = parseInput(ticketCreateValues, values, []);
      const { fields, notes } = await fieldsOf(context, parsed);
      const externalId = parsed.external_id ?? null;
      const change = await openTicket(context, { ...fields, title: parsed.title, externalId });
      if (change === null) {
        throw new ValidationError(
          `Another ticket has the external id ${JSON.stringify(externalId)}: change that one instead.`,
          ['external_id'],
        );
      }
      return outcomeOf(change, 'created', notes);
    },
  },
  {
    name: 'updateTicketByExternalId',
    entity: 'ticket',
    displayName: 'Update a ticket',
    description: 'Changes what is mapped of the ticket with an external id, and leaves the rest.',
    targetFields: [externalIdField('ticket'), title(false), ...FIELDS],
    run: async (context, values) => {
      const parsed = parseInput(ticketUpdateValues, values, []);
      const { fields, notes } = await fieldsOf(context, parsed);
      return changed(context, parsed.external_id, fields, notes);
    },
  },
  {
    name: 'changeTicketStatusByExternalId',
    entity: 'ticket',
    displayName: 'Change the status of a ticket',
    description: 'Moves the ticket with an external id to a status; resolved and closed close it.',
    targetFields: [
      externalIdField('ticket'),
      field('status', 'ENUM', 'Where it stands from now on.', { required: true, allowedValues: TICKET_STATUSES }),
    ],
    run: (context, values) => {
      const { external_id: externalId, status } = parseInput(ticketStatusValues, values, []);
      return changed(context, externalId, { status }, []);
    },
  },
  {
    name: 'addTicketCommentByExternalId',
    entity: 'ticket',
    displayName: 'Comment on a ticket',
    description: 'Adds a comment to the ticket with an external id.',
    targetFields: [
      externalIdField('ticket'),
      field('content', 'STRING', 'What is said: 1 to 20,000 characters.', { required: true }),
      field('author', 'STRING', 'Who says it: at most 255 characters.'),
      field('is_internal', 'BOOLEAN', 'Whether it is not for the client’s eyes; true where nothing is said.'),
    ],
    run: async (context, values) => {
      const parsed = parseInput(ticketCommentValues, values, []);
      const change = await commentTicket(
        context,
        { externalId: parsed.external_id },
        { text: parsed.content, author: parsed.author ?? null, isInternal: parsed.is_internal ?? true },
      );
      if (change === null) throw unknownTicket(parsed.external_id);
      const { output, ...outcome } = outcomeOf(change, 'updated', []);
      return { ...outcome, output: { ...output, comment_id: encodeId('ticketComment', change.comment.id) } };
    },
  },
];

type TicketValues = Omit<ReturnType<typeof ticketUpdateValues.parse>, 'external_id'>;

const fieldsOf = async (
  context: ActionContext,
  values: TicketValues,
): Promise<{ fields: Partial<TicketFields>; notes: readonly string[] }> => {
  const { clientId, notes } = await namedClient(context, values);
  const fields = given({
    title: values.title,
    description: values.description,
    status: values.status,
    priority: values.priority,
    clientId,
    contactName: values.contact_name,
    contactEmail: values.contact_email,
    assignedTo: values.assigned_to,
    board: values.board,
    tags: values.tags,
    dueDate: values.due_date,
  });
  return { fields, notes };
};

const changed = async (
  context: ActionContext,
  externalId: string,
  fields: Partial<TicketFields>,
  notes: readonly string[],
): Promise<ActionOutcome> => {
  const change = await changeTicket(context, { externalId }, fields);
  if (change === null) throw unknownTicket(externalId);
  return outcomeOf(change, change.events.length > 0 ? 'updated' : 'unchanged', notes);
};

const outcomeOf = (
  { ticket, clientName, events }: TicketChange,
  operation: ActionOutcome['operation'],
  notes: readonly string[],
): ActionOutcome => ({
  entity: 'ticket',
  entityId: encodeId('ticket', ticket.id),
  operation,
  notes,
  events: events.map(({ event }) => encodeId('event', event.id)),
  output: { ...ticketRecord(ticket, clientName), external_id: ticket.externalId ?? null },
});

const unknownTicket = (externalId: string): ValidationError =>
  new ValidationError(`No ticket has the external id ${JSON.stringify(externalId)}: create it first.`, ['external_id']);

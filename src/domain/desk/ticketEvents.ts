import { encodeId } from '../../platform/ids.ts';
import type { NewEvent } from '../events/event.ts';
import { ticketNumber } from './ticket.ts';
import type { Ticket } from './ticket.ts';
import type { TicketComment } from './ticketComment.ts';
import { displayText, isClosing } from './ticketStatus.ts';

/** A ticket as it was or is, apart from the entity that changes. */
export type TicketRecord = Readonly<Pick<Ticket, keyof Ticket & string>>;

/** A field with its value before and after. */
export interface FieldChange {
  readonly previous: unknown;
  readonly new: unknown;
}

/**
 * The record that every event about a ticket carries: its own names, null for what the desk has no notion of, never the
 * comments. A receiver that needs more asks for the ticket.
 */
export const ticketRecord = (ticket: TicketRecord, clientName: string | null): Record<string, unknown> => ({
  ticket_id: encodeId('ticket', ticket.id),
  ticket_number: ticketNumber(ticket),
  title: ticket.title,
  ...word('status', ticket.status),
  ...word('priority', ticket.priority),
  client_id: idOfClient(ticket.clientId),
  client_name: clientName,
  contact_name_id: null,
  contact_name: ticket.contactName,
  contact_email: ticket.contactEmail,
  assigned_to: ticket.assignedTo,
  assigned_to_name: ticket.assignedTo,
  assigned_team_id: null,
  ...word('board', ticket.board ?? null),
  category_id: null,
  subcategory_id: null,
  is_closed: isClosing(ticket.status),
  entered_at: ticket.createdAt.toISOString(),
  updated_at: ticket.updatedAt.toISOString(),
  closed_at: ticket.closedAt?.toISOString() ?? null,
  due_date: ticket.dueDate?.toISOString() ?? null,
  tags: ticket.tags,
  url: null,
  suppress_contact_notifications: false,
  suppress_internal_notifications: false,
});

/**
 * What differs between two states of a ticket, by the record's names. Neither the status nor a new assignee: events of
 * their own tell those. Nothing that follows from other fields either.
 */
export const changesOf = (before: TicketRecord, after: TicketRecord): Record<string, FieldChange> => {
  const [previous, now] = [editable(before), editable(after)];
  const changed = Object.keys(now).filter((name) => JSON.stringify(previous[name]) !== JSON.stringify(now[name]));
  return Object.fromEntries(
    changed
      .filter((name) => name !== 'assigned_to' || now[name] === null)
      .map((name) => [name, { previous: previous[name], new: now[name] }]),
  );
};

const editable = (ticket: TicketRecord): Record<string, unknown> => ({
  title: ticket.title,
  description: ticket.description ?? null,
  priority_id: ticket.priority,
  client_id: idOfClient(ticket.clientId),
  contact_name: ticket.contactName ?? null,
  contact_email: ticket.contactEmail ?? null,
  assigned_to: ticket.assignedTo ?? null,
  board_id: ticket.board ?? null,
  due_date: ticket.dueDate?.toISOString() ?? null,
  tags: ticket.tags,
});

/**
 * The events that one change is, none where nothing differs. Each aspect is told once: a ticket that closes is closed
 * and has changed its status, and is not also updated.
 */
export const eventsOfChange = (before: TicketRecord, after: TicketRecord, clientName: string | null): NewEvent[] => {
  const events: NewEvent[] = [];
  const tell = (type: string, more: Record<string, unknown> = {}): void =>
    void events.push(eventOf(type, after, clientName, more));
  if (isClosing(after.status) && !isClosing(before.status)) tell('ticket.closed');
  if (after.status !== before.status) {
    tell('ticket.status_changed', {
      previous_status_id: before.status,
      previous_status_name: displayText(before.status),
    });
  }
  if (after.assignedTo !== null && after.assignedTo !== before.assignedTo) tell('ticket.assigned');
  const changes = changesOf(before, after);
  if (Object.keys(changes).length > 0) tell('ticket.updated', { changes });
  return events;
};

export const createdEvent = (ticket: TicketRecord, clientName: string | null): NewEvent =>
  eventOf('ticket.created', ticket, clientName);

/** Internal comments are told too, and marked: who may read them is the receiver's to decide. */
export const commentEvent = (ticket: TicketRecord, clientName: string | null, comment: TicketComment): NewEvent =>
  eventOf('ticket.comment.added', ticket, clientName, {
    comment: {
      text: comment.text,
      author: comment.author ?? null,
      timestamp: comment.createdAt.toISOString(),
      is_internal: comment.isInternal,
    },
  });

const eventOf = (
  type: string,
  ticket: TicketRecord,
  clientName: string | null,
  more: Record<string, unknown> = {},
): NewEvent => ({
  type,
  data: { ...ticketRecord(ticket, clientName), ...more },
  occurredAt: ticket.updatedAt,
  entityId: encodeId('ticket', ticket.id),
});

const word = (name: string, value: string | null): Record<string, string | null> => ({
  [`${name}_id`]: value,
  [`${name}_name`]: value === null ? null : displayText(value),
});

const idOfClient = (id: string | null | undefined): string | null => (id == null ? null : encodeId('client', id));

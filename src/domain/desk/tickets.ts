import { LockMode } from '@mikro-orm/core';
import { newId } from '../../platform/ids.ts';
import type { ActionContext } from '../actions/action.ts';
import type { NewEvent, PublishedEvent } from '../events/event.ts';
import { Client } from './client.ts';
import { Ticket } from './ticket.ts';
import { TicketComment } from './ticketComment.ts';
import { commentEvent, createdEvent, eventsOfChange } from './ticketEvents.ts';
import type { TicketRecord } from './ticketEvents.ts';
import { DEFAULT_PRIORITY, DEFAULT_STATUS, isClosing } from './ticketStatus.ts';
import type { TicketPriority, TicketStatus } from './ticketStatus.ts';

/** What can be given of a ticket. `clientId` is the UUID of a client of the same tenant. */
export interface TicketFields {
  readonly title: string;
  readonly description: string | null;
  readonly status: TicketStatus;
  readonly priority: TicketPriority;
  readonly clientId: string | null;
  readonly contactName: string | null;
  readonly contactEmail: string | null;
  readonly assignedTo: string | null;
  readonly board: string | null;
  readonly tags: readonly string[];
  readonly dueDate: Date | null;
}

export interface NewTicket extends Partial<TicketFields> {
  readonly title: string;
  readonly externalId?: string | null;
}

export interface NewComment {
  readonly text: string;
  readonly author: string | null;
  readonly isInternal: boolean;
}

/** A ticket after a change, and what the change published. */
export interface TicketChange {
  readonly ticket: Ticket;
  readonly clientName: string | null;
  readonly events: readonly PublishedEvent[];
}

/** How a ticket is named: by its UUID, or by the id that another system knows it by. */
export type TicketKey = { readonly id: string } | { readonly externalId: string };

/** What events of tickets say of where they come from. */
const SOURCE = 'desk';

/** Takes the next number; whoever comes meanwhile waits for this transaction. */
const NEXT_NUMBER = `/*next_ticket_number*/
insert into ticket_counter as counter (tenant_id, last_number) values ($1, 1001)
on conflict (tenant_id) do update set last_number = counter.last_number + 1
returning last_number`;

/** Opens a ticket. Null where the external id is taken: then nothing was written. */
export const openTicket = async (context: ActionContext, given: NewTicket): Promise<TicketChange | null> => {
  const { em, sql, tenantId } = context;
  const [counter] = await sql.query<{ last_number: number }>(NEXT_NUMBER, [tenantId]);
  const { externalId = null, ...fields } = given;
  // The counter is ours until the commit, so nobody opens another one with this external id meanwhile.
  if (externalId !== null && (await em.count(Ticket, { tenantId, externalId })) > 0) return null;
  const now = new Date();
  const status = fields.status ?? DEFAULT_STATUS;
  const ticket = em.create(Ticket, {
    id: newId(),
    tenantId,
    number: counter!.last_number,
    title: fields.title,
    description: fields.description ?? null,
    status,
    priority: fields.priority ?? DEFAULT_PRIORITY,
    clientId: fields.clientId ?? null,
    contactName: fields.contactName ?? null,
    contactEmail: fields.contactEmail ?? null,
    assignedTo: fields.assignedTo ?? null,
    board: fields.board ?? null,
    tags: fields.tags ?? [],
    dueDate: fields.dueDate ?? null,
    externalId,
    createdAt: now,
    updatedAt: now,
    closedAt: isClosing(status) ? now : null,
  });
  await em.persist(ticket).flush();
  const clientName = await nameOfClient(context, ticket);
  return { ticket, clientName, events: await publish(context, [createdEvent(ticket, clientName)]) };
};

/** Changes what is given of a ticket and leaves the rest. Null where there is no such ticket. */
export const changeTicket = async (
  context: ActionContext,
  key: TicketKey,
  patch: Partial<TicketFields>,
): Promise<TicketChange | null> => {
  const ticket = await lockTicket(context, key);
  if (ticket === null) return null;
  const before: TicketRecord = Object.assign({}, ticket);
  Object.assign(ticket, patch);
  const clientName = await nameOfClient(context, ticket);
  if (eventsOfChange(before, ticket, clientName).length === 0) return { ticket, clientName, events: [] };
  ticket.updatedAt = laterThan(before.updatedAt);
  if (isClosing(ticket.status) !== isClosing(before.status)) {
    ticket.closedAt = isClosing(ticket.status) ? ticket.updatedAt : null;
  }
  await context.em.flush();
  return { ticket, clientName, events: await publish(context, eventsOfChange(before, ticket, clientName)) };
};

/** Adds a comment to a ticket. Null where there is no such ticket. */
export const commentTicket = async (
  context: ActionContext,
  key: TicketKey,
  given: NewComment,
): Promise<(TicketChange & { readonly comment: TicketComment }) | null> => {
  const { em, tenantId } = context;
  const ticket = await lockTicket(context, key);
  if (ticket === null) return null;
  ticket.updatedAt = laterThan(ticket.updatedAt);
  const comment = em.create(TicketComment, {
    id: newId(),
    tenantId,
    ticketId: ticket.id,
    ...given,
    createdAt: ticket.updatedAt,
  });
  await em.persist(comment).flush();
  const clientName = await nameOfClient(context, ticket);
  const events = await publish(context, [commentEvent(ticket, clientName, comment)]);
  return { ticket, clientName, comment, events };
};

/** Changes of one ticket follow one another. */
const lockTicket = ({ em, tenantId }: ActionContext, key: TicketKey): Promise<Ticket | null> =>
  em.findOne(Ticket, { tenantId, ...key }, { lockMode: LockMode.PESSIMISTIC_WRITE, refresh: true });

const nameOfClient = async ({ em, tenantId }: ActionContext, { clientId }: Ticket): Promise<string | null> =>
  clientId == null ? null : ((await em.findOne(Client, { tenantId, id: clientId }))?.name ?? null);

const publish = (context: ActionContext, events: readonly NewEvent[]): Promise<PublishedEvent[]> =>
  context.publish(events, SOURCE);

const laterThan = (before: Date): Date => new Date(Math.max(Date.now(), before.getTime() + 1));

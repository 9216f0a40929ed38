import { defineEntity, p } from '@mikro-orm/core';
import { TextList } from '../../platform/textList.ts';
import type { TicketPriority, TicketStatus } from './ticketStatus.ts';

const TicketSchema = defineEntity({
  name: 'Ticket',
  tableName: 'ticket',
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    /** Ascends within the tenant, without gaps. */
    number: p.integer(),
    title: p.text(),
    description: p.text().nullable(),
    status: p.text().$type<TicketStatus>(),
    priority: p.text().$type<TicketPriority>(),
    clientId: p.uuid().nullable(),
    contactName: p.text().nullable(),
    contactEmail: p.text().nullable(),
    assignedTo: p.text().nullable(),
    board: p.text().nullable(),
    tags: p.type(TextList).$type<readonly string[]>(),
    dueDate: p.datetime().nullable(),
    externalId: p.text().nullable(),
    createdAt: p.datetime(),
    /** Later with every change, also with two in one millisecond: events about a ticket can be put in order by it. */
    updatedAt: p.datetime(),
    /** Set exactly while the status is one that closes. */
    closedAt: p.datetime().nullable(),
  },
});

/** Something that somebody wants done. */
export class Ticket extends TicketSchema.class {}
TicketSchema.setClass(Ticket);

/** The number as people call it. */
export const ticketNumber = ({ number }: Pick<Ticket, 'number'>): string => `TIC-${number}`;

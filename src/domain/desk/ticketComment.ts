import { defineEntity, p } from '@mikro-orm/core';

const TicketCommentSchema = defineEntity({
  name: 'TicketComment',
  tableName: 'ticket_comment',
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    ticketId: p.uuid(),
    text: p.text(),
    author: p.text().nullable(),
    isInternal: p.boolean(),
    createdAt: p.datetime(),
  },
});

/** What somebody said about a ticket; never changed. */
export class TicketComment extends TicketCommentSchema.class {}
TicketCommentSchema.setClass(TicketComment);

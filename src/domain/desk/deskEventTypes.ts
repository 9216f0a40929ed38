import type { CatalogueEntry } from '../events/catalogue.ts';

/** A ticket's record as events carry it; each type changes what it is about. */
const TICKET = {
  ticket_id: 'tkt_01jd8m4r5vf0ttb7s3q9w2x6ye',
  ticket_number: 'TIC-1042',
  title: 'Printer on the second floor is offline',
  status_id: 'new',
  status_name: 'New',
  priority_id: 'high',
  priority_name: 'High',
  client_id: 'cli_01jd8m3zk9e5ra6c8n1p4t7vwx',
  client_name: 'Acme Dental',
  contact_name_id: null,
  contact_name: 'Dana Reyes',
  contact_email: 'dana.reyes@acme.example',
  assigned_to: null,
  assigned_to_name: null,
  assigned_team_id: null,
  board_id: 'support',
  board_name: 'Support',
  category_id: null,
  subcategory_id: null,
  is_closed: false,
  entered_at: '2026-03-02T09:15:00.000Z',
  updated_at: '2026-03-02T09:15:00.000Z',
  closed_at: null,
  due_date: null,
  tags: ['hardware'],
  url: null,
  suppress_contact_notifications: false,
  suppress_internal_notifications: false,
};

const live = (name: string, description: string, changes: Readonly<Record<string, unknown>>): CatalogueEntry => ({
  name,
  description,
  status: 'LIVE',
  example: { ...TICKET, ...changes },
});

/** What the desk publishes. */
export const DESK_EVENT_TYPES: readonly CatalogueEntry[] = [
  live('ticket.created', 'A ticket was opened.', {}),
  live('ticket.updated', 'Fields of a ticket changed; `changes` has each with its previous and new value.', {
    priority_id: 'urgent',
    priority_name: 'Urgent',
    updated_at: '2026-03-02T09:40:00.000Z',
    changes: { priority_id: { previous: 'high', new: 'urgent' } },
  }),
  live('ticket.status_changed', 'A ticket moved to another status; the previous one is told besides.', {
    status_id: 'in_progress',
    status_name: 'In progress',
    updated_at: '2026-03-02T09:45:00.000Z',
    previous_status_id: 'new',
    previous_status_name: 'New',
  }),
  live('ticket.assigned', 'A ticket was given to somebody.', {
    assigned_to: 'sam',
    assigned_to_name: 'sam',
    updated_at: '2026-03-02T09:50:00.000Z',
  }),
  live('ticket.closed', 'A ticket reached a status that closes it.', {
    status_id: 'closed',
    status_name: 'Closed',
    is_closed: true,
    updated_at: '2026-03-02T11:05:00.000Z',
    closed_at: '2026-03-02T11:05:00.000Z',
  }),
  live('ticket.comment.added', 'Somebody commented on a ticket, in public or internally.', {
    updated_at: '2026-03-02T10:00:00.000Z',
    comment: {
      text: 'The print server was restarted; please try again.',
      author: 'sam',
      timestamp: '2026-03-02T10:00:00.000Z',
      is_internal: false,
    },
  }),
];

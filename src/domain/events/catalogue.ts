/** LIVE can be published, RESERVED has a name but no publisher yet, DEPRECATED is live and should not be built on. */
export const EVENT_TYPE_STATUSES = ['LIVE', 'RESERVED', 'DEPRECATED'] as const;
export type EventTypeStatus = (typeof EVENT_TYPE_STATUSES)[number];

/** A built-in event type. */
export interface CatalogueEntry {
  readonly name: string;
  readonly description: string;
  readonly status: 'LIVE' | 'RESERVED';
  /** A whole `data`, on types that are live. */
  readonly example: Readonly<Record<string, unknown>> | null;
}

/** The type of a test delivery where the webhook subscribes to wildcards only: never published or registered. */
export const TEST_EVENT_TYPE = 'webhook.test';

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

const reserved = (name: string, description: string): CatalogueEntry => ({
  name,
  description: `${description} Reserved: nothing publishes it yet.`,
  status: 'RESERVED',
  example: null,
});

/** Every built-in event type, in the order in which it is listed. */
export const CATALOGUE: readonly CatalogueEntry[] = [
  live('ticket.created', 'A ticket was opened.', {}),
  live('ticket.updated', 'Fields of a ticket changed; `changes` has each with its previous and new value.', {
    priority_id: 'urgent',
    priority_name: 'Urgent',
    updated_at: '2026-03-02T09:40:00.000Z',
    changes: { priority: { previous: 'high', new: 'urgent' } },
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
  reserved('project.created', 'A project was set up.'),
  reserved('project.updated', 'Fields of a project changed.'),
  reserved('project.status_changed', 'A project moved to another status.'),
  reserved('project.assigned', 'A project was given to somebody.'),
  reserved('project.closed', 'A project reached a status that closes it.'),
  reserved('project.completed', 'An older name for a project that was closed; prefer `project.closed`.'),
  reserved('project.task.created', 'A task was added to a project.'),
  reserved('project.task.updated', 'Fields of a project task changed.'),
  reserved('project.task.status_changed', 'A project task moved to another status.'),
  reserved('project.task.assigned', 'A project task was given to somebody.'),
  reserved('project.task.completed', 'A project task was finished.'),
  reserved('client.created', 'A client was added.'),
  reserved('client.updated', 'Fields of a client changed.'),
  reserved('contact.created', 'A contact person was added.'),
  reserved('contact.updated', 'Fields of a contact person changed.'),
  reserved('time.entry.created', 'Working time was recorded.'),
  reserved('time.entry.updated', 'A record of working time changed.'),
  reserved('time.entry.approved', 'A record of working time was approved.'),
  reserved('invoice.created', 'An invoice was drafted.'),
  reserved('invoice.finalized', 'An invoice got its final form.'),
  reserved('invoice.sent', 'An invoice went out to its client.'),
  reserved('invoice.paid', 'An invoice was paid in full.'),
  reserved('asset.created', 'An asset was added to the inventory.'),
  reserved('asset.updated', 'Fields of an asset changed.'),
  reserved('asset.maintenance.scheduled', 'Maintenance of an asset was planned.'),
  reserved('asset.maintenance.completed', 'Maintenance of an asset was done.'),
  reserved('system.backup.completed', 'A backup of the system succeeded.'),
  reserved('system.backup.failed', 'A backup of the system failed.'),
  reserved('system.maintenance.started', 'Maintenance of the system began.'),
  reserved('system.maintenance.completed', 'Maintenance of the system ended.'),
  reserved('workflow.execution.started', 'A workflow began to run.'),
  reserved('workflow.execution.completed', 'A workflow ran to its end.'),
  reserved('workflow.execution.failed', 'A workflow stopped with an error.'),
  reserved('custom.event', 'A name for whatever a tenant makes of it.'),
];

const BY_NAME = new Map(CATALOGUE.map((entry) => [entry.name, entry]));

/** The built-in type of this name. */
export const builtIn = (name: string): CatalogueEntry | undefined => BY_NAME.get(name);

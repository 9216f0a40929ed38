import { OPERATIONAL_EVENT_TYPES } from './operationalTypes.ts';

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

const reserved = (name: string, description: string): CatalogueEntry => ({
  name,
  description: `${description} Reserved: nothing publishes it yet.`,
  status: 'RESERVED',
  example: null,
});

/** The names that are kept for what AlgaPSA publishes under them. */
export const RESERVED_TYPES: readonly CatalogueEntry[] = [
  reserved('ticket.created', 'A ticket was opened.'),
  reserved('ticket.updated', 'Fields of a ticket changed.'),
  reserved('ticket.status_changed', 'A ticket moved to another status.'),
  reserved('ticket.assigned', 'A ticket was given to somebody.'),
  reserved('ticket.closed', 'A ticket reached a status that closes it.'),
  reserved('ticket.comment.added', 'Somebody commented on a ticket.'),
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

/** The built-in event types of an installation. */
export class Catalogue {
  readonly #byName: ReadonlyMap<string, CatalogueEntry>;

  /** Reserved names in their order, each as the module that publishes it says; what else modules publish; hookgraph's own. */
  constructor(modules: readonly { readonly eventTypes: readonly CatalogueEntry[] }[]) {
    this.#byName = new Map(
      [...RESERVED_TYPES, ...modules.flatMap(({ eventTypes }) => eventTypes), ...OPERATIONAL_EVENT_TYPES].map(
        (entry) => [entry.name, entry],
      ),
    );
  }

  /** In the order in which they are listed. */
  get entries(): readonly CatalogueEntry[] {
    return [...this.#byName.values()];
  }

  /** The built-in type of this name. */
  find(name: string): CatalogueEntry | undefined {
    return this.#byName.get(name);
  }
}

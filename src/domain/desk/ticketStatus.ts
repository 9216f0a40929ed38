/** In the order in which a ticket usually goes through them. */
export const TICKET_STATUSES = ['new', 'open', 'in_progress', 'waiting', 'resolved', 'closed'] as const;
export type TicketStatus = (typeof TICKET_STATUSES)[number];

export const TICKET_PRIORITIES = ['low', 'medium', 'high', 'urgent'] as const;
export type TicketPriority = (typeof TICKET_PRIORITIES)[number];

export const DEFAULT_STATUS: TicketStatus = 'new';
export const DEFAULT_PRIORITY: TicketPriority = 'medium';

/** Whether work on a ticket with this status is over. */
export const isClosing = (status: TicketStatus): boolean => status === 'resolved' || status === 'closed';

/** A word as people read it: `in_progress` is "In progress". Text that is no plain word stays as it is. */
export const displayText = (word: string): string =>
  /^[a-z][a-z0-9_-]*$/.test(word) ? `${word[0]!.toUpperCase()}${word.slice(1).replaceAll(/[_-]/g, ' ')}` : word;

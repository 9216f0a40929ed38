/** A service desk's day, event by event: what `eventPublish` is given. */
export interface StoryEvent {
  readonly type: string;
  readonly entityId: string;
  readonly data: Readonly<Record<string, unknown>>;
}

const TITLES = [
  'The printer on the third floor hums',
  'VPN asks for the password twice',
  'New laptop for Monday',
  'Invoices show last year',
  'The door badge does not open the lab',
];
const PEOPLE = ['Ada', 'Grace', 'Edsger', 'Barbara'];
const STEPS = ['ticket.created', 'ticket.assigned', 'ticket.comment.added', 'ticket.status_changed', 'ticket.closed'];

/** The nth event: each ticket is created, assigned, commented on, moved and closed. */
export const nextEvent = (n: number): StoryEvent => {
  const ticket = Math.floor(n / STEPS.length);
  const type = STEPS[n % STEPS.length]!;
  const ticketId = `demo-${1_001 + ticket}`;
  const person = PEOPLE[ticket % PEOPLE.length]!;
  const base = {
    ticket_id: ticketId,
    ticket_number: `T-${1_001 + ticket}`,
    title: TITLES[ticket % TITLES.length]!,
    assigned_to_name: type === 'ticket.created' ? null : person,
    status_name: type === 'ticket.closed' ? 'Closed' : 'Open',
    is_closed: type === 'ticket.closed',
  };
  const comment = { text: 'Looking at it now.', author: person, is_internal: false };
  return { type, entityId: ticketId, data: type === 'ticket.comment.added' ? { ...base, comment } : base };
};

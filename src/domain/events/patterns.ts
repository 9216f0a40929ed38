/**
 * Everything that a webhook may have subscribed to and that covers this event type: the type itself, and `*` in place
 * of any number of its last segments (`ticket.comment.added`: also `ticket.comment.*`, `ticket.*`, `*`).
 */
export const coveringPatterns = (type: string): string[] => {
  const segments = type.split('.');
  return [type, ...segments.map((_, kept) => [...segments.slice(0, kept), '*'].join('.')).reverse()];
};

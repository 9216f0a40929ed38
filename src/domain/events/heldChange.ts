/** SQL for the feed's word on a new delivery of a paused webhook whose lane is `l`; the arguments are SQL too. */
export const heldChange = (eventId: string, type: string): string =>
  `json_build_object('at', floor(epoch_ms(clock_timestamp())), 'd', derive_id(${eventId}, l.webhook_id::text),
    'w', l.webhook_id, 'e', ${eventId}, 'n', l.webhook_name, 't', ${type}, 's', 'HELD', 'a', 0)`;

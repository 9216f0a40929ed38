import type { Sql } from '../../platform/database.ts';
import type { Ring } from '../deliveries/bell.ts';
import { MAX_OPEN_MS } from '../deliveries/schedule.ts';
import { heldChange } from './heldChange.ts';

/** Webhooks that one slice looks at. */
const SLICE = 5_000;

/**
 * The next slice of the event that has waited longest: deliveries for the next webhooks, in the order of their ids, and in
 * the same statement how far that came. Who has subscribed since the event was published has a higher id than the last one, and
 * gets none; who was disabled since gets none either. `fan_out_turn`, then `webhook_subscription_pkey` from the next webhook on.
 */
export const FAN_OUT = `/*fan_out*/
with turn as materialized (
  select * from fan_out order by turn limit 1 for update skip locked
), slice as materialized (
  select distinct s.webhook_id
  from turn t
  cross join lateral unnest(string_to_array(t.patterns, ' ')) as covering(pattern)
  cross join lateral unnest(array['', t.entity_id]) as narrowed(entity_id)
  cross join lateral (
    select s.webhook_id from webhook_subscription s
    where (s.tenant_id, s.pattern, s.entity_id, s.webhook_id)
        >= (t.tenant_id, covering.pattern, narrowed.entity_id, t.next_webhook)
      and (s.tenant_id, s.pattern, s.entity_id, s.webhook_id)
        <= (t.tenant_id, covering.pattern, narrowed.entity_id, t.last_webhook)
    order by s.tenant_id, s.pattern, s.entity_id, s.webhook_id limit ${SLICE + 1}
  ) s
  order by s.webhook_id limit ${SLICE + 1}
), beyond as materialized (
  select (select webhook_id from slice order by webhook_id offset ${SLICE} limit 1) as webhook_id
), matches as materialized (
  select t.*, w.id as webhook_id, w.status, w.payload_fields
  from turn t cross join slice cross join lateral (
    select * from webhook w where w.id = slice.webhook_id offset 0
  ) w
  where slice.webhook_id is distinct from (select webhook_id from beyond)
    and slice.webhook_id <> all(t.written_webhooks)
    and w.status <> 'DISABLED'
), opened as (
  insert into delivery_open
    (id, tenant_id, webhook_id, event_id, event_type, next_at, created_at, expires_at, payload_fields, is_held)
  select derive_id(event_id, webhook_id::text), tenant_id, webhook_id, event_id, event_type,
    now(), least(now(), published_at), now() + $1 * interval '1 ms', payload_fields, status = 'PAUSED'
  from matches order by webhook_id
  on conflict (id) do nothing
), held as (
  insert into feed_outbox (tenant_id, changes)
  select m.tenant_id, json_agg(${heldChange('m.event_id', 'm.event_type')} order by l.webhook_id)::text
  from matches m join lane l on l.webhook_id = m.webhook_id
  where m.status = 'PAUSED' group by m.tenant_id
), gone_on as (
  update fan_out f set next_webhook = beyond.webhook_id, turn = default
  from beyond where f.event_id = (select event_id from turn) and beyond.webhook_id is not null
), ended as (
  delete from fan_out f using beyond where f.event_id = (select event_id from turn) and beyond.webhook_id is null
)
select turn.tenant_id, epoch_ms(now()) as due_at,
  array(select webhook_id::text from matches where status = 'ACTIVE') as active
from turn`;

interface SliceRow {
  readonly tenant_id: string;
  readonly due_at: number;
  readonly active: string[];
}

/**
 * Goes on with an event whose deliveries were too many to be written with it: a slice that dies with its process has not
 * happened, and of two workers each takes an event of its own. Answers whom to ring, or null where there is nothing to do.
 */
export const fanOutSlice = async (sql: Sql): Promise<readonly Ring[] | null> => {
  const [slice] = await sql.query<SliceRow>(FAN_OUT, [MAX_OPEN_MS]);
  if (!slice) return null;
  return slice.active.map((webhookId) => ({ tenantId: slice.tenant_id, webhookId, dueAt: slice.due_at }));
};

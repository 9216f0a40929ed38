import { encodeId } from '../../platform/ids.ts';

export interface EnvelopeInput {
  readonly eventId: string;
  readonly tenantId: string;
  readonly type: string;
  readonly occurredAt: Date;
  readonly data: unknown;
  readonly isTest: boolean;
}

/**
 * The body that receivers get: `event_id`, `event_type`, `occurred_at`, `tenant_id`, `data`, in that order, and last
 * `is_test`, on tests only. This text is stored, signed and sent; nothing serialises it a second time.
 */
export const envelope = ({ eventId, tenantId, type, occurredAt, data, isTest }: EnvelopeInput): string =>
  JSON.stringify({
    event_id: encodeId('event', eventId),
    event_type: type,
    occurred_at: occurredAt.toISOString(),
    tenant_id: encodeId('tenant', tenantId),
    data,
    ...(isTest ? { is_test: true } : {}),
  });

/** The `data` of a stored envelope. */
export const envelopeData = (body: string): Record<string, unknown> =>
  (JSON.parse(body) as { data: Record<string, unknown> }).data;

/**
 * The body as one webhook gets it: the event's own, or with `data` cut to `payloadFields` (null: all). The entity's id,
 * `ticket_id` of `ticket.closed`, always stays. The same arguments give the same bytes, so every attempt sends the same.
 */
export const bodyFor = (body: string, payloadFields: readonly string[] | null): string => {
  if (payloadFields === null) return body;
  const envelope = JSON.parse(body) as { event_type: string; data: Record<string, unknown> };
  const kept = new Set([...payloadFields, `${envelope.event_type.split('.', 1)[0]}_id`]);
  const data = Object.fromEntries(Object.entries(envelope.data).filter(([key]) => kept.has(key)));
  return JSON.stringify({ ...envelope, data });
};

import type { Settlement } from '../domain/deliveries/settlement.ts';
import { encodeId } from '../platform/ids.ts';
import type { Tracing } from '../platform/tracing.ts';

/**
 * A span of each attempt that is written down. The trace of an event is its UUID, which has the size of one: so its attempts, to
 * every webhook and by whichever process, are found together, and by the event's id.
 */
export const traceSettled = (tracing: Tracing, batch: readonly Settlement[]): void => {
  for (const settlement of batch) {
    const { attempt, error } = settlement;
    if (attempt === null) continue;
    tracing.record({
      name: 'webhook delivery',
      kind: 'CLIENT',
      traceId: settlement.eventId.replaceAll('-', ''),
      parentId: null,
      startedAt: attempt.startedAt,
      durationMs: attempt.durationMs,
      attributes: {
        'http.request.method': 'POST',
        'http.response.status_code': attempt.responseStatus,
        'error.type': error?.code ?? null,
        'hookgraph.webhook.id': encodeId(settlement.isForward ? 'inboundWebhook' : 'webhook', settlement.webhookId),
        'hookgraph.delivery.id': encodeId('delivery', settlement.deliveryId),
        'hookgraph.event.id': encodeId(settlement.isForward ? 'inboundDelivery' : 'event', settlement.eventId),
        'hookgraph.event.type': settlement.eventType,
        'hookgraph.delivery.attempt': settlement.attemptsBefore + 1,
        'hookgraph.delivery.status': settlement.status,
      },
      error: error?.message ?? null,
    });
  }
};

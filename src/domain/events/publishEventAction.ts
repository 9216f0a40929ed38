import { encodeId } from '../../platform/ids.ts';
import type { Action } from '../actions/action.ts';
import { ConflictError, ValidationError } from '../errors.ts';
import type { EventTypes } from './eventTypes.ts';

/** The fields of the action by the names that refusals of an event give them. */
const FIELD_OF: Readonly<Record<string, string>> = { idempotencyKey: 'idempotency_key', entityId: 'entity_id' };

/** Publishes an event of any type that can be published, under the rules of `eventPublish`. */
export const publishEventAction = (eventTypes: Pick<EventTypes, 'checkEvent'>): Action => ({
  name: 'publishEvent',
  entity: 'event',
  displayName: 'Publish an event',
  description: 'Publishes an event to the webhooks that subscribe to its type.',
  targetFields: [
    { name: 'type', type: 'STRING', required: true, description: 'A live built-in type, or a registered one.' },
    { name: 'data', type: 'JSON', required: true, description: 'An object that fits the schema of the type.' },
    {
      name: 'entity_id',
      type: 'STRING',
      required: false,
      description: 'What it is about, 1 to 255 characters; webhooks can narrow on it.',
    },
    {
      name: 'idempotency_key',
      type: 'STRING',
      required: false,
      description: 'The same key again within 24 hours publishes nothing: 1 to 255 characters.',
    },
  ],
  run: async (context, values) => {
    try {
      const event = await eventTypes.checkEvent(context.tenantId, {
        type: String(values['type']),
        data: values['data'],
        entityId: values['entity_id'] as string | null | undefined,
        idempotencyKey: values['idempotency_key'] as string | null | undefined,
      });
      const [published] = await context.publish([event]);
      const { event: stored, matchedCount, duplicate } = published!;
      const id = encodeId('event', stored.id);
      return {
        entity: 'event',
        entityId: id,
        operation: duplicate ? 'unchanged' : 'published',
        notes: duplicate ? ['An event with this idempotency key was published before: this is that one.'] : [],
        events: [id],
        output: { event_id: id, matched_count: matchedCount, duplicate },
      };
    } catch (error) {
      if (!(error instanceof ValidationError) && !(error instanceof ConflictError)) throw error;
      // The path of a refused event is ["input", field, …], that of a key in use [index, "idempotencyKey"].
      const [field, ...rest] = error.path?.slice(1) ?? [];
      throw new ValidationError(error.message, field === undefined ? null : [FIELD_OF[field] ?? field, ...rest]);
    }
  },
});

import { LRUCache } from 'lru-cache';
import { JSON_TYPE } from '../../domain/deliveries/request.ts';
import type { EventRecord } from '../../domain/events/event.ts';
import { encodeId } from '../../platform/ids.ts';

const CACHE_BYTES = 16 * 1024 * 1024;

/** What deliveries of one event send. */
export interface CachedBody {
  /** The TypeID of the event, or of the inbound delivery that is forwarded. */
  readonly eventId: string;
  readonly body: Buffer;
  readonly contentType: string;
  readonly hops: number;
}

/** Bodies by event: of what was read last, and of what this process has just published, which then isn't read at all. */
export class BodyCache {
  readonly #cache = new LRUCache<string, CachedBody>({
    maxSize: CACHE_BYTES,
    sizeCalculation: ({ body }) => body.length + 200,
  });

  get(eventId: string): CachedBody | undefined {
    return this.#cache.get(eventId);
  }

  set(eventId: string, body: CachedBody): void {
    this.#cache.set(eventId, body);
  }

  keep({ id, body, hops }: EventRecord): void {
    this.set(id, { eventId: encodeId('event', id), body: Buffer.from(body), contentType: JSON_TYPE, hops });
  }
}

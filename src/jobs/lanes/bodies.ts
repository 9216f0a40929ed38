import { bodyFor } from '../../domain/deliveries/envelope.ts';
import { JSON_TYPE } from '../../domain/deliveries/request.ts';
import { readBodies } from '../../domain/deliveries/openDeliveries.ts';
import type { OpenDelivery } from '../../domain/deliveries/openDeliveries.ts';
import type { Database } from '../../platform/database.ts';
import { encodeId } from '../../platform/ids.ts';
import type { BodyCache, CachedBody } from './bodyCache.ts';
import type { ReadyDelivery } from './lane.ts';

/** Bodies of deliveries that are ready or being sent, in this process. */
const BUDGET_BYTES = 64 * 1024 * 1024;

/**
 * Bodies by event, read apart from the deliveries and shared by the lanes that send the same event: five lanes that read
 * rows with 1 MiB payloads took 2.7 GB. `bytesFree` is what lanes may still read ahead; it counts a shared body once
 * for each delivery, so the budget is never exceeded.
 */
export class Bodies {
  readonly #database: Database;
  readonly #cache: BodyCache;
  readonly #reading = new Map<string, Promise<Map<string, CachedBody>>>();
  #bytes = 0;

  constructor(database: Database, cache: BodyCache) {
    this.#database = database;
    this.#cache = cache;
  }

  get bytesFree(): number {
    return Math.max(0, BUDGET_BYTES - this.#bytes);
  }

  /** The deliveries with what each sends, in their order; without those whose event is gone (a restored backup may lack it). */
  async attach(deliveries: readonly OpenDelivery[]): Promise<ReadyDelivery[]> {
    const [events, forwarded] = [false, true].map((isForward) => {
      return new Set(deliveries.filter((one) => one.isForward === isForward).map(({ eventId }) => eventId));
    });
    const bodies = await this.#bodiesOf(events!);
    // Each of these is sent once: they are not worth keeping.
    const read = forwarded!.size > 0 ? await this.#read([...forwarded!], true) : bodies;
    const ready: ReadyDelivery[] = [];
    for (const delivery of deliveries) {
      const whole = (delivery.isForward ? read : bodies).get(delivery.eventId);
      if (whole) ready.push(this.#ready(delivery, whole));
    }
    return ready;
  }

  /** A delivery with what it sends; null where that isn't known here, or memory is short. */
  attachKnown(delivery: OpenDelivery): ReadyDelivery | null {
    const whole = this.#cache.get(delivery.eventId);
    return whole && this.bytesFree > 0 ? this.#ready(delivery, whole) : null;
  }

  #ready(delivery: OpenDelivery, whole: CachedBody): ReadyDelivery {
    const body = delivery.payloadFields
      ? Buffer.from(bodyFor(whole.body.toString(), delivery.payloadFields))
      : whole.body;
    this.#bytes += body.length;
    return { ...whole, delivery, body, envelope: whole.body };
  }

  /** From the cache, from a read that another lane has under way (one event wakes many lanes), or read. */
  async #bodiesOf(eventIds: ReadonlySet<string>): Promise<Map<string, CachedBody>> {
    const bodies = new Map<string, CachedBody>();
    const others: Promise<Map<string, CachedBody>>[] = [];
    const missing: string[] = [];
    for (const eventId of eventIds) {
      const known = this.#cache.get(eventId);
      const reading = this.#reading.get(eventId);
      if (known) bodies.set(eventId, known);
      else if (reading) others.push(reading);
      else missing.push(eventId);
    }
    if (missing.length > 0) {
      const read = this.#read(missing, false).finally(() => {
        for (const eventId of missing) this.#reading.delete(eventId);
      });
      for (const eventId of missing) this.#reading.set(eventId, read);
      others.push(read);
    }
    for (const read of await Promise.all(others)) for (const [eventId, body] of read) bodies.set(eventId, body);
    return bodies;
  }

  async #read(ids: readonly string[], forwarded: boolean): Promise<Map<string, CachedBody>> {
    const bodies = new Map<string, CachedBody>();
    for (const [id, { body, contentType, hops }] of await readBodies(this.#database.sql, ids, forwarded)) {
      const whole = {
        eventId: encodeId(forwarded ? 'inboundDelivery' : 'event', id),
        body: typeof body === 'string' ? Buffer.from(body) : body,
        contentType: contentType ?? JSON_TYPE,
        hops,
      };
      bodies.set(id, whole);
      if (!forwarded) this.#cache.set(id, whole);
    }
    return bodies;
  }

  /** A delivery was sent, or let go of. */
  free(entry: ReadyDelivery): void {
    this.#bytes -= entry.body.length;
  }
}

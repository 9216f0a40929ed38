import type { Sql } from '../../platform/database.ts';

/** An event to publish, already checked against the vocabulary and its type's schema. */
export interface NewEvent {
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly idempotencyKey?: string | undefined;
  /** Defaults to the moment of publishing. */
  readonly occurredAt?: Date | undefined;
  readonly entityId?: string | undefined;
}

/** What came of publishing one event. */
export interface PublishedEvent {
  readonly event: EventRecord;
  /** Webhooks that match by type and entity; a condition may still filter. */
  readonly matchedCount: number;
  /** An earlier call with this idempotency key published it. */
  readonly duplicate: boolean;
}

/** A stored event. */
export interface EventRecord {
  readonly id: string;
  readonly tenantId: string;
  readonly type: string;
  readonly entityId: string | null;
  /** Where it came from: `api`, or the module that published it. */
  readonly source: string;
  readonly isTest: boolean;
  /** How often what caused it had passed through hookgraph before; 0 for what began here. */
  readonly hops: number;
  readonly occurredAt: Date;
  readonly publishedAt: Date;
  /** The envelope, byte for byte as it is signed and sent. */
  readonly body: string;
}

export interface PublishOptions {
  /** Of all the events: how often what caused them passed through hookgraph already. 0 where it is left out. */
  readonly hops?: number | undefined;
}

/** Events that are written, and not yet told to anybody. */
export interface WrittenEvents {
  /** In the order of the input. */
  readonly published: PublishedEvent[];
  /** Tells the lanes. For after the commit: a lane that is rung earlier finds nothing. */
  ring(): void;
}

/** Publishes events; implemented by `publisher.ts`. */
export interface Publisher {
  /**
   * Commits the events and an open delivery for each webhook that matches, all or none, then rings. Results are in
   * the order of the input. Throws ConflictError at `[index, 'idempotencyKey']` (relative to `events`) where a key was used for something else.
   */
  publish(tenantId: string, source: string, events: readonly NewEvent[]): Promise<PublishedEvent[]>;
  /**
   * The same within a transaction of the caller's, which commits and then calls `ring`; where it forgets to, or dies
   * before, the clock finds the deliveries within seconds. Whatever this throws, the transaction has to be rolled back.
   */
  publishIn(
    sql: Sql,
    tenantId: string,
    source: string,
    events: readonly NewEvent[],
    options?: PublishOptions,
  ): Promise<WrittenEvents>;
}

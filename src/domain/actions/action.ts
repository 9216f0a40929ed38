import type { SqlEntityManager } from '@mikro-orm/postgresql';
import type { Sql } from '../../platform/database.ts';
import type { NewEvent, PublishedEvent } from '../events/event.ts';

/** REF is the TypeID of an object of `refEntity`; NUMBER is any JSON number, INT a whole one. */
export const TARGET_FIELD_TYPES = ['STRING', 'INT', 'NUMBER', 'BOOLEAN', 'ENUM', 'JSON', 'REF'] as const;
export type TargetFieldType = (typeof TARGET_FIELD_TYPES)[number];

/** A field that a mapping can fill in. */
export interface TargetField {
  readonly name: string;
  readonly type: TargetFieldType;
  readonly required: boolean;
  readonly description: string;
  /** On ENUM fields: what it may be. */
  readonly allowedValues?: readonly string[];
  /** On REF fields: what it points at. */
  readonly refEntity?: string;
}

/** One transaction, in which things change and the events about it are written. */
export interface ActionContext {
  readonly sql: Sql;
  /** Entities in the same transaction. An action flushes what it changed before it resolves. */
  readonly em: SqlEntityManager;
  readonly tenantId: string;
  /** What published events say of where they come from, unless a module publishes them in its own name. */
  readonly source: string;
  /** How often what caused this had passed through hookgraph before; its events carry it on. */
  readonly hops: number;
  /**
   * Writes the events in the same transaction, in the name of `source` (the context's where it is left out). They are
   * told to lanes after the commit; where it is rolled back, they were never there.
   */
  readonly publish: (events: readonly NewEvent[], source?: string) => Promise<PublishedEvent[]>;
}

/** What an action did; kept with the request or the run that asked for it, and shown to users. */
export interface ActionOutcome {
  /** The kind of what it worked on, such as `ticket`. */
  readonly entity: string;
  /** Its TypeID; null where there is none. */
  readonly entityId: string | null;
  readonly operation: 'created' | 'updated' | 'unchanged' | 'published';
  /** What a person should know, a sentence each: what was left out, and why. */
  readonly notes: readonly string[];
  /** TypeIDs of the events that it published, in their order. */
  readonly events: readonly string[];
  /** JSON: what a later step of a workflow may want. */
  readonly output: Readonly<Record<string, unknown>>;
}

/** What inbound webhooks and workflows can run. */
export interface Action {
  /** Unique among all modules. */
  readonly name: string;
  readonly entity: string;
  readonly displayName: string;
  readonly description: string;
  readonly targetFields: readonly TargetField[];
  /**
   * Runs within the context's transaction, which the caller commits, or rolls back where this throws. `values` has only
   * fields that were mapped, coerced to their types; a field that is null is to be emptied. Throws ValidationError, with
   * the field as its path, for data that is refused for good; whatever else it throws may pass when tried again.
   */
  run(context: ActionContext, values: Readonly<Record<string, unknown>>): Promise<ActionOutcome>;
}

import type { SqlEntityManager } from '@mikro-orm/postgresql';
import type { Database, Sql } from '../../platform/database.ts';
import type { Publisher, WrittenEvents } from '../events/event.ts';
import type { ActionContext } from './action.ts';

/** In whose name something is changed. */
export interface ChangeOrigin {
  readonly tenantId: string;
  readonly source: string;
  readonly hops?: number | undefined;
}

/** A context within a transaction of the caller's, who calls `ring` after the commit. */
export interface OpenChange {
  readonly context: ActionContext;
  ring(): void;
}

/** Collects what is published in a transaction that the caller has begun. */
export const openChange = (
  publisher: Publisher,
  sql: Sql,
  em: SqlEntityManager,
  { tenantId, source, hops = 0 }: ChangeOrigin,
): OpenChange => {
  const written: WrittenEvents[] = [];
  return {
    context: {
      sql,
      em,
      tenantId,
      source,
      hops,
      publish: async (events, as = source) => {
        const one = await publisher.publishIn(sql, tenantId, as, events, { hops });
        written.push(one);
        return one.published;
      },
    },
    ring: () => {
      for (const one of written.splice(0)) one.ring();
    },
  };
};

/** Changes things and publishes the events about it, both or neither. */
export interface Changes {
  /**
   * Runs `work` in a transaction, commits when it resolves and then rings; rolls back when it throws. Runs it a second
   * time where partitions were missing and have been made, so it must have no effect outside of the transaction.
   */
  commit<T>(origin: ChangeOrigin, work: (context: ActionContext) => Promise<T>): Promise<T>;
}

export interface ChangesOptions {
  readonly database: Database;
  readonly publisher: Publisher;
  /** Makes partitions when a commit finds none; true where trying again makes sense. */
  readonly mend: (error: unknown) => Promise<boolean>;
}

export const createChanges = ({ database, publisher, mend }: ChangesOptions): Changes => {
  const once = async <T>(origin: ChangeOrigin, work: (context: ActionContext) => Promise<T>): Promise<T> => {
    const { result, change } = await database.transaction(async (sql, em) => {
      const change = openChange(publisher, sql, em, origin);
      return { result: await work(change.context), change };
    });
    change.ring();
    return result;
  };
  return {
    commit: async (origin, work) => {
      try {
        return await once(origin, work);
      } catch (error) {
        if (!(await mend(error))) throw error;
        return once(origin, work);
      }
    },
  };
};

import { LockMode } from '@mikro-orm/core';
import { newId } from '../../platform/ids.ts';
import type { ActionContext } from '../actions/action.ts';
import { Client } from './client.ts';

/** What can be given of a client; what is left out stays as it is. `properties` is a JSON object as text. */
export interface ClientFields {
  readonly name: string;
  readonly isActive?: boolean;
  readonly properties?: string;
}

/** What came of writing something that may have been there. */
export type UpsertOperation = 'created' | 'updated' | 'unchanged';

const INSERT = `/*insert_client*/
insert into client (id, tenant_id, name, external_id, created_at, updated_at) values ($1, $2, $3, $4, $5, $5)
on conflict (tenant_id, external_id) do nothing returning id`;

/** Makes the client with this external id, or changes what is given of the one that there is. */
export const upsertClient = async (
  { sql, em, tenantId }: ActionContext,
  externalId: string,
  fields: ClientFields,
): Promise<{ client: Client; operation: UpsertOperation }> => {
  const now = new Date();
  const inserted = await sql.query(INSERT, [newId(), tenantId, fields.name, externalId, now]);
  const client = await em.findOneOrFail(
    Client,
    { tenantId, externalId },
    { lockMode: LockMode.PESSIMISTIC_WRITE, refresh: true },
  );
  const changed = assign(client, fields);
  if (changed && inserted.length === 0) client.updatedAt = now;
  await em.flush();
  return { client, operation: inserted.length > 0 ? 'created' : changed ? 'updated' : 'unchanged' };
};

/** Sets what is given; tells whether anything differs then. */
export const assign = <Entity extends object>(entity: Entity, fields: Partial<Entity>): boolean => {
  const differs = Object.entries(fields).some(([name, value]) => (entity as Record<string, unknown>)[name] !== value);
  Object.assign(entity, fields);
  return differs;
};

import { LockMode } from '@mikro-orm/core';
import { newId } from '../../platform/ids.ts';
import type { ActionContext } from '../actions/action.ts';
import { Asset } from './asset.ts';
import { assign } from './clients.ts';
import type { UpsertOperation } from './clients.ts';

/** What can be given of an asset; what is left out stays as it is. `rmmSnapshot` is JSON as text. */
export interface AssetFields {
  readonly name?: string;
  readonly assetType?: string;
  readonly status?: string;
  readonly clientId?: string | null;
  readonly serialNumber?: string | null;
  readonly location?: string | null;
  readonly rmmSnapshot?: string | null;
}

/** A new asset is called by its external id, of an unknown type and active, until something else is said. */
const INSERT = `/*insert_asset*/
insert into asset (id, tenant_id, external_id, name, asset_type, status, created_at, updated_at)
values ($1, $2, $3, $3, 'unknown', 'active', $4, $4)
on conflict (tenant_id, external_id) do nothing returning id`;

/** Makes the asset with this external id, or changes what is given of the one that there is. */
export const upsertAsset = async (
  { sql, em, tenantId }: ActionContext,
  externalId: string,
  fields: AssetFields,
): Promise<{ asset: Asset; operation: UpsertOperation }> => {
  const now = new Date();
  const inserted = await sql.query(INSERT, [newId(), tenantId, externalId, now]);
  const asset = await em.findOneOrFail(
    Asset,
    { tenantId, externalId },
    { lockMode: LockMode.PESSIMISTIC_WRITE, refresh: true },
  );
  const changed = assign(asset, fields);
  if (changed && inserted.length === 0) asset.updatedAt = now;
  await em.flush();
  return { asset, operation: inserted.length > 0 ? 'created' : changed ? 'updated' : 'unchanged' };
};

import { defineEntity, p } from '@mikro-orm/core';

const AssetSchema = defineEntity({
  name: 'Asset',
  tableName: 'asset',
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    externalId: p.text(),
    name: p.text(),
    assetType: p.text(),
    status: p.text(),
    clientId: p.uuid().nullable(),
    serialNumber: p.text().nullable(),
    location: p.text().nullable(),
    /** Any JSON, as text. */
    rmmSnapshot: p.text().nullable(),
    createdAt: p.datetime(),
    updatedAt: p.datetime(),
  },
});

/** A device, a licence, whatever is looked after. */
export class Asset extends AssetSchema.class {}
AssetSchema.setClass(Asset);

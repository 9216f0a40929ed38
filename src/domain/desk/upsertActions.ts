import { encodeId } from '../../platform/ids.ts';
import type { Action } from '../actions/action.ts';
import { parseInput } from '../text.ts';
import { upsertAsset } from './assets.ts';
import { upsertClient } from './clients.ts';
import { given } from './deskInput.ts';
import { assetValues, CLIENT_FIELDS, clientValues, externalIdField, field, namedClient } from './deskValues.ts';

/** Neither publishes anything: the events of clients and assets are reserved names. */
export const upsertActions: readonly Action[] = [
  {
    name: 'upsertClientByExternalId',
    entity: 'client',
    displayName: 'Create or update a client',
    description: 'Writes the client with an external id: makes it, or changes what is mapped and leaves the rest.',
    targetFields: [
      externalIdField('client'),
      field('client_name', 'STRING', 'Its name for people: 1 to 255 characters.', { required: true }),
      field('is_inactive', 'BOOLEAN', 'Whether it is no client any more; a new one is one.'),
      field('properties', 'JSON', 'An object of whatever else is known of it, at most 64 KiB, replaced as a whole.'),
    ],
    run: async (context, values) => {
      const parsed = parseInput(clientValues, values, []);
      const { client, operation } = await upsertClient(context, parsed.external_id, {
        name: parsed.client_name,
        ...given({
          isActive: parsed.is_inactive === undefined ? undefined : !parsed.is_inactive,
          properties: parsed.properties,
        }),
      });
      const id = encodeId('client', client.id);
      return {
        entity: 'client',
        entityId: id,
        operation,
        notes: [],
        events: [],
        output: {
          client_id: id,
          client_name: client.name,
          external_id: client.externalId,
          is_inactive: !client.isActive,
        },
      };
    },
  },
  {
    name: 'upsertAssetByExternalId',
    entity: 'asset',
    displayName: 'Create or update an asset',
    description: 'Writes the asset with an external id: makes it, or changes what is mapped and leaves the rest.',
    targetFields: [
      externalIdField('asset'),
      field('name', 'STRING', 'Its name for people: 1 to 255 characters; a new one has its external id.'),
      field('asset_type', 'STRING', 'What kind of thing it is: 1 to 100 characters; unknown on a new one.'),
      field('status', 'STRING', 'How it is, in your words: 1 to 100 characters; active on a new one.'),
      ...CLIENT_FIELDS,
      field('serial_number', 'STRING', 'The number that its maker gave it: at most 255 characters.'),
      field('location', 'STRING', 'Where it is: at most 500 characters.'),
      field('rmm_snapshot', 'JSON', 'What its monitoring says of it: any JSON of at most 256 KiB.'),
    ],
    run: async (context, values) => {
      const parsed = parseInput(assetValues, values, []);
      const { clientId, notes } = await namedClient(context, parsed);
      const fields = given({
        name: parsed.name,
        assetType: parsed.asset_type,
        status: parsed.status,
        clientId,
        serialNumber: parsed.serial_number,
        location: parsed.location,
        rmmSnapshot: parsed.rmm_snapshot,
      });
      const { asset, operation } = await upsertAsset(context, parsed.external_id, fields);
      const id = encodeId('asset', asset.id);
      return {
        entity: 'asset',
        entityId: id,
        operation,
        notes,
        events: [],
        output: {
          asset_id: id,
          name: asset.name,
          asset_type: asset.assetType,
          status: asset.status,
          client_id: asset.clientId == null ? null : encodeId('client', asset.clientId),
          external_id: asset.externalId,
        },
      };
    },
  },
];

import { Asset } from '../../domain/desk/asset.ts';
import { decodeId, encodeId } from '../../platform/ids.ts';
import { builder, tenantOf } from '../builder.ts';
import { forwardArgs, idConnection, idCursor, pageCost, pageRequest } from '../connection.ts';
import { ClientType } from './client.ts';
import { addDeskNode, byEitherId, deskLoaders, deskReader } from './deskContext.ts';

const AssetType = builder.objectRef<Asset>('Asset').implement({
  description: 'A device, a licence, whatever is looked after. Inbound webhooks write them.',
  interfaces: [builder.nodeInterfaceRef()],
  fields: (t) => ({
    id: t.id({ description: 'TypeID, `ast_…`.', resolve: ({ id }) => encodeId('asset', id) }),
    name: t.exposeString('name', { description: 'Its name for people.' }),
    externalId: t.exposeString('externalId', {
      description: 'What the system that reports it calls it; unique among the tenant’s assets.',
    }),
    assetType: t.exposeString('assetType', { description: 'What kind of thing it is, in the words of its reporter.' }),
    status: t.exposeString('status', { description: 'How it is, in the words of its reporter.' }),
    client: t.field({
      type: ClientType,
      nullable: true,
      description: 'Whose it is.',
      resolve: ({ clientId }, _args, context) => (clientId == null ? null : deskLoaders(context).client.load(clientId)),
    }),
    serialNumber: t.exposeString('serialNumber', { nullable: true, description: 'The number that its maker gave it.' }),
    location: t.exposeString('location', { nullable: true, description: 'Where it is.' }),
    rmmSnapshot: t.field({
      type: 'JSON',
      nullable: true,
      description: 'What its monitoring last said of it.',
      resolve: ({ rmmSnapshot }) => (rmmSnapshot == null ? null : (JSON.parse(rmmSnapshot) as unknown)),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
    updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'When it last changed.' }),
  }),
});

addDeskNode('asset', {
  type: AssetType,
  find: async (context, id) => (await deskReader(context).assets(tenantOf(context), [id]))[0] ?? null,
});

const AssetConnection = builder.connectionObject(
  { type: AssetType, name: 'AssetConnection', description: 'A page of assets.' },
  { name: 'AssetEdge', description: 'An asset in its list.' },
);

builder.queryFields((t) => ({
  asset: t.field({
    type: AssetType,
    nullable: true,
    description: 'One asset, by either of its ids; null for one that this tenant does not have.',
    authScopes: { scope: 'DESK_READ' },
    args: {
      id: t.arg.id({ description: 'The asset, `ast_…`.' }),
      externalId: t.arg.string({ description: 'What the system that reports it calls it.' }),
    },
    resolve: (_root, args, context) => {
      const [reader, tenantId] = [deskReader(context), tenantOf(context)];
      return byEitherId(
        args,
        (id) => decodeId('asset', id),
        async (id) => (await reader.assets(tenantId, [id]))[0],
        (externalId) => reader.assetByExternalId(tenantId, externalId),
      );
    },
  }),
  assets: t.field({
    type: AssetConnection,
    description: 'The assets of the tenant, newest first.',
    authScopes: { scope: 'DESK_READ' },
    args: forwardArgs,
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const [reader, tenantId] = [deskReader(context), tenantOf(context)];
      const request = pageRequest(args, idCursor('asset'));
      return idConnection('asset', await reader.listAssets(tenantId, request), request, () =>
        reader.count(tenantId, 'asset'),
      );
    },
  }),
}));

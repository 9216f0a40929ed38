import { Client } from '../../domain/desk/client.ts';
import { ConflictError, ValidationError } from '../../domain/errors.ts';
import { decodeId, encodeId } from '../../platform/ids.ts';
import { builder, tenantOf } from '../builder.ts';
import { forwardArgs, idConnection, idCursor, pageCost, pageRequest } from '../connection.ts';
import { addDeskNode, byEitherId, deskChanges, deskLoaders, deskReader } from './deskContext.ts';

export const ClientType = builder.objectRef<Client>('Client').implement({
  description: 'Whom tickets and assets are for.',
  interfaces: [builder.nodeInterfaceRef()],
  fields: (t) => ({
    id: t.id({ description: 'TypeID, `cli_…`.', resolve: ({ id }) => encodeId('client', id) }),
    name: t.exposeString('name', { description: 'Its name for people.' }),
    externalId: t.exposeString('externalId', {
      nullable: true,
      description: 'What another system calls it; unique among the tenant’s clients.',
    }),
    isActive: t.exposeBoolean('isActive', { description: 'Whether it is still a client.' }),
    properties: t.field({
      type: 'JSON',
      description: 'An object of whatever else is known of it.',
      resolve: ({ properties }) => JSON.parse(properties) as unknown,
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
    updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'When it last changed.' }),
  }),
});

addDeskNode('client', {
  type: ClientType,
  find: (context, id) => deskLoaders(context).client.load(id),
});

const ClientConnection = builder.connectionObject(
  { type: ClientType, name: 'ClientConnection', description: 'A page of clients.' },
  { name: 'ClientEdge', description: 'A client in its list.' },
);

builder.queryFields((t) => ({
  client: t.field({
    type: ClientType,
    nullable: true,
    description: 'One client, by either of its ids; null for one that this tenant does not have.',
    authScopes: { scope: 'DESK_READ' },
    args: {
      id: t.arg.id({ description: 'The client, `cli_…`.' }),
      externalId: t.arg.string({ description: 'What another system calls it.' }),
    },
    resolve: (_root, args, context) =>
      byEitherId(
        args,
        (id) => decodeId('client', id),
        (id) => deskLoaders(context).client.load(id),
        (externalId) => deskReader(context).clientByExternalId(tenantOf(context), externalId),
      ),
  }),
  clients: t.field({
    type: ClientConnection,
    description: 'The clients of the tenant, newest first.',
    authScopes: { scope: 'DESK_READ' },
    args: forwardArgs,
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const [reader, tenantId] = [deskReader(context), tenantOf(context)];
      const request = pageRequest(args, idCursor('client'));
      return idConnection('client', await reader.listClients(tenantId, request), request, () =>
        reader.count(tenantId, 'client'),
      );
    },
  }),
}));

const ClientInput = builder.inputType('ClientInput', {
  description: 'A client as another system knows it. What is left out stays as it is.',
  fields: (t) => ({
    externalId: t.string({ required: true, description: 'What that system calls it: 1 to 255 characters.' }),
    name: t.string({ required: true, description: 'Its name for people: 1 to 255 characters.' }),
    isActive: t.boolean({ description: 'Whether it is still a client; a new one is.' }),
    properties: t.field({ type: 'JSON', description: 'An object of at most 64 KiB, replaced as a whole.' }),
  }),
});

const ClientSuccess = builder.objectRef<{ client: Client }>('ClientSuccess').implement({
  description: 'The client is as it was asked for.',
  fields: (t) => ({ client: t.expose('client', { type: ClientType, description: 'The client.' }) }),
});

const ClientResult = builder.errorUnion('ClientResult', {
  description: 'The client, or why it is not as asked for.',
  types: [ClientSuccess, ValidationError, ConflictError],
  resolveType: () => 'ClientSuccess',
});

builder.mutationField('clientUpsert', (t) =>
  t.field({
    type: ClientResult,
    description: 'Creates the client with this external id, or changes the one that there is.',
    authScopes: { scope: 'DESK_WRITE' },
    args: { input: t.arg({ type: ClientInput, required: true, description: 'The client.' }) },
    resolve: async (_root, { input }, context) => ({
      client: await deskChanges(context).upsertClient(tenantOf(context), input),
    }),
  }),
);

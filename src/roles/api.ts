import { BulkOperations } from '../domain/bulk/bulkOperations.ts';
import { BulkProgress } from '../domain/bulk/bulkProgress.ts';
import { DeliveryRetry } from '../domain/deliveries/deliveryRetry.ts';
import { findDelivery } from '../domain/deliveries/history.ts';
import { createTestDeliveries } from '../domain/deliveries/testDelivery.ts';
import { Desk } from '../domain/desk/desk.ts';
import { DeskReader } from '../domain/desk/deskReader.ts';
import { ApiKeys } from '../domain/tenants/apiKeys.ts';
import { Authenticator } from '../domain/tenants/authenticator.ts';
import { Tenants } from '../domain/tenants/tenants.ts';
import { Webhooks } from '../domain/webhooks/webhooks.ts';
import { clientAddresses, originOf } from '../platform/clientAddress.ts';
import type { Route } from '../platform/httpServer.ts';
import { databaseProbe } from '../platform/outage.ts';
import { buildSchema } from '../schema/index.ts';
import { createGraphqlServer } from '../schema/server.ts';
import type { Ground } from './ground.ts';

/** GraphQL over HTTP and WebSocket, and the playground. */
export const startApi = async (ground: Ground): Promise<Route[]> => {
  const { config, log, database, notifications, box, bell, bulkQueue, sandbox, started } = ground;
  const { webhookList, healthFeed, eventTypes, publisher, feed, inbound, actions, mapper, workflows } = ground;
  const { retentionDays, publicUrl } = config;
  const onChanged = (): void => ground.outbox.poke();

  const authenticator = new Authenticator(database, notifications, (error) =>
    log.warn({ err: error }, 'could not write when keys were last used'),
  );
  started.push(() => authenticator.close());
  const clientOf = clientAddresses(config.trustedProxies);
  const graphql = createGraphqlServer(
    {
      sql: database.sql,
      tenants: new Tenants(database),
      apiKeys: new ApiKeys(database),
      webhooks: new Webhooks(database, box, bell, healthFeed, {
        checkUrl: ground.checkUrl,
        checkExpression: (tenantId, expression) => sandbox.check(tenantId, expression),
        headerPrefix: config.headerPrefix,
      }),
      webhookList,
      eventTypes,
      publisher,
      testDeliveries: createTestDeliveries({
        database,
        sender: ground.sender,
        box,
        log,
        ...ground.signing,
        now: Date.now,
        exampleOf: (tenantId, type) => eventTypes.exampleOf(tenantId, type),
        find: (tenantId, id) => findDelivery(database.sql, tenantId, id),
        onRecorded: onChanged,
      }),
      deliveryRetry: new DeliveryRetry({ database, bell, retentionDays, onChanged }),
      bulk: new BulkOperations(database, retentionDays, (id) => bulkQueue.call(id)),
      bulkProgress: new BulkProgress(database, notifications),
      desk: config.desk ? { changes: new Desk(ground.changes), reader: new DeskReader(database) } : null,
      feed,
      healthFeed,
      inbound,
      actions,
      mapper,
      workflows,
    },
    {
      schema: await buildSchema({ desk: config.desk }),
      authenticator,
      allowedOrigins: config.allowedOrigins,
      originOf: (request) => publicUrl ?? originOf(clientOf(request)),
      isDatabaseReachable: databaseProbe(ground.databaseUrl),
      log,
      isProduction: process.env['NODE_ENV'] === 'production',
    },
  );
  started.push(() => graphql.close());
  return [
    {
      path: '/graphql',
      handler: (request, response) => graphql.handler(request, response),
      onUpgrade: (request, socket, head) => graphql.upgrade(request, socket, head),
      // At once: subscribers go to another process, and nobody waits for them until the drain ends.
      endUpgraded: () => graphql.endSockets(),
    },
  ];
};

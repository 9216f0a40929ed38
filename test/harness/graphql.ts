import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Writable } from 'node:stream';
import { Client } from 'pg';
import { pino } from 'pino';
import { schema } from '../../mikro-orm.config.ts';
import { BulkOperations } from '../../src/domain/bulk/bulkOperations.ts';
import { BulkProgress } from '../../src/domain/bulk/bulkProgress.ts';
import type { Ring } from '../../src/domain/deliveries/bell.ts';
import { DeliveryRetry } from '../../src/domain/deliveries/deliveryRetry.ts';
import { findDelivery } from '../../src/domain/deliveries/history.ts';
import { ActionRegistry } from '../../src/domain/actions/actionRegistry.ts';
import { createChanges } from '../../src/domain/actions/changes.ts';
import { Desk } from '../../src/domain/desk/desk.ts';
import { deskModule } from '../../src/domain/desk/deskModule.ts';
import { DeskReader } from '../../src/domain/desk/deskReader.ts';
import { NotFoundError } from '../../src/domain/errors.ts';
import { createPublisher } from '../../src/domain/events/publisher.ts';
import { Catalogue } from '../../src/domain/events/catalogue.ts';
import { EventTypes } from '../../src/domain/events/eventTypes.ts';
import { FeedReader } from '../../src/domain/feed/feedReader.ts';
import { DELIVERY_STREAM } from '../../src/domain/feed/filter.ts';
import { createHandlerCheck } from '../../src/domain/inbound/handlers.ts';
import { createInbound } from '../../src/domain/inbound/inbound.ts';
import { createMapper } from '../../src/domain/mapping/mapper.ts';
import { ApiKeys } from '../../src/domain/tenants/apiKeys.ts';
import { Authenticator } from '../../src/domain/tenants/authenticator.ts';
import { bootstrapTenant } from '../../src/domain/tenants/bootstrap.ts';
import { Tenants } from '../../src/domain/tenants/tenants.ts';
import { HealthFeed } from '../../src/domain/webhooks/healthFeed.ts';
import { WebhookList } from '../../src/domain/webhooks/webhookList.ts';
import { Webhooks } from '../../src/domain/webhooks/webhooks.ts';
import { Workflows } from '../../src/domain/workflows/workflows.ts';
import { openDatabase } from '../../src/platform/database.ts';
import type { Database } from '../../src/platform/database.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { openNotifications } from '../../src/platform/notifications.ts';
import type { Notifications } from '../../src/platform/notifications.ts';
import { databaseProbe } from '../../src/platform/outage.ts';
import { createSandbox } from '../../src/platform/sandbox/sandbox.ts';
import { SecretBox } from '../../src/platform/secrets.ts';
import type { Services } from '../../src/schema/builder.ts';
import { buildSchema } from '../../src/schema/index.ts';
import { createGraphqlServer } from '../../src/schema/server.ts';
import type { GraphqlServer, GraphqlServerOptions } from '../../src/schema/server.ts';
import { createTestDatabase } from './database.ts';

export const FIRST_KEY = 'first-tenant-key-0123456789abcdefghij';

export interface GraphqlResponse {
  readonly status: number;
  // oxlint-disable-next-line typescript/no-explicit-any -- whatever the query asked for; assertions tell its shape
  readonly data: any;
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly errors: any[] | undefined;
  readonly headers: Headers;
}

export interface GraphqlHarness {
  /** `http://127.0.0.1:port/graphql`. */
  readonly url: string;
  readonly database: Database;
  /** What the log was told, a parsed line each. */
  readonly logged: Record<string, unknown>[];
  readonly rings: Ring[];
  readonly changedConfigurations: string[];
  readonly secrets: SecretBox;
  readonly authenticator: Authenticator;
  /** How many statements this process sent while `work` ran. */
  statementsOf(work: () => Promise<unknown>): Promise<number>;
  /** Posts an operation; with the first tenant's key unless another, or null for none, is given. */
  post(
    query: string,
    variables?: object,
    key?: string | null,
    headers?: Record<string, string>,
  ): Promise<GraphqlResponse>;
  /** A further key of the first tenant with these scopes. */
  keyWith(...scopes: string[]): Promise<string>;
  /** A further tenant; answers its first key. */
  tenant(slug: string): Promise<string>;
  close(): Promise<void>;
}

export interface GraphqlHarnessOptions {
  readonly server?: Partial<GraphqlServerOptions>;
  /** False leaves the database without a tenant. */
  readonly bootstrap?: boolean;
  readonly services?: (services: Services) => Services;
  /** The address that the program reaches the database by, such as a proxy's. */
  readonly reach?: (databaseUrl: string) => Promise<string>;
}

/**
 * The GraphQL server on a real socket and a database of its own. The lanes are not there: what they would be told is
 * kept in `rings` and `changedConfigurations`, and test deliveries find no webhook.
 */
export const startGraphql = async (options: GraphqlHarnessOptions = {}): Promise<GraphqlHarness> => {
  const own = await createTestDatabase();
  const url = (await options.reach?.(own.url)) ?? own.url;

  const database = await openDatabase({ url, poolSize: 10, schema });
  if (options.bootstrap !== false) await bootstrapTenant(database, 'default', FIRST_KEY);

  const logged: Record<string, unknown>[] = [];
  const log = pino(
    { level: 'debug' },
    new Writable({
      write(line: Buffer, _encoding, done) {
        logged.push(JSON.parse(line.toString()) as Record<string, unknown>);
        done();
      },
    }),
  );
  const notifications = await openNotifications(url, log);
  const rings: Ring[] = [];
  const changedConfigurations: string[] = [];
  const bell = {
    ring: (some: readonly Ring[]) => void rings.push(...some),
    configurationChanged: (id: string) => void changedConfigurations.push(id),
  };
  const secrets = new SecretBox(Buffer.alloc(32, 7));
  const checkUrl = (text: string) =>
    /^https?:\/\//.test(text) ? null : 'The URL must start with https:// or http://.';
  const authenticator = new Authenticator(database, notifications, (error) => log.warn({ err: error }, 'last use'));
  const feed = new FeedReader({ stream: DELIVERY_STREAM, database, notifications, log });
  const mend = async () => false;
  const publisher = createPublisher({ database, bell, now: Date.now, mend });
  const webhookList = new WebhookList(database);
  const healthFeed = new HealthFeed({
    database,
    notifications,
    log,
    find: async (tenantId, webhookId) => (await webhookList.find(tenantId, [webhookId]))[0],
  });
  const actions = new ActionRegistry(deskModule.actions);
  const sandbox = createSandbox({ log, metrics: createMetrics() });
  const mapper = createMapper({ sandbox, actions });
  const workflows = new Workflows(database, { actions, mapper, sandbox });
  const services: Services = {
    sql: database.sql,
    tenants: new Tenants(database),
    apiKeys: new ApiKeys(database),
    webhooks: new Webhooks(database, secrets, bell, healthFeed, {
      checkUrl,
      checkExpression: async () => null,
      headerPrefix: 'X-Alga-',
    }),
    webhookList,
    eventTypes: new EventTypes(database, new Catalogue([deskModule])),
    publisher,
    desk: { changes: new Desk(createChanges({ database, publisher, mend })), reader: new DeskReader(database) },
    testDeliveries: {
      send: async (tenantId, webhookId) => {
        const delivery = await findDelivery(database.sql, tenantId, webhookId);
        if (delivery === null) throw new NotFoundError('There is no such webhook.');
        return delivery;
      },
    },
    deliveryRetry: new DeliveryRetry({ database, bell, retentionDays: 30, onChanged: () => undefined }),
    bulk: new BulkOperations(database, 30, () => undefined),
    bulkProgress: new BulkProgress(database, notifications),
    feed,
    healthFeed,
    inbound: createInbound({
      database,
      secrets,
      notifications,
      log,
      checkUrl,
      checkHandler: createHandlerCheck({
        actions,
        hasWorkflow: (tenantId, id) => workflows.has(tenantId, id),
        checkMapping: (...given) => mapper.check(...given),
      }),
      sandbox,
      bell: { ring: () => undefined, configurationChanged: () => undefined },
      mend,
      onKept: () => undefined,
      onChanged: () => undefined,
      written: async () => undefined,
      maxBodyBytes: 1_048_576,
    }),
    actions,
    mapper,
    workflows,
  };
  const graphql = createGraphqlServer(options.services?.(services) ?? services, {
    schema: await buildSchema({ desk: true }),
    authenticator,
    allowedOrigins: null,
    isDatabaseReachable: databaseProbe(url),
    log,
    isProduction: false,
    originOf: () => 'https://hooks.example',
    ...options.server,
  });
  const server = await listen(graphql);
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql`;

  const post: GraphqlHarness['post'] = async (query, variables = {}, key = FIRST_KEY, headers = {}) => {
    const response = await fetch(endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(key !== null && { 'x-api-key': key }), ...headers },
      body: JSON.stringify({ query, variables }),
    });
    const body = (await response.json()) as Pick<GraphqlResponse, 'data' | 'errors'>;
    return { status: response.status, data: body.data, errors: body.errors, headers: response.headers };
  };

  return {
    url: endpoint,
    database,
    logged,
    rings,
    changedConfigurations,
    secrets,
    authenticator,
    statementsOf: countStatements,
    post,
    async keyWith(...scopes) {
      const created = await post(
        `mutation ($input: ApiKeyInput!) { apiKeyCreate(input: $input) { ... on ApiKeyCreateSuccess { secret } } }`,
        { input: { name: scopes.join(' '), scopes } },
      );
      return created.data.apiKeyCreate.secret as string;
    },
    async tenant(slug) {
      const created = await post(
        `mutation ($input: TenantInput!) { tenantCreate(input: $input) { ... on TenantCreateSuccess { secret } } }`,
        { input: { slug } },
      );
      return created.data.tenantCreate.secret as string;
    },
    async close() {
      await graphql.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      feed.close();
      await healthFeed.close();
      services.inbound.close();
      await sandbox.close();
      await closeQuietly(authenticator, notifications, database);
      await own.drop();
    },
  };
};

const closeQuietly = async (authenticator: Authenticator, notifications: Notifications, database: Database) => {
  await authenticator.close();
  await notifications.close();
  await database.close();
};

const listen = async (graphql: GraphqlServer): Promise<Server> => {
  const server = createServer((request, response) => void graphql.handler(request, response));
  server.on('upgrade', (request: IncomingMessage, socket, head) => {
    socket.on('error', () => socket.destroy());
    graphql.upgrade(request, socket, head);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
};

/** Every statement of this process passes here, whoever sends it. */
const countStatements = async (work: () => Promise<unknown>): Promise<number> => {
  const prototype = Client.prototype as unknown as { query: (...args: unknown[]) => unknown };
  const original = prototype.query;
  let statements = 0;
  prototype.query = function query(this: unknown, ...args: unknown[]) {
    statements += 1;
    return original.apply(this, args);
  };
  try {
    await work();
  } finally {
    prototype.query = original;
  }
  return statements;
};

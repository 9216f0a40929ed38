import { createRequire } from 'node:module';
import { join } from 'node:path';
import { schema } from '../mikro-orm.config.ts';
import { bootstrap, poolSize } from './bootstrap.ts';
import type { Config } from './config.ts';
import { BulkOperations } from './domain/bulk/bulkOperations.ts';
import { BulkProgress } from './domain/bulk/bulkProgress.ts';
import { DeliveryRetry } from './domain/deliveries/deliveryRetry.ts';
import { findDelivery } from './domain/deliveries/history.ts';
import type { Settlement } from './domain/deliveries/settlement.ts';
import { createTestDeliveries } from './domain/deliveries/testDelivery.ts';
import { ActionRegistry } from './domain/actions/actionRegistry.ts';
import { createChanges } from './domain/actions/changes.ts';
import { Desk } from './domain/desk/desk.ts';
import { deskModule } from './domain/desk/deskModule.ts';
import { DeskReader } from './domain/desk/deskReader.ts';
import type { PublishedEvent, Publisher } from './domain/events/event.ts';
import { Catalogue } from './domain/events/catalogue.ts';
import { EventTypes } from './domain/events/eventTypes.ts';
import { publishEventAction } from './domain/events/publishEventAction.ts';
import { createPublisher } from './domain/events/publisher.ts';
import { FeedReader } from './domain/feed/feedReader.ts';
import { DELIVERY_STREAM } from './domain/feed/filter.ts';
import { Dispatch } from './domain/inbound/dispatch/dispatch.ts';

import { createInbound } from './domain/inbound/inbound.ts';
import { createHandlerCheck } from './domain/inbound/handlers.ts';
import { daysAhead, ensurePartitions, isMissingPartition, LEAST_DAYS_AHEAD } from './domain/retention/partitions.ts';
import { createMapper } from './domain/mapping/mapper.ts';
import { ApiKeys } from './domain/tenants/apiKeys.ts';
import { Authenticator } from './domain/tenants/authenticator.ts';
import { Tenants } from './domain/tenants/tenants.ts';
import { HealthFeed } from './domain/webhooks/healthFeed.ts';
import { WebhookList } from './domain/webhooks/webhookList.ts';
import { Webhooks } from './domain/webhooks/webhooks.ts';
import { createWorkflowRunner } from './domain/workflows/runner.ts';
import { Workflows } from './domain/workflows/workflows.ts';
import { DELIVER_QUEUE, DISPATCH_QUEUE, openBoss } from './jobs/boss.ts';
import { BulkRunner } from './jobs/bulkOperations.ts';
import { BulkQueue } from './jobs/bulkQueue.ts';
import { Clock } from './jobs/clock.ts';
import { DispatchWorker } from './jobs/dispatch/dispatchWorker.ts';
import { HealthWatch } from './jobs/healthWatch.ts';
import { Bell } from './jobs/lanes/ring.ts';
import { LaneWorker } from './jobs/lanes/worker.ts';
import { Retention } from './jobs/retention.ts';
import { RollupFold } from './jobs/rollupFold.ts';
import { createOutboxBell, createSequencer } from './jobs/sequencer.ts';
import { clientAddresses, originOf } from './platform/clientAddress.ts';
import { watchClock } from './platform/clockOffset.ts';
import { openDatabase } from './platform/database.ts';
import { startEmbeddedPostgres } from './platform/embedded/index.ts';
import { createHttpServer } from './platform/httpServer.ts';
import type { ListeningAddress, Route } from './platform/httpServer.ts';
import { createLogger } from './platform/logs.ts';
import { createMetrics } from './platform/metrics.ts';
import type { DeliveryOutcome, Metrics } from './platform/metrics.ts';
import { openNotifications } from './platform/notifications.ts';
import { AddressPolicy, parseCidrs } from './platform/outbound/addresses.ts';
import { createSender } from './platform/outbound/sender.ts';
import { encodeId } from './platform/ids.ts';
import { checkTarget } from './platform/outbound/target.ts';
import { databaseProbe } from './platform/outage.ts';
import { createReceivers } from './receivers/receivers.ts';
import { createSandbox } from './platform/sandbox/sandbox.ts';
import { buildSchema } from './schema/index.ts';
import { createGraphqlServer } from './schema/server.ts';

const { version } = createRequire(import.meta.url)('../package.json') as { version: string };
const LANE_GAUGE_MS = 1_000;

export interface Program {
  readonly address: ListeningAddress;
  /** The first key, where it was generated just now: to be shown this once. */
  readonly generatedKey: string | null;
  /** `/readyz` answers 200 from now on. */
  ready(): void;
  /** Finishes or returns what it holds within the drain limit, and ends everything it started. */
  stop(): Promise<void>;
}

/**
 * Starts hookgraph in this process: config → database → roles → listen. What can't start throws StartupError, and
 * what had started by then is stopped again.
 */
export const startProgram = async (config: Config): Promise<Program> => {
  const log = createLogger(config);
  const metrics = createMetrics();
  for (const warning of config.warnings) log.warn(warning);
  /** In the order in which they were started; stopped the other way round. */
  const started: (() => Promise<void> | void)[] = [];
  const stopAll = async (): Promise<void> => {
    for (const stop of started.splice(0).reverse()) {
      try {
        await stop();
      } catch (error) {
        log.error({ err: error }, 'something could not be stopped');
      }
    }
  };

  try {
    let url = config.databaseUrl;
    if (url === null) {
      const embedded = await startEmbeddedPostgres({ dataDir: config.dataDir, log });
      started.push(() => embedded.stop());
      ({ url } = embedded);
    }
    const directUrl = config.databaseUrlDirect ?? url;
    const database = await openDatabase({ url, poolSize: poolSize(config), schema });
    started.push(() => database.close());
    const { box, generatedKey } = await bootstrap(database, config, directUrl, join(config.dataDir, 'secret.key'));

    const notifications = await openNotifications(directUrl, log);
    started.push(() => notifications.close());
    const clockOffset = await watchClock(database, log);
    started.push(() => clockOffset.stop());
    const isWorker = config.roles.has('worker');
    const boss = await openBoss({ url: directUrl, poolSize: 3, supervise: isWorker, log });
    started.push(() => boss.stop({ graceful: false }));
    const retention = new Retention(database, log, isWorker ? config.retentionDays : null);
    retention.start();
    started.push(() => retention.stop());

    const ownPorts = new Set<number>();
    const allowed = parseCidrs(config.allowTargets.join(','));
    if ('error' in allowed) throw new Error(allowed.error);
    const policy = new AddressPolicy({ allow: allowed.cidrs, ownPorts: () => ownPorts });
    const sender = createSender({ policy, report: (error) => log.error({ err: error }, 'an exchange failed') });
    started.push(() => sender.close());
    const signing = { headerPrefix: config.headerPrefix, userAgent: `hookgraph/${version}` };
    const mend = async (error: unknown): Promise<boolean> => {
      if (!isMissingPartition(error)) return false;
      await ensurePartitions(database, Date.now());
      return true;
    };

    const sandbox = createSandbox({ log, metrics });
    started.push(() => sandbox.close());
    const feed = new FeedReader({ stream: DELIVERY_STREAM, database, notifications, log });
    started.push(() => feed.close());
    const bell = new Bell({ boss, database, log, queue: DELIVER_QUEUE, channel: 'hookgraph_ring' });
    const dispatchBell = new Bell({ boss, database, log, queue: DISPATCH_QUEUE, channel: 'hookgraph_dispatch' });
    started.push(() => bell.flush());
    started.push(() => dispatchBell.flush());
    const bulkQueue = new BulkQueue(boss, database, log);
    started.push(() => bulkQueue.flush());
    const webhookList = new WebhookList(database);
    const healthFeed = new HealthFeed({
      database,
      notifications,
      log,
      find: async (tenantId, webhookId) => (await webhookList.find(tenantId, [webhookId]))[0],
    });
    started.push(() => healthFeed.close());
    const modules = config.desk ? [deskModule] : [];
    const eventTypes = new EventTypes(database, new Catalogue(modules));
    const actions = new ActionRegistry([
      publishEventAction(eventTypes),
      ...modules.flatMap((module) => module.actions),
    ]);
    const mapper = createMapper({ sandbox, actions });
    const workflows = new Workflows(database, { actions, mapper, sandbox });
    const inbound = createInbound({
      database,
      secrets: box,
      notifications,
      log,
      checkUrl: (text) => checkTarget(text, policy),
      checkHandler: createHandlerCheck({
        actions,
        checkMapping: (...given) => mapper.check(...given),
        hasWorkflow: (tenantId, id) => workflows.has(tenantId, id),
      }),
      sandbox,
      bell: {
        ring: (rings) => {
          dispatchBell.ring(rings);
          // Disabled or deleted: what it forwards is to be cancelled as well.
          bell.ring(rings.filter(({ dueAt }) => dueAt === 0));
        },
        configurationChanged: (webhookId) => bell.configurationChanged(webhookId),
      },
      mend,
      onKept: () => outbox.poke(),
      maxBodyBytes: config.maxBodyBytes,
    });
    started.push(() => inbound.close());
    const publisher = counting(createPublisher({ database, bell, now: Date.now, mend }), metrics);
    const changes = createChanges({ database, publisher, mend });
    let outbox = createOutboxBell({ database });
    if (isWorker) {
      const sequencer = createSequencer({
        database,
        notifications,
        log,
        onMoved: () => {
          feed.poke();
          inbound.feed.poke();
        },
        ensurePartitions: () => ensurePartitions(database, Date.now()),
      });
      sequencer.start();
      started.push(() => sequencer.stop());
      outbox = sequencer;
    }

    if (isWorker) {
      const bulkRunner = new BulkRunner({
        database,
        boss,
        queue: bulkQueue,
        notifications,
        bell,
        retentionDays: config.retentionDays,
        log,
        mend,
        onTurn: ({ operation, slice }) => {
          outbox.poke();
          metrics.bulkDeliveries.inc({ kind: operation.kind.toLowerCase() }, slice.succeeded);
        },
      });
      bulkRunner.start();
      started.push(() => bulkRunner.stop());
      const healthWatch = new HealthWatch({ database, publisher, bell, healthFeed, log, mend });
      healthWatch.start();
      started.push(() => healthWatch.stop());
      const clock = new Clock(database, bell, dispatchBell, log);
      const rollupFold = new RollupFold(database, log);
      rollupFold.start();
      started.push(() => rollupFold.stop());
      const worker = new LaneWorker({
        database,
        boss,
        bell,
        notifications,
        sender,
        sandbox,
        box,
        log,
        ...signing,
        mend,
        onSettled: (batch) => {
          outbox.poke();
          countSettled(metrics, batch);
        },
        onHealth: ({ healthChanged, announces }) => {
          healthFeed.tell(healthChanged);
          if (announces) healthWatch.poke();
        },
        onAnswer: (exchange) => metrics.attemptSeconds.observe(exchange.durationMs / 1000),
      });
      const dispatchWorker = new DispatchWorker({
        database,
        boss,
        bell: dispatchBell,
        notifications,
        log,
        onSettled: () => outbox.poke(),
        dispatch: new Dispatch({
          database,
          publisher,
          actions,
          mapper,
          workflows: createWorkflowRunner({ database, changes, mapper, sandbox, actions, mend }),
          mend,
          onForwarded: ({ tenantId, webhookId }, dueAt) => bell.ring([{ tenantId, webhookId, dueAt }]),
          onUnexpected: (error, { id }) =>
            log.error(
              { err: error, inboundDelivery: encodeId('inboundDelivery', id) },
              'a request could not be handled',
            ),
          now: Date.now,
        }),
      });
      worker.start();
      dispatchWorker.start();
      clock.start();
      const gauge = setInterval(() => metrics.lanesHeld.set(worker.size), LANE_GAUGE_MS);
      started.push(async () => {
        await clock.stop();
        const limitMs = config.drainSeconds * 1000;
        await Promise.all([dispatchWorker.drain(limitMs), worker.drain(limitMs)]);
        clearInterval(gauge);
      });
    }

    const clientOf = clientAddresses(config.trustedProxies);
    const routes: Route[] = [];
    if (config.roles.has('api')) {
      const authenticator = new Authenticator(database, notifications, (error) =>
        log.warn({ err: error }, 'could not write when keys were last used'),
      );
      started.push(() => authenticator.close());
      const graphql = createGraphqlServer(
        {
          sql: database.sql,
          tenants: new Tenants(database),
          apiKeys: new ApiKeys(database),
          webhooks: new Webhooks(database, box, bell, healthFeed, {
            checkUrl: (text) => checkTarget(text, policy),
            checkExpression: (tenantId, expression) => sandbox.check(tenantId, expression),
            headerPrefix: config.headerPrefix,
          }),
          webhookList,
          eventTypes,
          publisher,
          testDeliveries: createTestDeliveries({
            database,
            sender,
            box,
            log,
            ...signing,
            now: Date.now,
            exampleOf: (tenantId, type) => eventTypes.exampleOf(tenantId, type),
            find: (tenantId, id) => findDelivery(database.sql, tenantId, id),
            onRecorded: () => outbox.poke(),
          }),
          deliveryRetry: new DeliveryRetry({
            database,
            bell,
            retentionDays: config.retentionDays,
            onChanged: () => outbox.poke(),
          }),
          bulk: new BulkOperations(database, config.retentionDays, (id) => bulkQueue.call(id)),
          bulkProgress: new BulkProgress(database, notifications),
          desk: config.desk ? { changes: new Desk(changes), reader: new DeskReader(database) } : null,
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
          originOf: (request) => config.publicUrl ?? originOf(clientOf(request)),
          isDatabaseReachable: databaseProbe(url),
          log,
          isProduction: process.env['NODE_ENV'] === 'production',
        },
      );
      started.push(() => graphql.close());
      routes.push({
        path: '/graphql',
        handler: (request, response) => graphql.handler(request, response),
        onUpgrade: (request, socket, head) => graphql.upgrade(request, socket, head),
      });
    }

    if (config.roles.has('receiver')) {
      const { tenantSlug, publicUrl, maxBodyBytes, headerPrefix } = config;
      routes.push(
        ...createReceivers({
          inbound,
          tenantSlug,
          publicUrl,
          maxBodyBytes,
          headerPrefix,
          clientOf,
          isDatabaseReachable: databaseProbe(url),
          metrics,
          log,
        }),
      );
    }

    let isReady = false;
    const isReachable = databaseProbe(url);
    const server = createHttpServer({
      routes,
      metrics,
      log,
      ready: async () => {
        if (!isReady) return ['starting'];
        if (!(await isReachable())) return ['the database does not answer'];
        const reasons = clockOffset.isTooFar ? ["the clock differs from the database's by more than 5 s"] : [];
        if ((await daysAhead(database.sql, Date.now())) < LEAST_DAYS_AHEAD) reasons.push('partitions are missing');
        if (!notifications.connected) reasons.push('the LISTEN connection is lost');
        return reasons;
      },
    });
    const address = await server.listen(config.port, config.host);
    ownPorts.add(address.port);
    // Last started, first stopped: nobody new comes in, and who is in gets an answer.
    started.push(() => server.close(config.drainSeconds * 1000));

    let stopping: Promise<void> | null = null;
    return {
      address,
      generatedKey,
      ready: () => {
        isReady = true;
      },
      stop: () => (stopping ??= stopAll()),
    };
  } catch (error) {
    await stopAll();
    throw error;
  }
};

const counting = (publisher: Publisher, metrics: Metrics): Publisher => {
  const count = (published: readonly PublishedEvent[]): void =>
    metrics.publishes.inc(published.filter((one) => !one.duplicate).length);
  return {
    publish: async (tenantId, source, events) => {
      const published = await publisher.publish(tenantId, source, events);
      count(published);
      return published;
    },
    publishIn: async (...args) => {
      const written = await publisher.publishIn(...args);
      return {
        published: written.published,
        ring: () => {
          count(written.published);
          written.ring();
        },
      };
    },
  };
};

const OUTCOMES: Readonly<Partial<Record<Settlement['status'], DeliveryOutcome>>> = {
  DELIVERED: 'delivered',
  RETRYING: 'retrying',
  ABANDONED: 'abandoned',
  CANCELLED: 'cancelled',
};

const countSettled = (metrics: Metrics, batch: readonly Settlement[]): void => {
  if (batch.length > 0) metrics.settleBatchSize.observe(batch.length);
  for (const { status } of batch) {
    const outcome = OUTCOMES[status];
    if (outcome) metrics.deliveries.inc({ outcome });
  }
};

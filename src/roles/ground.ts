import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { PgBoss } from 'pg-boss';
import { schema } from '../../mikro-orm.config.ts';
import { bootstrap, poolSize, RECEPTION_POOL } from '../bootstrap.ts';
import type { Config } from '../config.ts';
import { ActionRegistry } from '../domain/actions/actionRegistry.ts';
import { createChanges } from '../domain/actions/changes.ts';
import type { Changes } from '../domain/actions/changes.ts';
import { deskModule } from '../domain/desk/deskModule.ts';
import { Catalogue } from '../domain/events/catalogue.ts';
import type { EventRecord, Publisher } from '../domain/events/event.ts';
import { EventTypes } from '../domain/events/eventTypes.ts';
import { publishEventAction } from '../domain/events/publishEventAction.ts';
import { createPublisher } from '../domain/events/publisher.ts';
import type { FeedChange } from '../domain/feed/change.ts';
import { FeedReader } from '../domain/feed/feedReader.ts';
import { DELIVERY_STREAM } from '../domain/feed/filter.ts';
import type { FeedFilter } from '../domain/feed/filter.ts';
import type { DispatchBell } from '../domain/inbound/dispatchBell.ts';
import { createHandlerCheck } from '../domain/inbound/handlers.ts';
import { createInbound } from '../domain/inbound/inbound.ts';
import type { Inbound } from '../domain/inbound/inbound.ts';
import { createMapper } from '../domain/mapping/mapper.ts';
import type { Mapper } from '../domain/mapping/mapper.ts';
import { ensurePartitions, isMissingPartition } from '../domain/retention/partitions.ts';
import { HealthFeed } from '../domain/webhooks/healthFeed.ts';
import { WebhookList } from '../domain/webhooks/webhookList.ts';
import { Workflows } from '../domain/workflows/workflows.ts';
import { DELIVER_QUEUE, DISPATCH_QUEUE, openBoss } from '../jobs/boss.ts';
import { BulkQueue } from '../jobs/bulkQueue.ts';
import { BodyCache } from '../jobs/lanes/bodyCache.ts';
import { Bell } from '../jobs/lanes/ring.ts';
import { Retention } from '../jobs/retention.ts';
import { createOutboxBell } from '../jobs/sequencer.ts';
import type { OutboxBell } from '../jobs/sequencer.ts';
import { watchClock } from '../platform/clockOffset.ts';
import type { ClockOffset } from '../platform/clockOffset.ts';
import { openDatabase } from '../platform/database.ts';
import type { Database } from '../platform/database.ts';
import { startEmbeddedPostgres } from '../platform/embedded/index.ts';
import type { Logger } from '../platform/logs.ts';
import type { Metrics } from '../platform/metrics.ts';
import { openNotifications } from '../platform/notifications.ts';
import type { Notifications } from '../platform/notifications.ts';
import { AddressPolicy, parseCidrs } from '../platform/outbound/addresses.ts';
import { createSender } from '../platform/outbound/sender.ts';
import type { Sender } from '../platform/outbound/sender.ts';
import { createThreadedSender } from '../platform/outbound/threadedSender.ts';
import { checkTarget } from '../platform/outbound/target.ts';
import { createSandbox } from '../platform/sandbox/sandbox.ts';
import type { Sandbox } from '../platform/sandbox/sandbox.ts';
import type { SecretBox } from '../platform/secrets.ts';
import { createTracing } from '../platform/tracing.ts';
import type { Tracing } from '../platform/tracing.ts';
import { ThreadedReception } from '../receivers/threadedReception.ts';
import { counting } from './counting.ts';

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

/** What every role of a process stands on. */
export interface Ground {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Null where no collector is configured. */
  readonly tracing: Tracing | null;
  /** Of the database that is used, be it the embedded one. */
  readonly databaseUrl: string;
  readonly database: Database;
  readonly notifications: Notifications;
  readonly clockOffset: ClockOffset;
  readonly box: SecretBox;
  /** The first key, where it was generated just now. */
  readonly generatedKey: string | null;
  readonly boss: PgBoss;
  readonly sender: Sender;
  readonly signing: { readonly headerPrefix: string; readonly userAgent: string };
  /** Null for an address that may be a target, else why not. */
  readonly checkUrl: (text: string) => string | null;
  /** Ports of this process, which are never a target. */
  readonly ownPorts: Set<number>;
  /** Makes partitions when a statement found none; true where trying again makes sense. */
  readonly mend: (error: unknown) => Promise<boolean>;
  readonly sandbox: Sandbox;
  readonly bell: Bell;
  /** Of what this process publishes, if it is a worker too, and of what it sends. */
  readonly bodies: BodyCache;
  readonly dispatchBell: Bell;
  readonly bulkQueue: BulkQueue;
  /** Who numbers what changed: another process, until this one's sequencer takes its place. */
  outbox: OutboxBell;
  readonly feed: FeedReader<FeedChange, FeedFilter>;
  readonly webhookList: WebhookList;
  readonly healthFeed: HealthFeed;
  readonly eventTypes: EventTypes;
  readonly actions: ActionRegistry;
  readonly mapper: Mapper;
  readonly workflows: Workflows;
  readonly inbound: Inbound;
  /** Null where this process is no receiver. */
  readonly reception: ThreadedReception | null;
  readonly publisher: Publisher;
  readonly changes: Changes;
  /** Stopped when the process stops, the last one first. */
  readonly started: (() => Promise<void> | void)[];
}

const tracingOf = (config: Config, log: Logger): Tracing | null => {
  const { otlpEndpoint, otlpTracesEndpoint, otlpHeaders, serviceName } = config;
  const url = otlpTracesEndpoint ?? (otlpEndpoint === null ? null : `${otlpEndpoint.replace(/\/+$/, '')}/v1/traces`);
  if (url === null) return null;
  return createTracing({ url, headers: otlpHeaders, serviceName, serviceVersion: version, log });
};

/** Opens it, in the order in which its parts need one another. What was opened by a failure is in `started`. */
export const openGround = async (
  config: Config,
  log: Logger,
  metrics: Metrics,
  started: Ground['started'],
): Promise<Ground> => {
  const tracing = tracingOf(config, log);
  if (tracing !== null) started.push(() => tracing.close());
  let databaseUrl = config.databaseUrl;
  if (databaseUrl === null) {
    const embedded = await startEmbeddedPostgres({ dataDir: config.dataDir, log });
    started.push(() => embedded.stop());
    databaseUrl = embedded.url;
  }
  const directUrl = config.databaseUrlDirect ?? databaseUrl;
  const database = await openDatabase({ url: databaseUrl, poolSize: poolSize(config), schema });
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
  const checkUrl = (text: string): string | null => checkTarget(text, policy);
  const report = (error: unknown): void => log.error({ err: error }, 'an exchange failed');
  const sender = isWorker
    ? createThreadedSender({ allow: allowed.cidrs, ownPorts: () => ownPorts, report })
    : createSender({ policy, report });
  started.push(() => sender.close());
  const mend = async (error: unknown): Promise<boolean> => {
    if (!isMissingPartition(error)) return false;
    await ensurePartitions(database, Date.now());
    return true;
  };
  const makePartitions = async (): Promise<boolean> => {
    try {
      await ensurePartitions(database, Date.now());
      return true;
    } catch (error) {
      log.error({ err: error }, 'partitions could not be made');
      return false;
    }
  };

  const sandbox = createSandbox({ log, metrics });
  started.push(() => sandbox.close());
  const feed = new FeedReader({ stream: DELIVERY_STREAM, database, notifications, log });
  started.push(() => feed.close());
  const bell = new Bell({ boss, database, log, queue: DELIVER_QUEUE, channel: 'hookgraph_ring' });
  started.push(() => bell.flush());
  const dispatchBell = new Bell({ boss, database, log, queue: DISPATCH_QUEUE, channel: 'hookgraph_dispatch' });
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
  const actions = new ActionRegistry([publishEventAction(eventTypes), ...modules.flatMap((module) => module.actions)]);
  const mapper = createMapper({ sandbox, actions });
  const workflows = new Workflows(database, { actions, mapper, sandbox });
  const inboundBell: DispatchBell = {
    ring: (rings) => {
      dispatchBell.ring(rings);
      // Disabled or deleted: what it forwards is to be cancelled as well.
      bell.ring(rings.filter(({ dueAt }) => dueAt === 0));
    },
    configurationChanged: (webhookId) => bell.configurationChanged(webhookId),
  };
  const onKept = (): void => ground.outbox.poke();
  const reception = config.roles.has('receiver')
    ? new ThreadedReception({
        databaseUrl,
        poolSize: RECEPTION_POOL,
        secretKey: box.key,
        hopsHeader: `${config.headerPrefix}hops`.toLowerCase(),
        logLevel: config.logLevel,
        sandbox,
        bell: inboundBell,
        onKept,
        makePartitions,
      })
    : null;
  const forget = (): void => reception?.forget();
  notifications.on('hookgraph_inbound', forget, forget);
  if (reception !== null) started.push(() => reception.close());
  const inbound = createInbound({
    database,
    secrets: box,
    notifications,
    log,
    checkUrl,
    checkHandler: createHandlerCheck({
      actions,
      checkMapping: (...given) => mapper.check(...given),
      hasWorkflow: (tenantId, id) => workflows.has(tenantId, id),
    }),
    sandbox,
    bell: inboundBell,
    mend,
    onKept,
    onChanged: forget,
    written: async () => reception?.written(),
    maxBodyBytes: config.maxBodyBytes,
  });
  started.push(() => inbound.close());
  const bodies = new BodyCache();
  const onPublished = (event: EventRecord): void => bodies.keep(event);
  const publisher = counting(
    createPublisher({ database, bell, now: Date.now, mend, ...(isWorker && { onPublished }) }),
    metrics,
  );
  const ground: Ground = {
    config,
    log,
    metrics,
    tracing,
    databaseUrl,
    database,
    notifications,
    clockOffset,
    box,
    generatedKey,
    boss,
    sender,
    signing: { headerPrefix: config.headerPrefix, userAgent: `hookgraph/${version}` },
    checkUrl,
    ownPorts,
    mend,
    sandbox,
    bell,
    bodies,
    dispatchBell,
    bulkQueue,
    outbox: createOutboxBell({ database }),
    feed,
    webhookList,
    healthFeed,
    eventTypes,
    actions,
    mapper,
    workflows,
    inbound,
    reception,
    publisher,
    changes: createChanges({ database, publisher, mend }),
    started,
  };
  return ground;
};

import type { Config } from './config.ts';
import { daysAhead, LEAST_DAYS_AHEAD } from './domain/retention/partitions.ts';
import { clientAddresses } from './platform/clientAddress.ts';
import { createHttpServer } from './platform/httpServer.ts';
import type { ListeningAddress, Route } from './platform/httpServer.ts';
import { createLogger } from './platform/logs.ts';
import { createMetrics } from './platform/metrics.ts';
import { databaseProbe } from './platform/outage.ts';
import { createReceivers } from './receivers/receivers.ts';
import type { ThreadedReception } from './receivers/threadedReception.ts';
import { startApi } from './roles/api.ts';
import { openGround } from './roles/ground.ts';
import type { Ground } from './roles/ground.ts';
import { startWorker } from './roles/worker.ts';

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
  const started: Ground['started'] = [];
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
    const ground = await openGround(config, log, metrics, started);
    if (config.roles.has('worker')) startWorker(ground);
    const routes: Route[] = [];
    if (config.roles.has('api')) routes.push(...(await startApi(ground)));
    if (ground.reception !== null) routes.push(...(await receiversOn(ground, ground.reception)));

    let isReady = false;
    const { database, databaseUrl, clockOffset, notifications, reception } = ground;
    const isReachable = databaseProbe(databaseUrl);
    const server = createHttpServer({
      routes,
      metrics,
      tracing: ground.tracing,
      log,
      ready: async () => {
        if (!isReady) return ['starting'];
        if (!(await isReachable())) return ['the database does not answer'];
        await reception?.ping();
        const reasons = clockOffset.isTooFar ? ["the clock differs from the database's by more than 5 s"] : [];
        if ((await daysAhead(database.sql, Date.now())) < LEAST_DAYS_AHEAD) reasons.push('partitions are missing');
        if (!notifications.connected) reasons.push('the LISTEN connection is lost');
        return reasons;
      },
    });
    const address = await server.listen(config.port, config.host);
    ground.ownPorts.add(address.port);
    // Last started, first stopped: nobody new comes in, and who is in gets an answer.
    started.push(() => server.close(config.drainSeconds * 1000));

    let stopping: Promise<void> | null = null;
    return {
      address,
      generatedKey: ground.generatedKey,
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

const receiversOn = async ({ config, metrics }: Ground, reception: ThreadedReception): Promise<Route[]> => {
  const { tenantSlug, publicUrl, maxBodyBytes, trustedProxies } = config;
  await reception.started;
  return createReceivers({
    reception,
    tenantSlug,
    publicUrl,
    maxBodyBytes,
    clientOf: clientAddresses(trustedProxies),
    metrics,
  });
};

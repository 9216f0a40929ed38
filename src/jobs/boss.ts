import { PgBoss } from 'pg-boss';
import type { Logger } from '../platform/logs.ts';

/** The queue whose jobs are the lanes of outbound webhooks. */
export const DELIVER_QUEUE = 'deliver';
/** Those of inbound webhooks. */
export const DISPATCH_QUEUE = 'dispatch';
/** The queue whose jobs are operations on many deliveries. */
export const BULK_QUEUE = 'bulk';

/** A worker that hasn't renewed its lanes for this long is taken for dead, and its lanes are handed out again. */
const HEARTBEAT_SECONDS = 10;
/** How often a live worker looks for dead ones' lanes. */
const SUPERVISE_SECONDS = 2;

export interface BossOptions {
  readonly url: string;
  readonly poolSize: number;
  /** Looks after dead workers' lanes and old jobs; every worker does, pg-boss takes turns by itself. */
  readonly supervise: boolean;
  readonly log: Logger;
}

/**
 * pg-boss, started, with its queues. A lane's job says only "this webhook has work": policy `exclusive` on the webhook
 * keeps at most one queued or active, the fetch hands it to one worker, the heartbeat moves it on when that worker dies.
 */
export const openBoss = async ({ url, poolSize, supervise, log }: BossOptions): Promise<PgBoss> => {
  const boss = new PgBoss({
    connectionString: url,
    application_name: 'hookgraph lanes',
    max: poolSize,
    schedule: false,
    supervise,
    superviseIntervalSeconds: SUPERVISE_SECONDS,
    monitorIntervalSeconds: SUPERVISE_SECONDS,
    maintenanceIntervalSeconds: 60,
  });
  boss.on('error', (error) => log.warn({ err: error }, 'pg-boss'));
  boss.on('warning', (warning) => log.debug({ warning }, 'pg-boss warns'));
  await boss.start();
  for (const queue of [DELIVER_QUEUE, DISPATCH_QUEUE, BULK_QUEUE]) {
    await boss.createQueue(queue, {
      policy: 'exclusive',
      heartbeatSeconds: HEARTBEAT_SECONDS,
      expireInSeconds: 86_000,
      retryLimit: 1_000_000,
      retryDelay: 0,
      retentionSeconds: 14 * 86_400,
      deleteAfterSeconds: 60,
    });
  }
  return boss;
};

import { Dispatch } from '../domain/inbound/dispatch/dispatch.ts';
import { ensurePartitions } from '../domain/retention/partitions.ts';
import { createWorkflowRunner } from '../domain/workflows/runner.ts';
import { BulkRunner } from '../jobs/bulkOperations.ts';
import { Clock } from '../jobs/clock.ts';
import { DispatchWorker } from '../jobs/dispatch/dispatchWorker.ts';
import { FanOut } from '../jobs/fanOut.ts';
import { HealthWatch } from '../jobs/healthWatch.ts';
import { LaneWorker } from '../jobs/lanes/worker.ts';
import { RollupFold } from '../jobs/rollupFold.ts';
import { createSequencer } from '../jobs/sequencer.ts';
import { encodeId } from '../platform/ids.ts';
import { countSettled } from './counting.ts';
import { traceSettled } from './attemptSpans.ts';
import type { Ground } from './ground.ts';

const LANE_GAUGE_MS = 1_000;

/** What runs unasked: delivers, dispatches, numbers what changed, and keeps house. */
export const startWorker = (ground: Ground): void => {
  const { config, log, metrics, database, notifications, boss, bell, dispatchBell, sandbox, mend, started } = ground;
  const { publisher, healthFeed, actions, mapper, changes } = ground;

  const sequencer = createSequencer({
    database,
    notifications,
    log,
    onMoved: () => {
      ground.feed.poke();
      ground.inbound.feed.poke();
    },
    ensurePartitions: () => ensurePartitions(database, Date.now()),
  });
  sequencer.start();
  started.push(() => sequencer.stop());
  ground.outbox = sequencer;

  const bulkRunner = new BulkRunner({
    database,
    boss,
    queue: ground.bulkQueue,
    notifications,
    bell,
    retentionDays: config.retentionDays,
    log,
    mend,
    onTurn: ({ operation, slice }) => {
      sequencer.poke();
      metrics.bulkDeliveries.inc({ kind: operation.kind.toLowerCase() }, slice.succeeded);
    },
  });
  bulkRunner.start();
  started.push(() => bulkRunner.stop());
  const healthWatch = new HealthWatch({ database, publisher, bell, healthFeed, log, mend });
  healthWatch.start();
  started.push(() => healthWatch.stop());
  const fanOut = new FanOut({ database, notifications, bell, log });
  fanOut.start();
  started.push(() => fanOut.stop());
  const rollupFold = new RollupFold(database, log);
  rollupFold.start();
  started.push(() => rollupFold.stop());

  const lanes = new LaneWorker({
    database,
    boss,
    bell,
    notifications,
    sender: ground.sender,
    bodies: ground.bodies,
    sandbox,
    box: ground.box,
    log,
    ...ground.signing,
    mend,
    onSettled: (batch) => {
      sequencer.poke();
      countSettled(metrics, batch);
      if (ground.tracing) traceSettled(ground.tracing, batch);
    },
    onHealth: ({ healthChanged, announces }) => {
      healthFeed.tell(healthChanged);
      if (announces) healthWatch.poke();
    },
    onAnswer: (exchange) => metrics.attemptSeconds.observe(exchange.durationMs / 1000),
  });
  const dispatches = new DispatchWorker({
    database,
    boss,
    bell: dispatchBell,
    notifications,
    log,
    onSettled: () => sequencer.poke(),
    dispatch: new Dispatch({
      database,
      publisher,
      actions,
      mapper,
      workflows: createWorkflowRunner({ database, changes, mapper, sandbox, actions, mend }),
      mend,
      onForwarded: ({ tenantId, webhookId }, dueAt) => bell.ring([{ tenantId, webhookId, dueAt }]),
      onUnexpected: (error, { id }) =>
        log.error({ err: error, inboundDelivery: encodeId('inboundDelivery', id) }, 'a request could not be handled'),
      now: Date.now,
    }),
  });
  const clock = new Clock(database, bell, dispatchBell, log);
  lanes.start();
  dispatches.start();
  clock.start();
  const gauge = setInterval(() => metrics.lanesHeld.set(lanes.size), LANE_GAUGE_MS);
  started.push(async () => {
    await clock.stop();
    const limitMs = config.drainSeconds * 1000;
    await Promise.all([dispatches.drain(limitMs), lanes.drain(limitMs)]);
    clearInterval(gauge);
  });
};

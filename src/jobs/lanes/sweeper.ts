import { CANCEL_SLICE, cancelSlice } from '../../domain/deliveries/openDeliveries.ts';
import { statusIsTold, tellSlice, writersOf } from '../../domain/deliveries/heldDeliveries.ts';
import type { Database } from '../../platform/database.ts';
import { LOWEST_ID } from '../../platform/ids.ts';
import type { Logger } from '../../platform/logs.ts';
import type { Lane, SecondLook } from './lane.ts';

/** How long the second look waits before it asks whether they have ended who may have been missed: doubled each time. */
const FIRST_WAIT_MS = 50;
const MOST_WAIT_MS = 1_000;

export interface LaneSweeperOptions {
  readonly database: Database;
  readonly log: Logger;
  /** A slice was written to the outbox. */
  readonly onWritten: () => void;
  /** All that was to be seen is told: a resumed webhook may be sent to. */
  readonly onTold: (lane: Lane) => void;
}

/**
 * What happens to everything that is open of a webhook at once, in slices, each a statement: of a disabled or deleted
 * webhook it is cancelled, of a paused one told as held, of a resumed one told as pending again before the first is sent.
 */
export class LaneSweeper {
  readonly #options: LaneSweeperOptions;

  constructor(options: LaneSweeperOptions) {
    this.#options = options;
  }

  /** Does what the lane's status asks for, one sweep at a time; what fails is tried again when the lane is looked at again. */
  sweep(lane: Lane): void {
    const { status } = lane.destination;
    if (lane.isSweeping || lane.isStale || lane.isLost) return;
    const isEnding = status === 'DISABLED' || status === 'DELETED';
    const { toTell } = lane;
    if (isEnding ? lane.isSwept : toTell === null || isWaiting(lane)) return;
    lane.isSweeping = true;
    const sweep = toTell === null ? this.#cancel(lane) : this.#tell(lane, toTell);
    void sweep
      .catch((error: unknown) => {
        this.#options.log.warn({ err: error, webhookId: lane.webhookId }, 'could not sweep a lane; trying again');
        return false;
      })
      .then((isTold) => {
        lane.isSweeping = false;
        if (isTold) this.#options.onTold(lane);
      });
  }

  /** @returns false: nothing was told */
  async #cancel(lane: Lane): Promise<false> {
    const { sql } = this.#options.database;
    let cancelled: number;
    do {
      cancelled = await cancelSlice(sql, lane.webhookId, lane.destination.webhookName, lane.inHandIds());
      if (cancelled > 0) this.#options.onWritten();
    } while (cancelled === CANCEL_SLICE);
    // What is being sent is settled as cancelled or delivered, and then looked for once more.
    lane.isSwept = lane.inHand === 0;
    return false;
  }

  /** @returns whether all that was to be seen is told now */
  async #tell(lane: Lane, status: 'PAUSED' | 'ACTIVE'): Promise<boolean> {
    const { sql } = this.#options.database;
    const change = lane.destination.statusChanges;
    const look = secondLookOf(lane);
    if (look) {
      const writers = await writersOf(sql, look.writers);
      if (writers.length > 0) {
        lane.secondLook = { ...look, writers, dueAt: Date.now() + look.waitMs, waitMs: longer(look.waitMs) };
        return false;
      }
    }
    // Before the walk: who begins to write after it has come by sees the status as it is.
    const writers = await writersOf(sql, null);
    const startedAt = Date.now();
    const walk = await this.#walk(lane, status, change);
    if (walk === null) return false;
    lane.toldChange = change;
    // What was missed the first time was not read either: nobody rang for what he saw paused.
    if (look && status === 'ACTIVE' && walk.told > 0) lane.heed(0);
    if (walk.skipped === 0 && (look || writers.length === 0)) {
      await statusIsTold(sql, lane.webhookId, change);
      lane.statusTold = change;
      lane.secondLook = null;
    } else {
      const waitMs = longer(look?.waitMs ?? FIRST_WAIT_MS / 2);
      lane.secondLook = { change, writers, dueAt: Date.now() + Math.max(waitMs, Date.now() - startedAt), waitMs };
    }
    return true;
  }

  /** All that is open of the lane; null where the status changed on the way. */
  async #walk(
    lane: Lane,
    status: 'PAUSED' | 'ACTIVE',
    change: number,
  ): Promise<{ told: number; skipped: number } | null> {
    let [told, skipped] = [0, 0];
    for (let after: string | null = LOWEST_ID; after !== null;) {
      if (lane.isLost || lane.toTell !== status || lane.destination.statusChanges !== change) return null;
      const slice = await tellSlice(this.#options.database.sql, lane.destination, status, change, after);
      if (slice === null) return null;
      if (slice.told > 0) this.#options.onWritten();
      told += slice.told;
      skipped += slice.skipped;
      after = slice.upto;
    }
    return { told, skipped };
  }
}

/** At what is told now. */
const secondLookOf = ({ secondLook, destination }: Lane): SecondLook | null =>
  secondLook?.change === destination.statusChanges ? secondLook : null;

const isWaiting = (lane: Lane): boolean => (secondLookOf(lane)?.dueAt ?? 0) > Date.now();

const longer = (waitMs: number): number => Math.min(2 * waitMs, MOST_WAIT_MS);

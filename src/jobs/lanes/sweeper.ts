import { CANCEL_SLICE, cancelSlice, tellSlice } from '../../domain/deliveries/openDeliveries.ts';
import type { Database } from '../../platform/database.ts';
import type { Logger } from '../../platform/logs.ts';
import type { Lane } from './lane.ts';

export interface LaneSweeperOptions {
  readonly database: Database;
  readonly log: Logger;
  /** A slice was written to the outbox. */
  readonly onWritten: () => void;
  /** Everything is told: a resumed webhook may be sent to. */
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
    if (isEnding ? lane.isSwept : lane.toTell === null) return;
    lane.isSweeping = true;
    const sweep = isEnding ? this.#cancel(lane) : this.#tell(lane);
    void sweep
      .catch((error: unknown) => {
        this.#options.log.warn({ err: error, webhookId: lane.webhookId }, 'could not sweep a lane; trying again');
      })
      .finally(() => {
        lane.isSweeping = false;
        if (!isEnding) this.#options.onTold(lane);
      });
  }

  async #cancel(lane: Lane): Promise<void> {
    const { sql } = this.#options.database;
    let cancelled: number;
    do {
      cancelled = await cancelSlice(sql, lane.webhookId, lane.destination.webhookName, lane.inHandIds());
      if (cancelled > 0) this.#options.onWritten();
    } while (cancelled === CANCEL_SLICE);
    // What is being sent is settled as cancelled or delivered, and then looked for once more.
    lane.isSwept = lane.inHand === 0;
  }

  async #tell(lane: Lane): Promise<void> {
    for (let status = lane.toTell; status !== null && !lane.isLost; status = lane.toTell) {
      const slice = await tellSlice(this.#options.database.sql, lane.webhookId, lane.destination.webhookName, status);
      lane.heldToldTo = slice.heldToldTo;
      if (slice.told > 0) this.#options.onWritten();
    }
  }
}

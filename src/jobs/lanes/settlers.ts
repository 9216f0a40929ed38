import type { Settlement } from '../../domain/deliveries/settlement.ts';
import { Settler } from './settler.ts';
import type { SettlerOptions } from './settler.ts';

/** PostgreSQL takes 150 µs for a result, and a worker has one every 140 µs: two keep up, and a third brought nothing. */
const SETTLERS = 2;

/** One settler, and of how many webhooks it has results. */
interface Desk {
  readonly settler: Settler;
  webhooks: number;
}

/**
 * Several settlers side by side. All results of a webhook that aren't written yet are at one desk: so they are written in
 * their order, and no two transactions ever want the same webhook's rows, over which they would deadlock.
 */
export class Settlers {
  readonly #desks: readonly Desk[];
  readonly #webhooks = new Map<string, { readonly desk: Desk; results: number }>();

  constructor(options: SettlerOptions) {
    this.#desks = Array.from({ length: SETTLERS }, () => ({ settler: new Settler(options), webhooks: 0 }));
  }

  /** `done` is called once the result is written, or found to be somebody else's. */
  add(settlement: Settlement, done: () => void): void {
    const { webhookId } = settlement;
    const webhook = this.#webhooks.get(webhookId) ?? this.#begin(webhookId);
    webhook.results++;
    webhook.desk.settler.add(settlement, () => {
      webhook.results--;
      if (webhook.results === 0) {
        this.#webhooks.delete(webhookId);
        webhook.desk.webhooks--;
      }
      done();
    });
  }

  /** Nothing new is to be sent. */
  get isCongested(): boolean {
    return this.#desks.some(({ settler }) => settler.isCongested);
  }

  /** Resolves when all that was added so far is written. */
  async drain(): Promise<void> {
    await Promise.all(this.#desks.map(({ settler }) => settler.drain()));
  }

  #begin(webhookId: string): { readonly desk: Desk; results: number } {
    const desk = this.#desks.reduce((least, one) => (one.webhooks < least.webhooks ? one : least));
    desk.webhooks++;
    const webhook = { desk, results: 0 };
    this.#webhooks.set(webhookId, webhook);
    return webhook;
  }
}

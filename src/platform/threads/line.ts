import type { MessagePort, Worker } from 'node:worker_threads';
import { Outbox, unpack } from './outbox.ts';
import type { Parcel } from './outbox.ts';

/** What one thread does for another: by name, what it is given and what comes of it. Both are cloned on their way. */
export type Services = { readonly [Name in string]: { readonly given: unknown; readonly result: unknown } };

/** A value, and the bytes that go beside it. */
export interface Cargo<Value> {
  readonly value: Value;
  readonly bytes: Buffer | null;
}

export interface Reply<Value> extends Cargo<Value> {
  /** Called once the reply is on its way; must not throw. */
  readonly afterwards?: () => void;
}

/**
 * How the services of this end are done. None may throw or reject: what can go wrong is part of a result. What was only told has
 * no reply, whatever is returned.
 */
export type Doors<Here extends Services> = {
  readonly [Name in keyof Here]: (
    given: Cargo<Here[Name]['given']>,
  ) => Reply<Here[Name]['result']> | Promise<Reply<Here[Name]['result']>>;
};

type Item =
  | { readonly name: string; readonly given: unknown; /** Null where no reply is wanted. */ readonly id: number | null }
  | { readonly id: number; readonly result: unknown };

/**
 * A line between two threads, on which each end asks for the services of the other. What is said within a turn goes in one
 * parcel, in its order. An error that a door lets out ends the process, like any that nobody catches.
 */
export class Line<There extends Services, Here extends Services> {
  readonly #outbox: Outbox<Item>;
  readonly #waiting = new Map<number, (reply: Cargo<never>) => void>();
  #asked = 0;

  /**
   * @param port a thread, or inside of one its parent port
   * @param schedule calls back at the end of the turn; sooner where everything to be said together is said in one go
   */
  constructor(
    port: Worker | MessagePort,
    doors: Doors<Here>,
    schedule: (flush: () => void) => void = (flush) => void setImmediate(flush),
  ) {
    this.#outbox = new Outbox((parcel) => port.postMessage(parcel, [parcel.bytes]), schedule);
    // oxlint-disable-next-line unicorn/prefer-add-event-listener -- a Worker has none
    port.on('message', (parcel: Parcel<Item>) => {
      for (const [item, bytes] of unpack(parcel)) {
        if ('name' in item) void this.#serve(doors[item.name]!, item.given as never, bytes, item.id);
        else {
          this.#waiting.get(item.id)!({ value: item.result as never, bytes });
          this.#waiting.delete(item.id);
        }
      }
    });
  }

  /** Never settles where the other end goes before it has replied. */
  ask<Name extends keyof There & string>(
    name: Name,
    given: There[Name]['given'],
    bytes: Buffer | null = null,
  ): Promise<Cargo<There[Name]['result']>> {
    return new Promise((resolve) => {
      const id = this.#asked++;
      this.#waiting.set(id, resolve);
      this.#outbox.add({ id, name, given }, bytes);
    });
  }

  tell<Name extends keyof There & string>(name: Name, given: There[Name]['given']): void {
    this.#outbox.add({ id: null, name, given }, null);
  }

  async #serve(door: Doors<Here>[string], value: never, bytes: Buffer | null, id: number | null): Promise<void> {
    const reply = await door({ value, bytes });
    if (id !== null) this.#outbox.add({ id, result: reply.value }, reply.bytes, reply.afterwards);
  }
}

/** A reply without bytes. */
export const reply = <Value>(value: Value): Reply<Value> => ({ value, bytes: null });

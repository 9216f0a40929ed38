import type { MessagePort, Worker } from 'node:worker_threads';
import { Outbox, unpack } from './outbox.ts';
import type { Parcel } from './outbox.ts';

/** What one thread does for another, by name. What is given and what comes of it are cloned on their way, which bears some 2,000 levels of nesting. */
export type Services = Readonly<Record<string, (given: never) => unknown>>;

type Given<Service extends (given: never) => unknown> = Parameters<Service>[0];

/** A result that has bytes beside it, or after which something is left to do. */
export class Cargo<Value> {
  readonly value: Value;
  readonly bytes: Buffer | null;
  readonly afterwards: (() => void) | undefined;

  /** @param afterwards called once the result is on its way; must not throw */
  constructor(value: Value, bytes: Buffer | null, afterwards?: () => void) {
    this.value = value;
    this.bytes = bytes;
    this.afterwards = afterwards;
  }
}

type Result<Value> = Value | Cargo<Value>;

/**
 * How the services of this end are done, given the bytes too that came along. None may throw or reject: what can go wrong is part of
 * a result.
 */
export type Doors<Here extends Services> = {
  readonly [Name in keyof Here]: (
    given: Given<Here[Name]>,
    bytes: Buffer | null,
  ) => Result<ReturnType<Here[Name]>> | Promise<Result<ReturnType<Here[Name]>>>;
};

type Item =
  | {
      readonly name: string;
      readonly given: unknown;
      /** Null where nobody waits for a result. */ readonly id: number | null;
    }
  | { readonly id: number; readonly result: unknown };

/**
 * A line between two threads, on which each end asks for the services of the other. What is said within a turn goes in one
 * parcel, in its order. An error that a door lets out ends the process, like any that nobody catches.
 */
export class Line<There extends Services, Here extends Services> {
  readonly #outbox: Outbox<Item>;
  readonly #waiting = new Map<number, (result: Cargo<never>) => void>();
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
    port.on('message', (parcel: Parcel<Item>) => {
      for (const [item, bytes] of unpack(parcel)) {
        if ('name' in item) void this.#serve(doors[item.name]!, item.given, bytes, item.id);
        else {
          this.#waiting.get(item.id)!(new Cargo(item.result as never, bytes));
          this.#waiting.delete(item.id);
        }
      }
    });
  }

  /** Never settles where the other end goes before it has answered. */
  ask<Name extends keyof There & string>(
    name: Name,
    given: Given<There[Name]>,
    bytes: Buffer | null = null,
  ): Promise<Cargo<ReturnType<There[Name]>>> {
    return new Promise((resolve) => {
      const id = this.#asked++;
      this.#waiting.set(id, resolve);
      this.#outbox.add({ id, name, given }, bytes);
    });
  }

  /** What comes of it is nobody's concern. */
  tell<Name extends keyof There & string>(name: Name, ...[given]: Parameters<There[Name]>): void {
    this.#outbox.add({ id: null, name, given }, null);
  }

  async #serve(door: Doors<Here>[string], given: unknown, bytes: Buffer | null, id: number | null): Promise<void> {
    const result = await door(given as never, bytes);
    if (id === null) return;
    const { value, bytes: beside, afterwards } = result instanceof Cargo ? result : new Cargo(result, null);
    this.#outbox.add({ id, result: value }, beside, afterwards);
  }
}

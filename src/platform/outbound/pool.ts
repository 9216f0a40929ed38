import { Connection, type Dialing } from './connection.ts';
import type { Target } from './target.ts';

/** Connections kept for the next request, for one origin and for all together. Those in use are as many as there are requests. */
const MAX_IDLE_PER_ORIGIN = 256;
const MAX_IDLE = 1_024;

/** A busy connection is given up after this, so that an endpoint that moves to other addresses is followed. */
const MAX_AGE_MS = 60_000;

/**
 * The connections of one kind (verifying TLS, or not), by origin. A request takes an idle one, the one used last, or opens one at once:
 * nothing ever waits for a connection, so an endpoint that hangs delays nobody else, not even others behind the same origin. How many
 * are in use is bounded by whoever sends. An origin without connections is forgotten.
 */
export class ConnectionPool {
  readonly #dialing: Dialing;
  readonly #idle = new Map<string, Connection[]>();
  #idleCount = 0;

  constructor(dialing: Dialing) {
    this.#dialing = dialing;
  }

  /** A connection for one request, until it is released or discarded. It may turn out to be dead. */
  take(target: Target): Connection {
    const connections = this.#idle.get(target.origin);
    const connection = connections?.pop();
    if (connections === undefined || connection === undefined) return this.open(target);
    this.#idleCount -= 1;
    if (connections.length === 0) this.#idle.delete(target.origin);
    return connection;
  }

  /** A connection that nobody has used before. */
  open(target: Target): Connection {
    return new Connection(target, this.#dialing, this.#onLost);
  }

  /** Gives a connection back whose exchange is complete. */
  release(connection: Connection): void {
    const { origin } = connection.target;
    const connections = this.#idle.get(origin);
    if (
      this.#idleCount >= MAX_IDLE ||
      (connections !== undefined && connections.length >= MAX_IDLE_PER_ORIGIN) ||
      performance.now() - connection.since > MAX_AGE_MS
    ) {
      void connection.destroy(new Error('not kept'));
      return;
    }
    connection.reused = true;
    if (connections === undefined) this.#idle.set(origin, [connection]);
    else connections.push(connection);
    this.#idleCount += 1;
  }

  /** Closes what is idle. Connections in use are their requests' to end. */
  async close(): Promise<void> {
    const idle = [...this.#idle.values()].flat();
    this.#idle.clear();
    this.#idleCount = 0;
    const reason = new Error('closed');
    await Promise.all(idle.map((connection) => connection.destroy(reason)));
  }

  /** Origins with idle connections, and these connections. */
  get stats(): { readonly origins: number; readonly idle: number } {
    return { origins: this.#idle.size, idle: this.#idleCount };
  }

  /** An idle connection whose socket is gone is let go; one in use is its request's affair. */
  readonly #onLost = (connection: Connection): void => {
    const { origin } = connection.target;
    const connections = this.#idle.get(origin);
    const index = connections?.indexOf(connection) ?? -1;
    if (connections === undefined || index === -1) return;
    connections.splice(index, 1);
    this.#idleCount -= 1;
    if (connections.length === 0) this.#idle.delete(origin);
    void connection.destroy(new Error('lost'));
  };
}

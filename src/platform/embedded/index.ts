import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import { StartupError } from '../startupError.ts';
import { ClusterPaths, makeDirectories, prepareCluster, roleName, type ServerLog } from './cluster.ts';
import { disconnect, foreign, join, leave } from './keeper.ts';
import { findServerOwner, type ServerOwner } from './owner.ts';
import {
  isRunning,
  launch,
  readPostmasterFile,
  removeStale,
  shutDown,
  tail,
  type LaunchedServer,
  type LaunchFailure,
} from './postmaster.ts';
import { findPrograms, type Programs } from './programs.ts';

/**
 * A PostgreSQL of hookgraph's own, for whoever has none.
 *
 * The server is a process in a session of its own that may outlive us. Who starts looks for it by its `postmaster.pid`:
 * one that answers to our password, and has the same file, is ours and is joined; where there is none one is started. Of
 * several that start one at once PostgreSQL lets one live, and the others join that one: no lock of ours is needed.
 *
 * Every hookgraph process holds one connection as long as it uses the server, its keeper, with a shared advisory lock.
 * Who stops gives the lock up and asks for it alone: only the last one gets it, and that one shuts the server down. While
 * it has the lock nobody new can join; those wait for the end and start the server again. A process that is killed
 * loses its connection, and so its lock. When the keeper breaks, the server is looked for, and started if it died.
 */
export interface EmbeddedPostgres {
  /** Of the database `hookgraph`, with the password. The same as long as this process lives. */
  readonly url: string;
  /**
   * Stops the server, unless another hookgraph process still uses it. To be called last: it cuts all connections. Never
   * rejects for a server that is gone already; a second call waits for the first.
   */
  stop(): Promise<void>;
}

export interface EmbeddedOptions {
  /** Made if missing. The server's files are in `postgres` below it. */
  readonly dataDir: string;
  readonly log: ServerLog;
  /** Settings of PostgreSQL that replace ours, for tests that need not survive a power cut. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Recovery after a crash reads up to `max_wal_size`; longer than this, something is wrong that waiting won't mend. */
const startLimitMs = 300_000;
/** How long a server that calls itself ready may refuse connections before its file is taken for another's. */
const refusalLimitMs = 10_000;

/** Starts or joins the embedded server. Throws StartupError with the reason where that can't be. */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const { log } = options;
  const paths = new ClusterPaths(options.dataDir);
  await makeDirectories(paths);
  const owner = await findServerOwner(paths.data);
  const programs = await findPrograms(owner);
  const password = await prepareCluster(paths, programs, owner, log);
  const server = new EmbeddedServer(paths, programs, owner, password, options.settings ?? {}, log);
  const port = await server.start();
  return {
    url: `postgres://${roleName}:${encodeURIComponent(password)}@127.0.0.1:${port}/${roleName}`,
    stop: async () => await server.stop(),
  };
}

class EmbeddedServer {
  readonly #paths: ClusterPaths;
  readonly #programs: Programs;
  readonly #owner: ServerOwner | null;
  readonly #password: string;
  readonly #settings: Readonly<Record<string, string>>;
  readonly #log: ServerLog;
  readonly #stopping = new AbortController();
  #keeper: Client | null = null;
  #port = 0;
  #recovery: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | null = null;

  constructor(
    paths: ClusterPaths,
    programs: Programs,
    owner: ServerOwner | null,
    password: string,
    settings: Readonly<Record<string, string>>,
    log: ServerLog,
  ) {
    this.#paths = paths;
    this.#programs = programs;
    this.#owner = owner;
    this.#password = password;
    this.#settings = settings;
    this.#log = log;
  }

  async start(): Promise<number> {
    await this.#acquire();
    this.#port = this.#keeper!.port;
    return this.#port;
  }

  async stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    await this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await this.#recovery;
    try {
      const keeper = this.#keeper ?? (await this.#findAgain());
      if (keeper !== null) await this.#release(keeper);
    } catch (error) {
      this.#log.warn(`The embedded PostgreSQL was gone before it was stopped: ${(error as Error).message}`);
    }
  }

  async #release(keeper: Client): Promise<void> {
    try {
      const isLast = await leave(keeper);
      const file = await readPostmasterFile(this.#paths);
      if (!isLast) {
        this.#log.info('The embedded PostgreSQL keeps running: another hookgraph process uses it.');
      } else if (file !== null) {
        await shutDown(this.#paths, file, this.#log);
      }
    } finally {
      await disconnect(keeper);
    }
  }

  /** For a stop that comes while the keeper is broken: PostgreSQL may be restarting by itself, and must not be left. */
  async #findAgain(): Promise<Client | null> {
    const end = performance.now() + refusalLimitMs;
    while (performance.now() < end) {
      const file = await readPostmasterFile(this.#paths);
      if (file === null || !(await isRunning(file))) return null;
      const joined = await join(file, this.#password, this.#paths);
      if (joined.kind === 'joined') return joined.keeper;
      await delay(50);
    }
    this.#log.warn(`The embedded PostgreSQL can't be reached to stop it; its log is ${this.#paths.log}.`);
    return null;
  }

  /** Joins the server, starting it where it doesn't run, until there is a keeper. */
  async #acquire(): Promise<void> {
    const end = performance.now() + startLimitMs;
    let launched: LaunchedServer | null = null;
    let refusedSince: number | null = null;
    while (performance.now() < end) {
      // One that was launched already is waited for even so, to be stopped.
      if (launched === null) this.#stopping.signal.throwIfAborted();
      const file = await readPostmasterFile(this.#paths);
      if (file !== null && (await isRunning(file))) {
        const joined = await join(file, this.#password, this.#paths);
        if (joined.kind === 'joined') {
          this.#keep(joined.keeper);
          return;
        }
        if (joined.kind === 'not-yet' && file.isReady) refusedSince ??= performance.now();
        else refusedSince = null;
        if (joined.kind === 'foreign' || (refusedSince && performance.now() - refusedSince > refusalLimitMs)) {
          throw foreign(file, this.#paths);
        }
      } else if (launched === null) {
        this.#log.info('Starting the embedded PostgreSQL.');
        launched = await launch(this.#paths, this.#programs, this.#owner, this.#settings);
      }
      const pause = delay(50, null);
      const failure = await (launched === null ? pause : Promise.race([launched.ended, pause]));
      if (failure !== null) {
        await this.#judge(failure);
        launched = null;
      }
    }
    const lines = await tail(this.#paths.log, 0);
    throw new StartupError(
      `The embedded PostgreSQL was not ready after ${startLimitMs / 1000} s: ${lines.slice(-3).join(' ')} ` +
        `(more in ${this.#paths.log}).`,
    );
  }

  /** A server that ended before it served: returns where another try makes sense. */
  async #judge(failure: LaunchFailure): Promise<void> {
    switch (failure.kind) {
      case 'port-taken':
        return;
      case 'locked': {
        const file = await readPostmasterFile(this.#paths);
        if (file !== null && !(await isRunning(file))) await removeStale(this.#paths, file);
        return;
      }
      case 'failed':
        throw new StartupError(
          `The embedded PostgreSQL did not start: ${failure.reason} (more in ${this.#paths.log}).`,
        );
      default:
        failure satisfies never;
    }
  }

  #keep(keeper: Client): void {
    this.#keeper = keeper;
    keeper.once('end', () => {
      if (this.#keeper !== keeper) return;
      this.#keeper = null;
      if (!this.#stopping.signal.aborted) this.#recovery = this.#recover();
    });
  }

  /** After the keeper broke: PostgreSQL restarts by itself when one of its processes dies, and by us when all of it did. */
  async #recover(): Promise<void> {
    const { signal } = this.#stopping;
    this.#log.warn('The connection to the embedded PostgreSQL broke; looking for it.');
    for (let waitMs = 250; !signal.aborted; waitMs = Math.min(waitMs * 2, 10_000)) {
      try {
        await this.#acquire();
        this.#reportPort();
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#log.warn(`The embedded PostgreSQL is not back yet: ${(error as Error).message}`);
        await delay(waitMs, null, { signal }).catch(() => undefined);
      }
    }
  }

  #reportPort(): void {
    const port = this.#keeper?.port;
    if (port === this.#port) this.#log.info('The embedded PostgreSQL is back.');
    else this.#log.warn(`The embedded PostgreSQL is back on another port, ${port}: restart hookgraph to reach it.`);
  }
}

import type { JobReport } from './childProcess.ts';
import type { Job } from './messages.ts';

/** A job that waits for a child. */
export interface Waiting {
  readonly tenantId: string;
  readonly holder: string;
  readonly job: Job;
  readonly since: number;
  readonly timer: NodeJS.Timeout;
  /** Whether there is nothing left to do for a child. */
  readonly isObsolete: () => boolean;
  /** Null: no child was to be had. */
  readonly finish: (report: JobReport | null) => void;
}

/** Of all inputs that wait. */
const MAX_CHARACTERS = 134_217_728;

/**
 * Jobs that wait: tenants take turns, and within a tenant its holders do, so that whoever asks for much waits behind itself.
 * Of the room a tenant has half, and a holder half of that.
 */
export class Turns {
  readonly #most: number;
  /** Whose turn it is first; in each the holders so, and in these the jobs in their order. */
  readonly #tenants = new Map<string, Map<string, Waiting[]>>();
  readonly #total = new Room();
  readonly #ofTenant = new Map<string, Room>();
  readonly #ofHolder = new Map<string, Room>();

  /** @param most jobs that may wait, of all tenants */
  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#total.jobs;
  }

  hasRoomFor(tenantId: string, holder: string): boolean {
    return (
      !this.#total.isFull(this.#most, MAX_CHARACTERS) &&
      !this.#ofTenant.get(tenantId)?.isFull(Math.ceil(this.#most / 2), MAX_CHARACTERS / 2) &&
      !this.#ofHolder.get(keyOf(tenantId, holder))?.isFull(Math.ceil(this.#most / 4), MAX_CHARACTERS / 4)
    );
  }

  /** @param isFirst before what else its holder has */
  add(waiting: Waiting, isFirst: boolean): void {
    const { tenantId, holder } = waiting;
    const holders = this.#tenants.get(tenantId) ?? new Map<string, Waiting[]>();
    const queue = holders.get(holder) ?? [];
    if (isFirst) queue.unshift(waiting);
    else queue.push(waiting);
    holders.set(holder, queue);
    this.#tenants.set(tenantId, holders);
    this.#count(waiting, 1);
  }

  /** Takes whose turn it is among those that may run, and puts what else they have behind all others. */
  take(mayRun: (tenantId: string, holder: string) => boolean): Waiting | undefined {
    for (const [tenantId, holders] of this.#tenants) {
      for (const [holder, queue] of holders) {
        if (!mayRun(tenantId, holder)) continue;
        const waiting = queue.shift()!;
        holders.delete(holder);
        if (queue.length > 0) holders.set(holder, queue);
        this.#tenants.delete(tenantId);
        if (holders.size > 0) this.#tenants.set(tenantId, holders);
        this.#count(waiting, -1);
        return waiting;
      }
    }
    return undefined;
  }

  /** False where it waits no more. */
  remove(waiting: Waiting): boolean {
    const holders = this.#tenants.get(waiting.tenantId);
    const queue = holders?.get(waiting.holder);
    const at = queue?.indexOf(waiting) ?? -1;
    if (!holders || !queue || at < 0) return false;
    queue.splice(at, 1);
    if (queue.length === 0) holders.delete(waiting.holder);
    if (holders.size === 0) this.#tenants.delete(waiting.tenantId);
    this.#count(waiting, -1);
    return true;
  }

  /** How many jobs each holder has, by tenant. */
  *sizes(): Generator<{ readonly tenantId: string; readonly holder: string; readonly jobs: number }> {
    for (const [tenantId, holders] of this.#tenants) {
      for (const [holder, { length }] of holders) yield { tenantId, holder, jobs: length };
    }
  }

  #count(waiting: Waiting, sign: 1 | -1): void {
    this.#total.add(waiting, sign);
    addTo(this.#ofTenant, waiting.tenantId, waiting, sign);
    addTo(this.#ofHolder, keyOf(waiting.tenantId, waiting.holder), waiting, sign);
  }
}

class Room {
  jobs = 0;
  #characters = 0;

  add({ job }: Waiting, sign: 1 | -1): void {
    this.jobs += sign;
    this.#characters += sign * job.inputs.reduce((sum, { length }) => sum + length, 0);
  }

  isFull(mostJobs: number, mostCharacters: number): boolean {
    return this.jobs >= mostJobs || this.#characters >= mostCharacters;
  }
}

const addTo = (rooms: Map<string, Room>, key: string, waiting: Waiting, sign: 1 | -1): void => {
  const room = rooms.get(key) ?? new Room();
  room.add(waiting, sign);
  if (room.jobs > 0) rooms.set(key, room);
  else rooms.delete(key);
};

/** A tenant's id has no line break. */
const keyOf = (tenantId: string, holder: string): string => `${tenantId}\n${holder}`;

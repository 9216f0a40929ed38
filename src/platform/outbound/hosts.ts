import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';

/** How long a look at the file's state is good for. */
const FRESH_MS = 1_000;

/** A hosts file is an operator's few lines; of one larger than this (ad blockers) nothing is read. */
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * The hosts file of this machine: names that the operator, Docker or Kubernetes wrote down. It is read again when it changed, and looked
 * at no more than once a second. A file that is missing or unreadable is an empty one.
 */
export class HostsFile {
  readonly #path: string;
  readonly #now: () => number;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #state = '';
  #names = new Map<string, string[]>();

  constructor(path: string, now: () => number) {
    this.#path = path;
    this.#now = now;
  }

  /** The addresses of a name (lower case, no trailing dot), in the file's order; undefined where the file doesn't have it. */
  find(name: string): readonly string[] | undefined {
    const now = this.#now();
    if (now - this.#lookedAt >= FRESH_MS) {
      this.#lookedAt = now;
      this.#look();
    }
    return this.#names.get(name);
  }

  #look(): void {
    try {
      const stat = statSync(this.#path);
      const state = `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
      if (state === this.#state) return;
      this.#names = stat.size > MAX_BYTES ? new Map() : parseHosts(readFileSync(this.#path, 'utf8'));
      this.#state = state;
    } catch {
      // Containers built from nothing have no hosts file: names then come from DNS alone.
      this.#names = new Map();
      this.#state = '';
    }
  }
}

/** Reads hosts(5): an address, then names; what follows # is a comment. Lines that don't begin with an address are passed over. */
export function parseHosts(text: string): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...rest] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (isIP(address) === 0) continue;
    for (const name of rest) {
      const key = name.toLowerCase().replace(/\.$/, '');
      const addresses = names.get(key);
      if (addresses === undefined) names.set(key, [address]);
      else if (!addresses.includes(address)) addresses.push(address);
    }
  }
  return names;
}

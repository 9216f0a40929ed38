import { promises as dns } from 'node:dns';
import { LRUCache } from 'lru-cache';
import { OutboundError } from './failures.ts';
import { HostsFile } from './hosts.ts';
import { isLocalhost, LOOPBACK } from './target.ts';

/** How long a name may take, whatever its name servers do. */
const BUDGET_MS = 1_500;

/** Bounds on what a name's own TTL says: below, one endpoint would mean a query per connection; above, a move takes too long to notice. */
const MIN_TTL_MS = 5_000;
const MAX_TTL_MS = 60_000;

/** A name that failed is asked for again after this. Long enough to spare its name servers, short against any retry schedule. */
const FAILURE_TTL_MS = 5_000;

/** Names remembered; the least recently used go first. */
const MAX_NAMES = 10_000;

/** No honest name has more addresses; the rest of a hostile one's are not connected to. */
const MAX_ADDRESSES = 32;

/**
 * Names begun in one turn of the event loop. Each is two datagrams, and those of some 130 names at once overflow the usual receive
 * buffer of a name server (212,992 bytes); what is lost then is repeated at once too, and lost again. Measured: of 150 new names in one turn
 * those begun last all timed out.
 */
const NAMES_PER_TURN = 16;

/** c-ares reads resolv.conf once, when a resolver is made: it is made again so that a changed file is followed. */
const RESOLVER_AGE_MS = 60_000;

export interface ResolverOptions {
  /** Name servers as `address:port`; those of the machine by default. */
  readonly servers?: readonly string[];
  readonly hostsFile?: string;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/** What is known of a name until a moment: its addresses, or why there are none. */
interface Answer {
  readonly addresses: readonly string[];
  readonly failure: string | null;
  readonly until: number;
}

/**
 * Finds the addresses of names without getaddrinfo, which has a few threads for the whole process: there, eight names that hang stop
 * everybody. The hosts file comes first, then DNS over c-ares, A and AAAA at once, each query on its own: a name that hangs delays
 * nobody else. Search domains of resolv.conf are not applied; names are whole.
 */
export class Resolver {
  readonly #servers: readonly string[] | undefined;
  readonly #hosts: HostsFile;
  readonly #now: () => number;
  readonly #answers = new LRUCache<string, Answer>({ max: MAX_NAMES });
  readonly #asking = new Map<string, Promise<Answer>>();
  #dns: dns.Resolver | null = null;
  #dnsSince = 0;
  #begun = 0;
  #nextTurn: Promise<void> | null = null;

  constructor(options: ResolverOptions = {}) {
    this.#servers = options.servers;
    this.#now = options.now ?? (() => performance.now());
    this.#hosts = new HostsFile(options.hostsFile ?? DEFAULT_HOSTS_FILE, this.#now);
  }

  /**
   * All addresses of a name, IPv4 first; never none. Those who ask for one name at the same time share one query. Rejects with an
   * `OutboundError` (`DNS`) within 1.5 s.
   */
  async resolve(hostname: string): Promise<readonly string[]> {
    const name = hostname.toLowerCase().replace(/\.$/, '');
    const listed = this.#hosts.find(name);
    if (listed !== undefined) return listed;
    if (isLocalhost(name)) return LOOPBACK;
    let answer = this.#answers.get(name);
    if (answer === undefined || answer.until <= this.#now()) answer = await this.#ask(name);
    if (answer.failure !== null) throw new OutboundError('DNS', answer.failure);
    return answer.addresses;
  }

  #ask(name: string): Promise<Answer> {
    const asked = this.#asking.get(name);
    if (asked !== undefined) return asked;
    const asking = this.#query(name).then((answer) => {
      this.#asking.delete(name);
      this.#answers.set(name, answer);
      return answer;
    });
    this.#asking.set(name, asking);
    return asking;
  }

  /** Never rejects. When time is up, what has arrived counts: some name servers never answer for AAAA. */
  async #query(name: string): Promise<Answer> {
    await this.#turn();
    const resolver = this.#resolver();
    const v4: Half = { records: [], code: 'ETIMEOUT' };
    const v6: Half = { records: [], code: 'ETIMEOUT' };
    const { promise: timeUp, resolve: expire } = Promise.withResolvers<void>();
    const timer = setTimeout(expire, BUDGET_MS);
    await Promise.race([
      timeUp,
      Promise.all([
        fill(v4, () => resolver.resolve4(name, { ttl: true })),
        fill(v6, () => resolver.resolve6(name, { ttl: true })),
      ]),
    ]);
    clearTimeout(timer);
    const records = [...v4.records, ...v6.records];
    if (records.length === 0) {
      // "No such name" and "no such record" say more than that the other half had no answer.
      const failure = messageOf(v4.code === 'ENODATA' ? v6.code : v4.code);
      return { addresses: [], failure, until: this.#now() + FAILURE_TTL_MS };
    }
    const ttlMs = Math.min(...records.map((record) => record.ttl)) * 1_000;
    return {
      addresses: [...new Set(records.map((record) => record.address))].slice(0, MAX_ADDRESSES),
      failure: null,
      until: this.#now() + Math.min(Math.max(ttlMs, MIN_TTL_MS), MAX_TTL_MS),
    };
  }

  async #turn(): Promise<void> {
    while (this.#begun >= NAMES_PER_TURN) await this.#nextTurn;
    this.#begun += 1;
    this.#nextTurn ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#begun = 0;
        this.#nextTurn = null;
        resolve();
      });
    });
  }

  #resolver(): dns.Resolver {
    const now = this.#now();
    if (this.#dns === null || now - this.#dnsSince > RESOLVER_AGE_MS) {
      // One repetition for a lost packet: 0.4 s, then 0.8 s.
      this.#dns = new dns.Resolver({ timeout: 400, tries: 2, maxTimeout: 800 });
      if (this.#servers !== undefined) this.#dns.setServers(this.#servers);
      this.#dnsSince = now;
    }
    return this.#dns;
  }
}

const DEFAULT_HOSTS_FILE =
  process.platform === 'win32'
    ? `${process.env['SystemRoot'] ?? 'C:\\Windows'}\\System32\\drivers\\etc\\hosts`
    : '/etc/hosts';

interface Half {
  records: readonly { address: string; ttl: number }[];
  code: string;
}

async function fill(half: Half, query: () => Promise<Half['records']>): Promise<void> {
  try {
    half.records = await query();
  } catch (error) {
    half.code = error instanceof Error && 'code' in error ? String(error.code) : 'EUNKNOWN';
  }
}

function messageOf(code: string): string {
  switch (code) {
    case 'ENOTFOUND':
      return 'The host name of the URL does not exist.';
    case 'ENODATA':
      return 'The host name of the URL has no addresses.';
    case 'ETIMEOUT':
      return 'The host name of the URL could not be looked up: its name servers did not answer in time.';
    case 'EBADNAME':
      return 'The host name of the URL is not a valid one.';
    default:
      return 'The host name of the URL could not be looked up: its name servers answered with an error.';
  }
}

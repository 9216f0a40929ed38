import { BlockList, isIP } from 'node:net';

/** A block of addresses as an operator writes it: `10.0.0.0/8`; a single address is a block of one. */
export interface Cidr {
  readonly address: string;
  readonly prefix: number;
  readonly family: 'ipv4' | 'ipv6';
}

/**
 * What may be done with an address: `public` is reachable from everywhere, `allowed` is not but was opened by the operator,
 * `private` is refused, `own-port` would have been allowed but leads to hookgraph itself, and is refused.
 */
export type Verdict = 'public' | 'allowed' | 'private' | 'own-port';

/*
 * https://www.iana.org/assignments/iana-ipv4-special-purpose-registry, all that is not "Globally Reachable". Stricter in one
 * place: of 192.0.0.0/24 the registry calls .9 and .10 global, but they are anycast to the nearest NAT's control service.
 */
const SPECIAL_IPV4 = blockList([
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32', // the agent of an Azure host, on a public address
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24', // 6to4 relays
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4', // multicast
  '240.0.0.0/4',
]);

/*
 * IPv6 is turned round: only 2000::/3 is given out to anybody. What lies outside is loopback, IPv4 in all its disguises (::/96,
 * ::ffff:0:0/96, SIIT's ::ffff:0:0:0/96, NAT64's 64:ff9b::/96 and 64:ff9b:1::/48), private, link-local, multicast, or
 * nothing yet.
 */
const GLOBAL_IPV6 = blockList(['2000::/3']);

/*
 * https://www.iana.org/assignments/iana-ipv6-special-purpose-registry, what lies inside 2000::/3. 2001::/23 goes as a whole: Teredo,
 * benchmarking and ORCHIDs must, and what the registry calls global there is anycast to the nearest NAT, relay or DNS sink.
 */
const SPECIAL_IPV6 = blockList([
  '2001::/23',
  '2001:db8::/32',
  '2002::/16', // 6to4
  '3fff::/20',
]);

/** Whether an address text names a host that anybody can reach. Anything that is no address, or has a zone, is not. */
export function isGloballyReachable(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !SPECIAL_IPV4.check(address, 'ipv4');
    case 6:
      return !address.includes('%') && GLOBAL_IPV6.check(address, 'ipv6') && !SPECIAL_IPV6.check(address, 'ipv6');
    default:
      return false;
  }
}

/**
 * Reads blocks separated by commas or white space. Bits beyond the prefix are ignored (10.1.2.3/8 is 10.0.0.0/8).
 * The error is a sentence that names the piece nobody could read.
 */
export function parseCidrs(text: string): { readonly cidrs: readonly Cidr[] } | { readonly error: string } {
  const cidrs: Cidr[] = [];
  for (const piece of text.split(/[\s,]+/)) {
    if (piece === '') continue;
    const cidr = parseCidr(piece);
    if (cidr === null) return { error: `"${piece}" is not an address or a block such as 10.0.0.0/8 or fd00::/8.` };
    cidrs.push(cidr);
  }
  return { cidrs };
}

/** The set of addresses in some blocks, as a test. An IPv4-mapped IPv6 address is in the blocks of the IPv4 address it means. */
export function addressSet(cidrs: readonly Cidr[]): (address: string) => boolean {
  const list = new BlockList();
  for (const { address, prefix, family } of cidrs) list.addSubnet(address, prefix, family);
  return (address) => {
    const family = isIP(address);
    return family !== 0 && !address.includes('%') && list.check(address, family === 4 ? 'ipv4' : 'ipv6');
  };
}

/** Decides, in one place for saving and for sending, which addresses hookgraph connects to. */
export class AddressPolicy {
  readonly #allowed: (address: string) => boolean;
  readonly #ownPorts: () => ReadonlySet<number>;

  /**
   * @param allow blocks opened by the operator though they are not public
   * @param ownPorts the ports hookgraph listens on: never connected to on an address that is not public, whatever is allowed, or a tenant
   *   could speak to hookgraph from the inside. Asked anew each time, because ports are known only once it listens.
   */
  constructor({ allow, ownPorts }: { allow: readonly Cidr[]; ownPorts: () => ReadonlySet<number> }) {
    this.#allowed = addressSet(allow);
    this.#ownPorts = ownPorts;
  }

  judge(address: string, port: number): Verdict {
    if (isGloballyReachable(address)) return 'public';
    if (!this.#allowed(address)) return 'private';
    return this.#ownPorts().has(port) ? 'own-port' : 'allowed';
  }

  /**
   * The addresses of one host that may be connected to, or why none may. One refused address refuses the host, since an honest
   * public name has no private address; only where the operator opened some of a host's addresses are the others
   * merely left out (`localhost` with 127.0.0.0/8 allowed is 127.0.0.1, and ::1 is not tried).
   */
  choose(addresses: readonly string[], port: number): readonly string[] | 'private' | 'own-port' {
    const verdicts = addresses.map((address) => this.judge(address, port));
    if (verdicts.includes('own-port')) return 'own-port';
    if (!verdicts.includes('private')) return addresses;
    const opened = addresses.filter((_, i) => verdicts[i] === 'allowed');
    return opened.length > 0 ? opened : 'private';
  }
}

function parseCidr(piece: string): Cidr | null {
  const [address = '', prefixText, ...rest] = piece.split('/');
  const version = isIP(address);
  if (version === 0 || address.includes('%') || rest.length > 0) return null;
  const bits = version === 4 ? 32 : 128;
  if (prefixText !== undefined && !/^\d{1,3}$/.test(prefixText)) return null;
  const prefix = prefixText === undefined ? bits : Number(prefixText);
  return prefix > bits ? null : { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' };
}

function blockList(cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const text of cidrs) {
    const cidr = parseCidr(text);
    if (cidr === null) throw new Error(`not a block: ${text}`);
    list.addSubnet(cidr.address, cidr.prefix, cidr.family);
  }
  return list;
}

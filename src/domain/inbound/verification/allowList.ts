import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

type Network = [ipaddr.IPv4 | ipaddr.IPv6, number];

/** What ipaddr.js reads as it is meant: it takes `::192.0.2.7`, which is none, for an IPv4 address in IPv6. */
const parse = (address: string): Network[0] =>
  ipaddr.parse(isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address);

/**
 * An address or network such as `192.0.2.7`, `192.0.2.0/24` or `2001:db8::/32`; null for other text, and for spellings
 * that readers take differently (leading zeros, fewer than four parts). An IPv4-mapped network is the IPv4 network.
 */
export const parseNetwork = (text: string): Network | null => {
  const [address = '', length, ...rest] = text.trim().split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0 || address.includes('%')) return null;
  const width = family === 4 ? 32 : 128;
  if (length !== undefined && !/^(?:0|[1-9]\d{0,2})$/.test(length)) return null;
  const bits = length === undefined ? width : Number(length);
  if (bits > width) return null;
  const parsed = parse(address);
  if (parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress() && bits >= 96) {
    return [parsed.toIPv4Address(), bits - 96];
  }
  return [parsed, bits];
};

/** Whether an address is in one of the networks. What is no address is in none. */
export const isAllowed = (networks: readonly Network[], address: string): boolean => {
  if (isIP(address) === 0) return false;
  const parsed = parse(address.split('%', 1)[0]!);
  const plain = parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress() ? parsed.toIPv4Address() : parsed;
  return networks.some(([network, bits]) => network.kind() === plain.kind() && plain.match(network, bits));
};

export type { Network };

import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

export type Address = ipaddr.IPv4 | ipaddr.IPv6;
export type Network = [Address, number];

/** What ipaddr.js reads as it is meant: it takes `::192.0.2.7`, which is none, for an IPv4 address in IPv6. */
const parse = (address: string): Address =>
  ipaddr.parse(isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address);

/**
 * An address, without its zone; an IPv4-mapped one is the IPv4 address, and nothing else is (RFC 4291, 2.5.5.1 gives up
 * `::192.0.2.7`). Null for other text, and for spellings that readers take differently (leading zeros, fewer than four
 * parts).
 */
export const parseAddress = (text: string): Address | null => {
  if (isIP(text) === 0) return null;
  const parsed = parse(text.split('%', 1)[0]!);
  return parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress() ? parsed.toIPv4Address() : parsed;
};

/**
 * An address or network such as `192.0.2.7`, `192.0.2.0/24` or `2001:db8::/32`, spelled as addresses are; null for other
 * text. An IPv4-mapped network is the IPv4 network.
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
export const isWithin = (networks: readonly Network[], address: string): boolean => {
  const parsed = parseAddress(address);
  return (
    parsed !== null &&
    networks.some(([network, bits]) => network.kind() === parsed.kind() && parsed.match(network, bits))
  );
};

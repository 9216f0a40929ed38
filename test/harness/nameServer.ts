import { createSocket } from 'node:dgram';
import { isIPv4 } from 'node:net';

/** What a name server says about a name: records of both families, that it doesn't exist, or nothing at all. */
export type Zone = Record<string, { addresses: readonly string[]; ttl?: number } | 'NXDOMAIN' | 'SERVFAIL' | 'silence'>;

/**
 * A real DNS server on loopback (UDP) for names of a test. `zone` may be changed at any time; unknown names don't exist.
 * `questions` counts what was asked, as "A name" and "AAAA name".
 */
export async function startNameServer(zone: Zone): Promise<{
  address: string;
  questions: Map<string, number>;
  [Symbol.asyncDispose](): Promise<void>;
}> {
  const socket = createSocket('udp4');
  const questions = new Map<string, number>();
  socket.on('message', (query, peer) => {
    const { name, type, end } = question(query);
    const key = `${type === 1 ? 'A' : 'AAAA'} ${name}`;
    questions.set(key, (questions.get(key) ?? 0) + 1);
    const entry = zone[name] ?? 'NXDOMAIN';
    if (entry === 'silence') return;
    const code = entry === 'NXDOMAIN' ? 3 : entry === 'SERVFAIL' ? 2 : 0;
    const records =
      typeof entry === 'string' ? [] : entry.addresses.filter((a) => (isIPv4(a) ? type === 1 : type === 28));
    const ttl = typeof entry === 'string' ? 0 : (entry.ttl ?? 60);
    const header = Buffer.alloc(12);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | code, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    socket.send(
      Buffer.concat([header, query.subarray(12, end), ...records.map((a) => record(a, type, ttl))]),
      peer.port,
      peer.address,
    );
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${socket.address().port}`,
    questions,
    [Symbol.asyncDispose]: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}

function question(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at]!; length > 0; length = query[at]!) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length).toLowerCase());
    at += 1 + length;
  }
  return { name: labels.join('.'), type: query.readUInt16BE(at + 1), end: at + 5 };
}

function record(address: string, type: number, ttl: number): Buffer {
  const data = isIPv4(address) ? Buffer.from(address.split('.').map(Number)) : ipv6Bytes(address);
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(ttl, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function ipv6Bytes(address: string): Buffer {
  const [before = '', after] = address.split('::');
  const left = before === '' ? [] : before.split(':');
  const right = after === undefined || after === '' ? [] : after.split(':');
  const groups = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => '0'), ...right];
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

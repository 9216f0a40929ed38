import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * The receiver of the benchmarks, a process of its own: answers `ok` at once, and never under `/hang`. Told anything, it
 * answers with what it got since the last time: requests, distinct delivery ids, latencies from `data.ts`.
 */
const PERCENTILES = { p50: 0.5, p99: 0.99 };
let requests = 0;
let latencies: number[] = [];
let deliveries = new Set<string>();

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    if (request.url === '/hang') return;
    requests++;
    const id = request.headers['x-alga-delivery-id'];
    if (typeof id === 'string') deliveries.add(id);
    const sentAt = /"ts":(\d+(?:\.\d+)?)/.exec(Buffer.concat(chunks).toString('latin1'))?.[1];
    if (sentAt !== undefined) latencies.push(performance.timeOrigin + performance.now() - Number(sentAt));
    response.end('ok');
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.send!({ port: (server.address() as AddressInfo).port }));

process.on('message', () => {
  latencies.sort((a, b) => a - b);
  const at = (share: number): number =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0;
  process.send!({ requests, distinct: deliveries.size, p50: at(PERCENTILES.p50), p99: at(PERCENTILES.p99) });
  requests = 0;
  latencies = [];
  deliveries = new Set();
});
process.on('disconnect', () => process.exit(0));

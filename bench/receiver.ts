import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * The receiver of the benchmarks, a process of its own. By path: `/` answers `ok` at once, `/hang` never, `/slow` after
 * 20 ms, `/strict` refuses one in thirty and sees to the order. Told anything, it answers with what it got since the last
 * time: requests, distinct delivery ids, latencies from `data.ts`, the most at once under `/slow`, and how often a webhook's
 * `data.n` came out of its turn under `/strict`.
 */
const PERCENTILES = { p50: 0.5, p99: 0.99 };
const SLOW_MS = 20;
const REFUSED = 1 / 30;
let requests = 0;
let latencies: number[] = [];
let deliveries = new Set<string>();
let slow = 0;
let mostAtOnce = 0;
let outOfTurn = 0;
/** By webhook, the last that was taken. */
const taken = new Map<string, number>();

const answerSlowly = (response: ServerResponse): void => {
  mostAtOnce = Math.max(mostAtOnce, ++slow);
  setTimeout(() => {
    slow--;
    response.end('ok');
  }, SLOW_MS);
};

/** In its turn is the one after the last that was taken, or that one again. */
const answerInOrder = (webhook: string, n: number, response: ServerResponse): void => {
  const last = taken.get(webhook) ?? -1;
  if (n !== last && n !== last + 1) outOfTurn++;
  if (Math.random() < REFUSED) response.statusCode = 500;
  else taken.set(webhook, Math.max(last, n));
  response.end();
};

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    if (request.url === '/hang') return;
    requests++;
    const id = request.headers['x-alga-delivery-id'];
    if (typeof id === 'string') deliveries.add(id);
    const body = Buffer.concat(chunks).toString('latin1');
    const sentAt = /"ts":(\d+(?:\.\d+)?)/.exec(body)?.[1];
    if (sentAt !== undefined) latencies.push(performance.timeOrigin + performance.now() - Number(sentAt));
    if (request.url === '/slow') answerSlowly(response);
    else if (request.url === '/strict') {
      answerInOrder(String(request.headers['x-alga-webhook-id']), Number(/"n":(\d+)/.exec(body)?.[1]), response);
    } else response.end('ok');
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.send!({ port: (server.address() as AddressInfo).port }));

process.on('message', () => {
  latencies.sort((a, b) => a - b);
  const at = (share: number): number =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0;
  process.send!({
    requests,
    distinct: deliveries.size,
    p50: at(PERCENTILES.p50),
    p99: at(PERCENTILES.p99),
    mostAtOnce,
    outOfTurn,
  });
  requests = 0;
  latencies = [];
  deliveries = new Set();
  mostAtOnce = slow;
  outOfTurn = 0;
});
process.on('disconnect', () => process.exit(0));

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseArgs, styleText } from 'node:util';
import { GraphQLClient } from 'graphql-request';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { loadConfig } from '../src/config.ts';
import { startProgram } from '../src/program.ts';
import { startReceiver } from './receiver.ts';
import { nextEvent } from './story.ts';

/**
 * hookgraph alive, in a terminal, in about a minute: the whole program on a database of its own, a receiver that
 * verifies, one webhook, a stream of events, and the live feed as it comes over the WebSocket. Leaves nothing behind.
 */
const { values } = parseArgs({ options: { seconds: { type: 'string', default: '50' } } });
const seconds = Number(values.seconds);
const KEY = 'the-key-of-the-demo-0123456789-0123456789';

type Style = Parameters<typeof styleText>[0];
const paint = (style: Style, text: string): string => styleText(style, text, { stream: process.stdout });
const say = (text = ''): void => void process.stdout.write(`${text}\n`);
const step = (text: string): void => say(`${paint('cyan', '▸')} ${text}`);

interface FeedEvent {
  readonly at: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly status: 'DELIVERED' | 'RETRYING' | 'ABANDONED' | 'HELD' | 'CANCELLED';
  readonly attemptNumber: number;
  readonly responseStatus: number | null;
  readonly durationMs: number | null;
}

const COLOURS: Readonly<Record<FeedEvent['status'], Style>> = {
  DELIVERED: 'green',
  RETRYING: 'yellow',
  ABANDONED: 'red',
  HELD: 'blue',
  CANCELLED: 'gray',
};

const row = (event: FeedEvent, latencyMs: number): string =>
  [
    paint('gray', event.at.slice(11, 23)),
    event.eventType.padEnd(22),
    paint(COLOURS[event.status], event.status.padEnd(10)),
    `attempt ${event.attemptNumber}`,
    String(event.responseStatus ?? '–').padStart(4),
    `${event.durationMs ?? '–'} ms`.padStart(7),
    paint('gray', `seen here after ${Math.round(latencyMs)} ms`),
  ].join('  ');

const dataDir = await mkdtemp(join(tmpdir(), 'hookgraph-demo-'));
const receiver = await startReceiver();
step('Preparing a PostgreSQL and starting hookgraph on it (a few seconds) …');
const program = await startProgram(
  loadConfig({
    PORT: '0',
    HOOKGRAPH_DATA_DIR: dataDir,
    HOOKGRAPH_API_KEY: KEY,
    HOOKGRAPH_ALLOW_TARGETS: '127.0.0.1/32',
    HOOKGRAPH_LOG_LEVEL: 'error',
  }),
);
program.ready();

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
const pause = (ms: number): Promise<void> =>
  setTimeout(ms, undefined, { signal: interrupted.signal }).catch(() => undefined);

const endpoint = `${program.address.url}/graphql`;
const client = new GraphQLClient(endpoint, { headers: { 'X-API-Key': KEY } });
step(`hookgraph listens: ${paint('underline', endpoint)} (open it: that is the playground)`);

const { webhookCreate } = await client.request<{
  webhookCreate: { webhook: { id: string }; signingSecret: { value: string; standardWebhooks: string } };
}>(
  `mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) {
     ... on WebhookCreateSuccess { webhook { id } signingSecret { value standardWebhooks } } } }`,
  { input: { name: 'Demo', url: receiver.url, eventTypes: ['ticket.*'], retrySchedule: [2, 2, 2] } },
);
receiver.trust(webhookCreate.signingSecret);
step(`A webhook for ticket.* to ${receiver.url}, which checks both signatures of every request`);

const published = new Map<string, number>();
const latencies: number[] = [];
const counts = { DELIVERED: 0, RETRYING: 0, ABANDONED: 0, HELD: 0, CANCELLED: 0 };

const socket = createClient({
  url: endpoint.replace('http', 'ws'),
  webSocketImpl: WebSocket,
  connectionParams: { 'X-API-Key': KEY },
});
const feed = socket.iterate<{ deliveryFeed: { events: FeedEvent[] } }>({
  query: `subscription { deliveryFeed { events {
    at eventId eventType status attemptNumber responseStatus durationMs } } }`,
});
// The first batch comes at once: from here on nothing is missed.
await feed.next();
const showing = (async () => {
  for await (const { data } of feed) {
    for (const event of data?.deliveryFeed.events ?? []) {
      const latencyMs = Date.now() - (published.get(event.eventId) ?? Date.now());
      if (event.status === 'DELIVERED' && event.attemptNumber === 1) latencies.push(latencyMs);
      counts[event.status]++;
      say(row(event, latencyMs));
    }
  }
})();
step('The live feed, as it comes over the WebSocket:');
say();

const endsAt = Date.now() + seconds * 1000;
for (let n = 0; Date.now() < endsAt && !interrupted.signal.aborted; n++) {
  if (n % 9 === 5) {
    say(paint('yellow', '             the receiver fails the next request: it is sent again in about 2 s'));
    receiver.fail(n % 2 === 0 ? 500 : 503);
  }
  const startedAt = Date.now();
  const { eventPublish } = await client.request<{ eventPublish: { event: { id: string } } }>(
    `mutation ($input: EventInput!) { eventPublish(input: $input) { ... on EventPublishSuccess { event { id } } } }`,
    { input: nextEvent(n) },
  );
  published.set(eventPublish.event.id, startedAt);
  await pause(250 + 500 * Math.random());
}
for (const patience = Date.now() + 8_000; counts.DELIVERED < published.size && Date.now() < patience;) await pause(100);

void feed.return?.();
await socket.dispose();
await showing;
latencies.sort((a, b) => a - b);
const percentile = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0;
say();
step(
  `${published.size} events published, ${counts.DELIVERED} delivered, ${counts.RETRYING} attempts repeated; ` +
    `${receiver.counts.verified} of ${receiver.counts.requests} requests verified both ways`,
);
step(
  `From the publish call to this screen: ${percentile(0.5)} ms in the middle, ${percentile(0.99)} ms at the slowest`,
);
step(`Next: ${paint('bold', 'npm start')}, and the first webhook of your own in five minutes: README.md`);
receiver.close();
await program.stop();
await rm(dataDir, { recursive: true, force: true });
// Whatever was promised is kept; pooled sockets would only delay the prompt.
process.exit(counts.DELIVERED === published.size && receiver.counts.refused === 0 ? 0 : 1);

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { GraphQLClient } from 'graphql-request';
import { loadConfig } from '../src/config.ts';
import { startProgram } from '../src/program.ts';
import type { Program } from '../src/program.ts';
import { followFeeds } from './feeds.ts';
import { createMonitor } from './monitor.ts';
import { startReceiver } from './receiver.ts';
import type { DemoReceiver } from './receiver.ts';
import { deliveryRow, inboundRow, paint, say, step } from './screen.ts';
import { nextEvent } from './story.ts';

/**
 * hookgraph alive, in a terminal, in about a minute: the whole program on a database of its own; a webhook whose receiver
 * verifies; a stream of events; a monitoring system whose signed alerts become tickets, and the tickets events; and both
 * live feeds as they come over the WebSocket. Leaves nothing behind.
 */
const { values } = parseArgs({ options: { seconds: { type: 'string', default: '50' } } });
const KEY = 'the-key-of-the-demo-0123456789-0123456789';
/** How long the last ones may take: two retries, 2 s apart. */
const PATIENCE_MS = 8_000;

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
const pause = (ms: number): Promise<void> =>
  setTimeout(ms, undefined, { signal: interrupted.signal }).catch(() => undefined);

/** Tells the story; true where everything that was promised came. */
const play = async (program: Program, receiver: DemoReceiver, seconds: number): Promise<boolean> => {
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
  step(`→ A webhook for ticket.* to ${receiver.url}, which checks both signatures of every request`);

  const monitor = createMonitor();
  const { inboundWebhookCreate } = await client.request<{
    inboundWebhookCreate: { inboundWebhook: { slugUrl: string } };
  }>(
    `mutation ($input: InboundWebhookCreateInput!) { inboundWebhookCreate(input: $input) {
       ... on InboundWebhookCreateSuccess { inboundWebhook { slugUrl } } ... on Error { message path } } }`,
    { input: monitor.webhook },
  );
  const { slugUrl } = inboundWebhookCreate.inboundWebhook;
  step(`← An inbound webhook at ${slugUrl}, whose signed alerts become tickets`);

  /** When each event was published, as far as it is known here; and when each alert was sent. */
  const published = new Map<string, number>();
  const alerts = new Map<string, number>();
  const latencies: number[] = [];
  const delivered = new Set<string>();
  const roundTrips: number[] = [];
  const expected = new Map<string, number>();
  let retries = 0;

  const noteRoundTrip = (eventId: string): void => {
    const sentAt = expected.get(eventId);
    if (sentAt === undefined || !delivered.has(eventId)) return;
    expected.delete(eventId);
    roundTrips.push(Date.now() - sentAt);
  };
  const feeds = await followFeeds(
    endpoint,
    KEY,
    (event) => {
      const since = published.get(event.eventId);
      const latencyMs = since === undefined ? null : Date.now() - since;
      if (event.status === 'DELIVERED') {
        delivered.add(event.eventId);
        if (event.attemptNumber === 1 && latencyMs !== null) latencies.push(latencyMs);
      }
      if (event.status === 'RETRYING') retries++;
      say(deliveryRow(event, latencyMs));
      noteRoundTrip(event.eventId);
    },
    (event) => {
      say(inboundRow(event));
      const sentAt = alerts.get(event.inboundDeliveryId);
      for (const eventId of event.inboundDelivery?.handlerOutcome?.events ?? []) {
        if (event.dispatchStatus === 'DISPATCHED' && sentAt !== undefined) expected.set(eventId, sentAt);
        noteRoundTrip(eventId);
      }
    },
  );
  step('Both live feeds, as they come over the WebSocket:');
  say();

  const endsAt = Date.now() + seconds * 1000;
  for (let n = 0; Date.now() < endsAt && !interrupted.signal.aborted; n++) {
    if (n % 9 === 5) {
      say(paint('yellow', '                  the receiver fails the next request: it is sent again in about 2 s'));
      receiver.fail(n % 2 === 0 ? 500 : 503);
    }
    if (n % 5 === 3) {
      const { at, deliveryId } = await monitor.alert(slugUrl, alerts.size);
      alerts.set(deliveryId, at);
    } else {
      const startedAt = Date.now();
      const { eventPublish } = await client.request<{ eventPublish: { event: { id: string } } }>(
        `mutation ($input: EventInput!) { eventPublish(input: $input) { ... on EventPublishSuccess { event { id } } } }`,
        { input: nextEvent(published.size) },
      );
      published.set(eventPublish.event.id, startedAt);
    }
    await pause(250 + 500 * Math.random());
  }
  const isComplete = (): boolean =>
    [...published.keys()].every((id) => delivered.has(id)) && roundTrips.length >= alerts.size;
  for (const patience = Date.now() + PATIENCE_MS; !isComplete() && Date.now() < patience;) await pause(100);
  await feeds.close();

  latencies.sort((a, b) => a - b);
  const percentile = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0;
  say();
  step(
    `${published.size} events published, ${alerts.size} alerts received; ${delivered.size} events delivered, ` +
      `${retries} attempts repeated; ${receiver.counts.verified} of ${receiver.counts.requests} requests verified both ways`,
  );
  step(
    `From the publish call to this screen: ${percentile(0.5)} ms in the middle, ${percentile(0.99)} ms at the slowest`,
  );
  step(
    `From an alert through its ticket and its event to the receiver and back here: ${Math.min(...roundTrips)} ms at the fastest`,
  );
  step(`Next: ${paint('bold', 'npm start')}, and the first webhook of your own in five minutes: README.md`);
  return isComplete() && receiver.counts.refused === 0;
};

const dataDir = await mkdtemp(join(tmpdir(), 'hookgraph-demo-'));
const receiver = await startReceiver();
let isComplete = false;
try {
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
  try {
    program.ready();
    isComplete = await play(program, receiver, Number(values.seconds));
  } finally {
    await program.stop();
  }
} finally {
  receiver.close();
  await rm(dataDir, { recursive: true, force: true });
}
// Whatever was promised is kept; pooled sockets would only delay the prompt.
process.exit(isComplete ? 0 : 1);

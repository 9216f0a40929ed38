import { afterAll, beforeAll, expect, it } from 'vitest';
import { decodeId } from '../src/platform/ids.ts';
import { traceOf } from '../src/platform/tracing.ts';
import { createTestDatabase } from './harness/database.ts';
import type { TestDatabase } from './harness/database.ts';
import { API_KEY, startTestProgram, until } from './harness/program.ts';
import type { TestProgram } from './harness/program.ts';
import { startReceiver } from './harness/receiver.ts';
import type { Receiver } from './harness/receiver.ts';
import { tenantOf } from './harness/tenant.ts';

let database: TestDatabase;
let receiver: Receiver;
let collector: Receiver;
let program: TestProgram;

beforeAll(async () => {
  database = await createTestDatabase();
  receiver = await startReceiver();
  collector = await startReceiver();
  program = await startTestProgram(database.url, {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: 'x-collector-key=abc%20def',
    OTEL_SERVICE_NAME: 'hooks',
  });
});
afterAll(async () => {
  await program.stop();
  await collector.close();
  await receiver.close();
  await database.drop();
});

interface ToldSpan {
  readonly [key: string]: unknown;
  readonly name: string;
  readonly traceId: string;
  readonly attributes: readonly { key: string; value: Record<string, unknown> }[];
}

const spans = (): ToldSpan[] =>
  collector.requests.flatMap(({ body }) => JSON.parse(body).resourceSpans[0].scopeSpans[0].spans as ToldSpan[]);

const attributes = (span: ToldSpan): Record<string, unknown> =>
  Object.fromEntries(span.attributes.map(({ key, value }) => [key, Object.values(value)[0]]));

it('tells a collector of each attempt, in a trace that is the event’s UUID', async () => {
  const tenant = tenantOf(program);
  const type = await tenant.registerType();
  receiver.answer = (_, index) => ({ status: index === 0 ? 500 : 200 });
  const { id, value } = await tenant.createWebhook(receiver.url, [type], { retrySchedule: [1] });
  const { event } = await tenant.publish(type);
  const [delivery] = await tenant.reached(id, 'DELIVERED');
  const traceId = decodeId('event', event.id)!.replaceAll('-', '');
  const attempts = await until('both attempts', () => {
    const told = spans().filter((span) => span.traceId === traceId);
    return told.length === 2 ? told : null;
  });
  expect(attempts).toMatchObject([
    { name: 'webhook delivery', kind: 3, status: { code: 2 }, startTimeUnixNano: expect.stringMatching(/^\d{19}$/) },
    { name: 'webhook delivery', kind: 3, status: {}, spanId: expect.stringMatching(/^[\da-f]{16}$/) },
  ]);
  expect(attributes(attempts[0]!)).toEqual({
    'http.request.method': 'POST',
    'http.response.status_code': '500',
    'error.type': 'HTTP_STATUS',
    'hookgraph.webhook.id': id,
    'hookgraph.delivery.id': delivery.id,
    'hookgraph.event.id': event.id,
    'hookgraph.event.type': type,
    'hookgraph.delivery.attempt': '1',
    'hookgraph.delivery.status': 'RETRYING',
  });
  const [first] = collector.requests;
  expect(first).toMatchObject({ method: 'POST', path: `${new URL(collector.url).pathname}/v1/traces` });
  expect(first!.headers).toMatchObject({ 'content-type': 'application/json', 'x-collector-key': 'abc def' });
  expect(JSON.parse(first!.body).resourceSpans[0].resource.attributes).toContainEqual({
    key: 'service.name',
    value: { stringValue: 'hooks' },
  });
  const everything = collector.requests.map(({ body }) => body).join();
  for (const secret of [API_KEY, value]) expect(everything).not.toContain(secret);
});

it('puts a request into the trace that its sender began, and leaves it out where that is not recorded', async () => {
  const ask = async (traceparent: string): Promise<void> => {
    const answer = await fetch(`${program.url}/graphql?token=secret`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': API_KEY, traceparent },
      body: JSON.stringify({ query: '{ viewer { tenant { id } } }' }),
    });
    expect(answer.status).toBe(200);
  };
  await ask('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00');
  await ask('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
  const span = await until('the span', () =>
    spans().find(({ traceId }) => traceId === '0af7651916cd43dd8448eb211c80319c'),
  );
  expect(span).toMatchObject({ name: 'POST /graphql', kind: 2, parentSpanId: 'b7ad6b7169203331' });
  expect(attributes(span)).toEqual({
    'http.request.method': 'POST',
    'http.route': '/graphql',
    'http.response.status_code': '200',
  });
  expect(spans().some(({ traceId }) => traceId === '4bf92f3577b34da6a3ce929d0e0e4736')).toBe(false);
});

it('is hurt by no collector: what that does not take is dropped', async () => {
  const tenant = tenantOf(program);
  let refused = 0;
  collector.answer = () => {
    refused++;
    return { status: 503 };
  };
  receiver.answer = () => ({});
  const type = await tenant.registerType();
  const { id } = await tenant.createWebhook(receiver.url, [type]);
  await tenant.publishMany(Array.from({ length: 200 }, (_, n) => ({ type, data: { n } })));
  await tenant.reached(id, 'DELIVERED', 100);
  await until('the collector has refused', () => refused > 0);
  collector.answer = () => ({});
  const { event } = await tenant.publish(type);
  const traceId = decodeId('event', event.id)!.replaceAll('-', '');
  await until('it is told what came after', () => spans().some((span) => span.traceId === traceId));
});

it('begins a trace of its own where a traceparent is none', () => {
  const zeros = '00-00000000000000000000000000000000-00f067aa0ba902b7-01';
  for (const text of [undefined, '', 'nonsense', zeros, 'ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01']) {
    expect(traceOf(text)).toEqual({ traceId: expect.stringMatching(/^[\da-f]{32}$/), parentId: null });
  }
});

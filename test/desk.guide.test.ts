import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deskOf } from './harness/desk.ts';
import { until } from './harness/program.ts';
import { startReceiver } from './harness/receiver.ts';
import type { Receiver } from './harness/receiver.ts';
import { useScene } from './harness/scene.ts';
import { guideVerifies } from './harness/verification.ts';

const scene = useScene();

/** What a subscriber of the guide has: a secret from its environment, and business to do once for each event. */
interface Subscriber {
  readonly receiver: Receiver;
  secret: string;
  /** What it did business with, and when. */
  readonly handled: {
    readonly eventType: string;
    readonly data: Record<string, unknown>;
    readonly envelope: Record<string, unknown>;
    readonly at: number;
  }[];
  readonly answered: number[];
}

const subscriber = { secret: '', handled: [], answered: [] } as unknown as {
  -readonly [Part in keyof Subscriber]: Subscriber[Part];
};

beforeAll(async () => {
  const seen = new Set<string>();
  subscriber.receiver = await startReceiver();
  const statusOf: (request: Receiver['requests'][number]) => number = (request) => {
    if (!guideVerifies(request, subscriber.secret)) return 401;
    const eventId = request.headers['x-alga-event-id'];
    if (typeof eventId !== 'string' || seen.has(eventId)) return 200;
    seen.add(eventId);
    const envelope = JSON.parse(request.body) as { event_type: string; data: Record<string, unknown> };
    subscriber.handled.push({
      eventType: envelope.event_type,
      data: envelope.data,
      envelope: { ...envelope },
      at: request.at,
    });
    return 200;
  };
  subscriber.receiver.answer = (request) => {
    const status = statusOf(request);
    subscriber.answered.push(status);
    return { status };
  };
});
afterAll(() => subscriber.receiver.close());

describe('subscribing to ticket events, step by step', () => {
  let webhookId: string;

  it('1: ticket.created and ticket.assigned are in the vocabulary, and live', async () => {
    const { eventTypes } = await scene.tenant.graphql(`{ eventTypes(filter: { search: "ticket." }) { name status } }`);
    const live = eventTypes.filter(({ status }: { status: string }) => status === 'LIVE');
    expect(live.map(({ name }: { name: string }) => name)).toEqual(
      expect.arrayContaining(['ticket.created', 'ticket.assigned']),
    );
    expect(live).toHaveLength(6);
  });

  it('2 and 3: the webhook is created, and its secret told this once', async () => {
    const { webhookCreate } = await scene.tenant.graphql(
      `mutation ($input: WebhookCreateInput!) { webhookCreate(input: $input) { ... on WebhookCreateSuccess {
        webhook { id name eventTypes isActive verifySsl } signingSecret { value } } } }`,
      {
        input: {
          name: 'Ticket subscriber',
          url: subscriber.receiver.url,
          eventTypes: ['ticket.created', 'ticket.assigned'],
          isActive: true,
          verifySsl: true,
        },
      },
    );
    webhookId = webhookCreate.webhook.id;
    expect(webhookCreate.webhook).toMatchObject({
      name: 'Ticket subscriber',
      eventTypes: ['ticket.created', 'ticket.assigned'],
      isActive: true,
      verifySsl: true,
    });
    expect(webhookCreate.signingSecret.value).toMatch(/^[\w-]{43}$/);
    subscriber.secret = webhookCreate.signingSecret.value;
  });

  it('4 and 5: a signed test of ticket.assigned passes the receiver, with the data of a real one', async () => {
    const { delivery } = await scene.tenant.sendTest(webhookId, 'ticket.assigned');
    expect(delivery).toMatchObject({ status: 'DELIVERED', isTest: true, eventType: 'ticket.assigned' });
    expect(subscriber.answered).toEqual([200]);
    expect(subscriber.handled).toMatchObject([
      {
        eventType: 'ticket.assigned',
        envelope: { is_test: true },
        data: { ticket_id: expect.stringMatching(/^tkt_/) },
      },
    ]);
  });

  it('6: the history shows what arrived', async () => {
    const { webhook } = await scene.tenant.graphql(
      `query ($id: ID!) { webhook(id: $id) { deliveries(first: 5) { nodes {
        isTest responseStatus requestBody attempts { responseBody } } } } }`,
      { id: webhookId },
    );
    expect(webhook.deliveries.nodes).toEqual([
      {
        isTest: true,
        responseStatus: 200,
        requestBody: expect.stringContaining('"is_test":true'),
        attempts: [{ responseBody: 'ok' }],
      },
    ]);
  });

  it('7: creating and assigning a ticket are real deliveries, each within a second, and nothing else is', async () => {
    const desk = deskOf(scene.tenant);
    let from = Date.now();
    const { ticket, events: created } = await desk.create({ title: 'Printer offline', priority: 'high' });
    await until('the ticket', () => subscriber.handled.length === 2);
    expect(subscriber.handled[1]!.at - from).toBeLessThan(1_000);
    await desk.update(ticket.id, { title: 'Printer on fire' });
    await desk.changeStatus(ticket.id, 'open');
    from = Date.now();
    const { events: assigned } = await desk.assign(ticket.id, 'sam');
    await until('the assignment', () => subscriber.handled.length === 3);
    expect(subscriber.handled[2]!.at - from).toBeLessThan(1_000);

    const [test, first, second] = subscriber.handled;
    for (const [one, event] of [
      [first!, created[0]],
      [second!, assigned[0]],
    ] as const) {
      expect(Object.keys(one.envelope)).toEqual(['event_id', 'event_type', 'occurred_at', 'tenant_id', 'data']);
      expect(one.envelope).toMatchObject({ event_id: event.id, occurred_at: event.occurredAt, data: event.data });
      expect(one.envelope['event_id']).not.toBe(test!.envelope['event_id']);
      // The example that tests send has the keys of the real thing.
      expect(Object.keys(one.data)).toEqual(Object.keys(test!.data));
    }
    expect(first).toMatchObject({ eventType: 'ticket.created', data: { ticket_id: ticket.id, priority_id: 'high' } });
    expect(second).toMatchObject({
      eventType: 'ticket.assigned',
      data: { title: 'Printer on fire', status_id: 'open', assigned_to: 'sam' },
    });
    expect(await scene.tenant.reached(webhookId, 'DELIVERED', 3)).toHaveLength(3);
    expect(subscriber.answered).toEqual([200, 200, 200]);
  });

  it('and then: all six, each by the change that it names', async () => {
    const { webhookUpdate } = await scene.tenant.graphql(
      `mutation ($id: ID!) { webhookUpdate(id: $id, input: { eventTypes: ["ticket.*"] }) { __typename } }`,
      { id: webhookId },
    );
    expect(webhookUpdate.__typename).toBe('WebhookUpdateSuccess');
    const before = subscriber.handled.length;
    const desk = deskOf(scene.tenant);
    const { ticket } = await desk.create({ title: 'A' });
    await desk.update(ticket.id, { title: 'B' });
    await desk.assign(ticket.id, 'kim');
    await desk.comment(ticket.id, { text: 'C' });
    await desk.close(ticket.id);
    const six = await until('all of them', () => {
      const some = subscriber.handled.slice(before);
      return some.length >= 6 ? some : null;
    });
    const byTime = (a: (typeof six)[number], b: (typeof six)[number]): number =>
      String(a.envelope['occurred_at']) < String(b.envelope['occurred_at']) ? -1 : 1;
    expect(new Set(six.map(({ eventType }) => eventType)).size).toBe(6);
    expect(
      [...six]
        .sort(byTime)
        .map(({ eventType }) => eventType)
        .slice(0, 4),
    ).toEqual(['ticket.created', 'ticket.updated', 'ticket.assigned', 'ticket.comment.added']);
  });
});

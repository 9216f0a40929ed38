import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Destination } from '../src/domain/deliveries/destination.ts';
import { freshDelivery } from '../src/domain/deliveries/openDeliveries.ts';
import type { LaneCursor, OpenDelivery } from '../src/domain/deliveries/openDeliveries.ts';
import type { LaneBand } from '../src/jobs/lanes/band.ts';
import { Lane } from '../src/jobs/lanes/lane.ts';
import type { ReadyDelivery } from '../src/jobs/lanes/lane.ts';
import { newId } from '../src/platform/ids.ts';
import { until } from './harness/program.ts';
import type { ReceivedRequest } from './harness/receiver.ts';
import { useScene } from './harness/scene.ts';

const WEBHOOK = newId();
const DESTINATION: Destination = {
  webhookId: WEBHOOK,
  publicId: 'wh_1',
  tenantId: newId(),
  webhookName: 'of a test',
  status: 'ACTIVE',
  version: 1,
  url: 'http://127.0.0.1/',
  verifySsl: true,
  timeoutMs: 10_000,
  retrySchedule: [1],
  maxConcurrency: 10,
  rateLimit: null,
  isStrict: false,
  condition: null,
  payloadFields: null,
  customHeaders: [],
  resumedAt: 0,
  keys: () => [],
  heldUntil: 0,
  circuit: { failures: 0, until: null },
  limiterAt: 0,
  statusChanges: 0,
  statusTold: 0,
  crashes: 0,
};

interface Row {
  readonly delivery: OpenDelivery;
  readonly seq: number;
  nextAt: number;
}

const entryOf = (delivery: OpenDelivery): ReadyDelivery => {
  const body = Buffer.from('{}');
  return { delivery, eventId: delivery.eventId, body, envelope: body, contentType: 'application/json', hops: 0 };
};

/** One webhook's lane over a table that is a list, in a time that tests make pass. */
class Model {
  now = 1_000_000;
  readonly lane = new Lane({ id: newId(), retryCount: 0 }, DESTINATION, this.now);
  readonly table = new Map<string, Row>();
  readonly sending: OpenDelivery[] = [];
  readonly sent = new Set<string>();
  #seq = 0;

  /** Commits a delivery that is due at `dueAt`. */
  commit(dueAt: number): OpenDelivery {
    const event = { id: newId(), type: 'ticket.created', isTest: false };
    const delivery = freshDelivery(event, WEBHOOK, null, dueAt);
    this.table.set(delivery.id, { delivery, seq: ++this.#seq, nextAt: dueAt });
    return delivery;
  }

  /** As a worker does with what this process published. */
  publish(version: number): boolean {
    const delivery = this.commit(this.now);
    const isTaken = this.lane.takesFresh(version, this.now);
    if (isTaken) this.lane.takeFresh(entryOf(delivery));
    else this.lane.heed(delivery.dueAt);
    return isTaken;
  }

  /** Begins to read where the lane wants to, and answers how that ends; `isEarly`: what is committed in between isn't found. */
  read(isEarly = true): () => void {
    const ends = this.lane.wantingBands(this.now).map((band) => this.#read(band, isEarly));
    if (ends.length > 0) this.lane.isReading = true;
    return () => {
      for (const end of ends) end();
      if (ends.length > 0) this.lane.isReading = false;
    };
  }

  #read(band: LaneBand, isEarly: boolean): () => void {
    const { cursor, limit, overlaps } = band.beginRead(this.now);
    const inHand = new Set(overlaps ? this.lane.inHandIds() : []);
    const select = (): Row[] =>
      [...this.table.values()]
        .filter(({ delivery, nextAt }) => delivery.band === band.band && nextAt <= this.now && !inHand.has(delivery.id))
        .filter((row) => isAfter(row, cursor))
        .sort((a, b) => a.nextAt - b.nextAt || a.seq - b.seq)
        .slice(0, limit);
    const early = isEarly ? select() : null;
    return () => {
      const rows = early ?? select();
      const last = rows.at(-1);
      const read = {
        deliveries: rows.map(({ delivery, nextAt }) => ({ ...delivery, dueAt: nextAt })),
        cursor: last ? { nextAt: new Date(last.nextAt).toISOString(), seq: String(last.seq) } : cursor,
        lastDueAt: last?.nextAt ?? null,
        webhookVersion: 1,
      };
      band.endRead(read, limit);
      this.lane.take(band, read.deliveries.map(entryOf));
    };
  }

  /** Sends one; what is sent twice throws. */
  send(): void {
    if (!this.lane.canSend(this.now)) return;
    const { delivery } = this.lane.next(this.now);
    const attempt = `${delivery.id} ${this.table.get(delivery.id)?.delivery.attempts}`;
    expect(this.sent).not.toContain(attempt);
    this.sent.add(attempt);
    this.sending.push(delivery);
  }

  settle(isOk: boolean): void {
    const delivery = this.sending.shift();
    if (!delivery) return;
    this.lane.answered(true, false, true, this.now);
    const row = this.table.get(delivery.id)!;
    if (isOk) this.table.delete(delivery.id);
    else {
      const nextAt = this.now + 1_000;
      this.table.set(delivery.id, {
        ...row,
        nextAt,
        delivery: { ...row.delivery, attempts: row.delivery.attempts + 1 },
      });
      this.lane.bands[0].wakeAt = Math.min(this.lane.bands[0].wakeAt, nextAt);
    }
    this.lane.release(delivery.id, this.now);
  }
}

const isAfter = ({ nextAt, seq }: Row, cursor: LaneCursor): boolean => {
  if (cursor.nextAt === '-infinity') return true;
  const at = Date.parse(cursor.nextAt);
  return nextAt > at || (nextAt === at && seq > Number(cursor.seq));
};

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('publish' as const), isOld: fc.boolean() }) },
  // Committed by another process: now, by a transaction that began before, or to be tried later; rung, or found by nobody's ring.
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('commit' as const),
      dueIn: fc.constantFrom(-3_000, -20, 0, 0, 700),
      isRung: fc.boolean(),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('begin' as const), isEarly: fc.boolean() }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('end' as const) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('send' as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('settle' as const), isOk: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(1, 30, 400, 1_100) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop' as const) }) },
);

describe('what is taken in hand without a read', () => {
  it('is sent once for each attempt, and keeps nothing that is due from being read, whatever comes in between', () => {
    let taken = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const model = new Model();
        const { lane } = model;
        let end = model.read();
        for (const one of steps) {
          switch (one.kind) {
            case 'publish':
              if (model.publish(one.isOld ? 0 : 1)) taken++;
              break;
            case 'commit': {
              const { dueAt } = model.commit(model.now + one.dueIn);
              if (one.isRung) lane.heed(dueAt);
              break;
            }
            case 'begin':
              if (!lane.isReading) end = model.read(one.isEarly);
              break;
            case 'end':
              if (lane.isReading) end();
              break;
            case 'send':
              model.send();
              break;
            case 'settle':
              model.settle(one.isOk);
              break;
            case 'pass':
              model.now += one.ms;
              break;
            case 'drop':
              // What a read under way brings is let go of too.
              if (!lane.isReading) lane.dropReady();
              break;
            default:
              one satisfies never;
          }
        }
        if (lane.isReading) end();
        for (let turn = 0; turn < 400 && model.table.size > 0; turn++) {
          model.now += 500;
          model.read()();
          model.send();
          model.settle(true);
        }
        expect([...model.table.values()]).toEqual([]);
      }),
      { numRuns: 1_000, examples: [[[{ kind: 'end' }, { kind: 'publish', isOld: false }]]] },
    );
    expect(taken).toBeGreaterThan(0);
  });

  it('is believed to be the next for a second after a read that found nothing more, and no longer', () => {
    const model = new Model();
    expect(model.publish(1)).toBe(false);
    model.read()();
    expect(model.publish(1)).toBe(true);
    model.now += 999;
    expect(model.publish(1)).toBe(true);
    model.now += 1;
    expect(model.publish(1)).toBe(false);
  });

  it('is as the webhook was when it was matched: after a change it is read', () => {
    const model = new Model();
    model.read()();
    expect(model.publish(2)).toBe(false);
  });
});

describe('a lane', () => {
  const scene = useScene();

  it('sends each attempt once, of what it reads and of what it is handed, in bursts, with failures and changes in between', async () => {
    const { tenant, receiver } = scene;
    const type = await tenant.registerType();
    receiver.answer = (_, index) => ({ status: index % 7 === 3 ? 500 : 200, delayMs: index % 5 });
    const webhooks = await Promise.all(
      [1, 2, 3].map(() => tenant.createWebhook(receiver.url, [type], { retrySchedule: [1, 1, 1, 1, 1, 1] })),
    );
    let published = 0;
    for (let burst = 0; burst < 60; burst++) {
      const size = 1 + (burst % 4) * 3;
      await Promise.all(Array.from({ length: size }, () => tenant.publish(type)));
      published += size;
      if (burst % 20 === 10) await tenant.update(webhooks[0]!.id, { description: `Change ${burst}` });
    }
    const keyOf = ({ headers }: ReceivedRequest): string =>
      `${String(headers['x-alga-delivery-id'])} ${String(headers['x-alga-delivery-attempt'])}`;
    await until('all are delivered', () => {
      const answered = receiver.requests.filter((_, index) => index % 7 !== 3);
      return Promise.resolve(answered.length >= published * webhooks.length);
    });
    const attempts = receiver.requests.map(keyOf);
    expect(new Set(attempts).size).toBe(attempts.length);
  });
});

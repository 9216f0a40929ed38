import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { schema } from '../mikro-orm.config.ts';
import { settle } from '../src/domain/deliveries/settlement.ts';
import type { Settled, Settlement } from '../src/domain/deliveries/settlement.ts';
import { bootstrapTenant } from '../src/domain/tenants/bootstrap.ts';
import { disableOverdue, disablesAt } from '../src/domain/webhooks/failureStreak.ts';
import type { WebhookStatus } from '../src/domain/webhooks/webhook.ts';
import { healthOf } from '../src/domain/webhooks/webhookHealth.ts';
import { Webhooks } from '../src/domain/webhooks/webhooks.ts';
import { openDatabase } from '../src/platform/database.ts';
import type { Database } from '../src/platform/database.ts';
import { newId } from '../src/platform/ids.ts';
import { SecretBox } from '../src/platform/secrets.ts';
import { createTestDatabase } from './harness/database.ts';
import type { TestDatabase } from './harness/database.ts';
import { until } from './harness/program.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** Where the fake clock begins. */
const BEGIN = Date.parse('2030-01-01T00:00:00Z');

let own: TestDatabase;
let database: Database;
let webhooks: Webhooks;
let tenantId: string;

beforeAll(async () => {
  own = await createTestDatabase();
  database = await openDatabase({ url: own.url, poolSize: 2, schema });
  await bootstrapTenant(database, 'default', 'a-key-of-nobody-0123456789abcdefghijk');
  tenantId = (await database.sql.query<{ id: string }>(`select id from tenant`))[0]!.id;
  const bell = { ring: () => undefined, configurationChanged: () => undefined };
  const box = new SecretBox(Buffer.alloc(32, 7));
  webhooks = new Webhooks(
    database,
    box,
    bell,
    { tell: () => undefined },
    { checkUrl: () => null, checkExpression: async () => null, headerPrefix: 'X-Alga-' },
  );
});
afterAll(async () => {
  await database.close();
  await own.drop();
});

type Result = 'success' | 'failure' | 'gone';

interface Attempt {
  readonly result: Result;
  /** Of an operational event. */
  readonly operational: boolean;
  readonly at: number;
}

const at = (ms: number, operational = false): Omit<Attempt, 'result'> => ({ at: BEGIN + ms, operational });

const newWebhook = async (): Promise<string> =>
  (await webhooks.create(tenantId, { name: 'A', url: 'https://a.example', eventTypes: ['a.b'] })).webhook.id;

/** Settles these in one transaction, each of a delivery of its own. */
const settleAttempts = async (webhookId: string, attempts: readonly Attempt[]): Promise<Settled> => {
  const batch: Settlement[] = [];
  for (const { result, operational, at } of attempts) {
    const deliveryId = newId();
    const eventType = operational ? 'webhook.failing' : 'a.b';
    await database.sql.query(
      `insert into delivery_open (id, tenant_id, webhook_id, event_id, event_type, next_at, created_at, expires_at)
       values ($1, $2, $3, $1, $4, now(), now(), now())`,
      [deliveryId, tenantId, webhookId, eventType],
    );
    batch.push({
      deliveryId,
      webhookId,
      webhookName: 'A',
      eventId: deliveryId,
      eventType,
      isTest: false,
      isForward: false,
      attemptsBefore: 0,
      status: result === 'success' ? 'DELIVERED' : 'ABANDONED',
      nextAt: null,
      countsAsFailure: result !== 'success',
      keepsPlace: false,
      circuitUntil: undefined,
      heldUntil: null,
      isGone: result === 'gone',
      attempt: {
        trigger: 'INITIAL',
        startedAt: at,
        durationMs: 0,
        requestHeaders: [],
        responseStatus: result === 'success' ? 200 : 500,
        responseHeaders: [],
        responseBody: null,
        responseTruncated: false,
      },
      error: result === 'success' ? null : { code: 'HTTP_STATUS', message: 'No.' },
    });
  }
  return settle(database.sql, batch);
};

interface Stored {
  readonly status: WebhookStatus;
  readonly disabled: boolean;
  readonly failures: number;
  readonly since: number | null;
  readonly disableAt: number | null;
}

const stored = async (webhookId: string): Promise<Stored> =>
  (
    await database.sql.query<Stored>(
      `select w.status, w.disabled_at is not null and w.disabled_reason is not null as disabled,
         h.consecutive_failures as failures, epoch_ms(h.failing_since) as since, epoch_ms(h.disable_at) as "disableAt"
       from webhook w join webhook_health h on h.webhook_id = w.id where w.id = $1`,
      [webhookId],
    )
  )[0]!;

/** What was announced of the webhook since the last look. */
const takeAnnounced = async (webhookId: string): Promise<string[]> =>
  (
    await database.sql.query<{ type: string }>(`delete from operational_outbox where webhook_id = $1 returning type`, [
      webhookId,
    ])
  )
    .map(({ type }) => type)
    .sort();

/** What a webhook has gone through, by the rules as they are written for people. */
class Model {
  status: WebhookStatus = 'ACTIVE';
  failures = 0;
  since: number | null = null;
  lastFailure = 0;
  isTold = false;
  announced: string[] = [];
  isChanged = false;

  settle(attempts: readonly Attempt[]): void {
    const wasFailing = this.failures > 0;
    this.isChanged = false;
    let mayTell = false;
    for (const { result, operational, at } of attempts) {
      if (result === 'success') {
        this.forget();
        mayTell = false;
        continue;
      }
      this.failures += 1;
      this.since ??= at;
      this.lastFailure = at;
      mayTell ||= !operational;
    }
    const lastedMs = this.since === null ? 0 : this.lastFailure - this.since;
    if (mayTell && !this.isTold && (this.failures >= 3 || lastedMs >= 5 * MINUTE)) {
      this.isTold = true;
      this.announced.push('webhook.failing');
      this.isChanged = true;
    }
    if (wasFailing !== this.failures > 0) this.isChanged = true;
    const isGone = attempts.some(({ result }) => result === 'gone');
    if ((isGone && this.status !== 'DISABLED') || (lastedMs >= 24 * HOUR && this.status === 'ACTIVE')) this.disable();
  }

  look(now: number): void {
    const { since, lastFailure } = this;
    if (since === null || this.status !== 'ACTIVE' || this.failures < 2) return;
    if (lastFailure - since >= 12 * HOUR && now - since >= 24 * HOUR) this.disable();
  }

  become(status: WebhookStatus): void {
    if (status === 'ACTIVE' && this.status !== 'ACTIVE') this.forget();
    this.status = status;
  }

  forget(): void {
    this.failures = 0;
    this.since = null;
    this.isTold = false;
  }

  disable(): void {
    this.status = 'DISABLED';
    this.isChanged = true;
    this.announced.push('webhook.disabled');
  }

  takeAnnounced(): string[] {
    const taken = this.announced.sort();
    this.announced = [];
    return taken;
  }
}

type Command =
  | { readonly kind: 'settle'; readonly attempts: readonly Omit<Attempt, 'at'>[] }
  | { readonly kind: 'become'; readonly status: WebhookStatus }
  | { readonly kind: 'look' };

const attempt = fc.record({
  result: fc.oneof(
    { weight: 12, arbitrary: fc.constant<Result>('failure') },
    { weight: 2, arbitrary: fc.constant<Result>('success') },
    { weight: 1, arbitrary: fc.constant<Result>('gone') },
  ),
  operational: fc.boolean(),
});
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('settle' as const),
      attempts: fc.array(attempt, { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('look' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('become' as const),
      status: fc.constantFrom<WebhookStatus>('ACTIVE', 'PAUSED', 'DISABLED'),
    }),
  },
);
/** How much later a command comes: around the limits that the rules know. */
const later = fc.constantFrom(
  1_000,
  4 * MINUTE,
  5 * MINUTE,
  HOUR,
  11 * HOUR,
  12 * HOUR,
  13 * HOUR,
  24 * HOUR - 1,
  24 * HOUR,
);

const settles = (result: Result): Command => ({ kind: 'settle', attempts: [{ result, operational: false }] });
const becomes = (status: WebhookStatus): Command => ({ kind: 'become', status });
/** Ways that each run goes, whatever else chance brings: disabled by a 410, by time, by a 410 while paused, and paused beyond the time. */
const ALWAYS: [[number, Command][]][] = [
  [[[HOUR, settles('gone')]]],
  [
    [
      [HOUR, settles('failure')],
      [13 * HOUR, settles('failure')],
      [11 * HOUR, { kind: 'look' }],
    ],
  ],
  [
    [
      [HOUR, becomes('PAUSED')],
      [HOUR, settles('gone')],
    ],
  ],
  [
    [
      [HOUR, settles('failure')],
      [13 * HOUR, settles('failure')],
      [HOUR, becomes('PAUSED')],
      [24 * HOUR, { kind: 'look' }],
    ],
  ],
];

describe('a webhook', () => {
  it('goes through ACTIVE, PAUSED and DISABLED as the rules say, whatever happens to it and when', async () => {
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(later, command), { minLength: 1, maxLength: 14 }), async (commands) => {
        const id = await newWebhook();
        const model = new Model();
        let now = BEGIN;
        for (const [ms, one] of commands) {
          now += ms;
          const before = model.status;
          switch (one.kind) {
            case 'settle': {
              const attempts = one.attempts.map((each, index) => ({ ...each, at: now + index }));
              now += attempts.length;
              const { disabled, healthChanged, announces } = await settleAttempts(id, attempts);
              model.settle(attempts);
              expect(disabled).toEqual(before !== 'DISABLED' && model.status === 'DISABLED' ? [id] : []);
              expect(new Set(healthChanged.map((each) => each.webhookId))).toEqual(
                new Set(model.isChanged ? [id] : []),
              );
              expect(announces).toBe(model.announced.length > 0);
              break;
            }
            case 'look': {
              const { disabled } = await disableOverdue(database.sql, now, 500);
              model.look(now);
              expect(disabled).toEqual(before !== model.status ? [{ tenantId, webhookId: id }] : []);
              break;
            }
            case 'become':
              await webhooks.update(tenantId, id, { status: one.status });
              model.become(one.status);
              break;
            default:
              one satisfies never;
          }
          const is = await stored(id);
          const { status, failures, since } = model;
          expect(is).toMatchObject({ status, disabled: status === 'DISABLED', failures, since });
          expect(await takeAnnounced(id)).toEqual(model.takeAnnounced());
          const health = (await healthOf(database.sql, tenantId, [id])).get(id)!;
          if (status === 'ACTIVE') expect(is.disableAt).toBe(disablesAt(health));
          seen.add(`${one.kind} ${before} ${status}`);
        }
        // One that is left would come up in the next run's looks.
        await webhooks.delete(tenantId, id);
      }),
      { numRuns: 150, examples: ALWAYS },
    );
    expect(seen).toContain('settle ACTIVE DISABLED');
    expect(seen).toContain('look ACTIVE DISABLED');
    expect(seen).toContain('settle PAUSED DISABLED');
    expect(seen).toContain('look PAUSED PAUSED');
  });

  it.each<[string, number[], number, WebhookStatus]>([
    ['failed at 0 and 13 h is disabled at 24 h, by time alone', [0, 13], 24, 'DISABLED'],
    ['failed at 0 and 13 h is not disabled a moment before', [0, 13], 24 - 1 / 3_600_000, 'ACTIVE'],
    ['failed once, 30 h ago, is not disabled', [0], 30, 'ACTIVE'],
    ['failed twice within 12 h, 30 h ago, is not disabled', [0, 11.9], 30, 'ACTIVE'],
    ['failed twice, 12 h apart, is disabled at 24 h', [0, 12], 24, 'DISABLED'],
    ['fails at 0 and 24 h is disabled by the second', [0, 24], 24, 'DISABLED'],
  ])('that %s', async (_name, failures, lookAt, expected) => {
    const id = await newWebhook();
    for (const hours of failures) {
      await settleAttempts(id, [{ result: 'failure', operational: false, at: BEGIN + hours * HOUR }]);
    }
    await disableOverdue(database.sql, BEGIN + lookAt * HOUR, 500);
    expect((await stored(id)).status).toBe(expected);
    await webhooks.delete(tenantId, id);
  });

  it.each<[string, Omit<Attempt, 'result'>[], string[]]>([
    ['failed twice within 5 minutes', [at(0), at(5 * MINUTE - 1)], []],
    ['failed twice, 5 minutes apart', [at(0), at(5 * MINUTE)], ['webhook.failing']],
    ['failed three times in a row', [at(0), at(1), at(2)], ['webhook.failing']],
    ['failed ten times in a row', Array.from({ length: 10 }, (_, n) => at(n)), ['webhook.failing']],
    ['failed at operational events', [at(0, true), at(1, true), at(2, true), at(HOUR, true)], []],
    ['failed at them and at another', [at(0, true), at(1, true), at(2, true), at(3)], ['webhook.failing']],
  ])('that %s is announced accordingly', async (_name, failures, expected) => {
    const id = await newWebhook();
    for (const failure of failures) await settleAttempts(id, [{ ...failure, result: 'failure' }]);
    expect(await takeAnnounced(id)).toEqual(expected);
    await webhooks.delete(tenantId, id);
  });

  it('that is saved by a success which commits while the watch waits for it stays active', async () => {
    const id = await newWebhook();
    for (const hours of [0, 13]) {
      await settleAttempts(id, [{ result: 'failure', operational: false, at: BEGIN + hours * HOUR }]);
    }
    const locked = Promise.withResolvers<void>();
    const looks = Promise.withResolvers<void>();
    const success = database.transaction(async (sql) => {
      await sql.query(
        `update webhook_health set consecutive_failures = 0, failing_since = null, disable_at = null
        where webhook_id = $1`,
        [id],
      );
      locked.resolve();
      await looks.promise;
    });
    await locked.promise;
    const look = disableOverdue(database.sql, BEGIN + 25 * HOUR, 500);
    await waitsForALock();
    looks.resolve();
    await success;
    expect(await look).toEqual({ disabled: [], hasMore: false });
    expect((await stored(id)).status).toBe('ACTIVE');
    await webhooks.delete(tenantId, id);
  });
});

const waitsForALock = async (): Promise<void> => {
  const beside = await openDatabase({ url: own.url, poolSize: 1, schema });
  try {
    await until('a lock', async () => {
      const [row] = await beside.sql.query<{ waits: boolean }>(
        `select exists (select from pg_stat_activity
           where datname = current_database() and wait_event_type = 'Lock') as waits`,
      );
      return row!.waits;
    });
  } finally {
    await beside.close();
  }
};

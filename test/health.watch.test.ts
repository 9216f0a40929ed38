import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { schema } from '../mikro-orm.config.ts';
import type { Ring } from '../src/domain/deliveries/bell.ts';
import { settle } from '../src/domain/deliveries/settlement.ts';
import type { Publisher } from '../src/domain/events/event.ts';
import { createPublisher } from '../src/domain/events/publisher.ts';
import { bootstrapTenant } from '../src/domain/tenants/bootstrap.ts';
import { HealthFeed } from '../src/domain/webhooks/healthFeed.ts';
import type { Webhook } from '../src/domain/webhooks/webhook.ts';
import { WebhookList } from '../src/domain/webhooks/webhookList.ts';
import { Webhooks } from '../src/domain/webhooks/webhooks.ts';
import { HealthWatch } from '../src/jobs/healthWatch.ts';
import { openDatabase } from '../src/platform/database.ts';
import type { Database } from '../src/platform/database.ts';
import { newId } from '../src/platform/ids.ts';
import { openNotifications } from '../src/platform/notifications.ts';
import type { Notifications } from '../src/platform/notifications.ts';
import { SecretBox } from '../src/platform/secrets.ts';
import { createTestDatabase } from './harness/database.ts';
import type { TestDatabase } from './harness/database.ts';
import { until } from './harness/program.ts';

const log = pino({ level: 'debug' }, new Writable({ write: (_line, _encoding, done) => done() }));

const box = new SecretBox(Buffer.alloc(32, 7));
const RULES = { checkUrl: () => null, checkExpression: async () => null, headerPrefix: 'X-Alga-' };

let own: TestDatabase;
let database: Database;
let notifications: Notifications;
let webhooks: Webhooks;
let tenantId: string;
let rings: Ring[] = [];
let changedConfigurations: string[] = [];
const bell = {
  ring: (some: readonly Ring[]) => void rings.push(...some),
  configurationChanged: (id: string) => void changedConfigurations.push(id),
};

beforeAll(async () => {
  own = await createTestDatabase();
  database = await openDatabase({ url: own.url, poolSize: 6, schema });
  notifications = await openNotifications(own.url, log);
  await bootstrapTenant(database, 'default', 'a-key-of-nobody-0123456789abcdefghijk');
  tenantId = (await database.sql.query<{ id: string }>(`select id from tenant`))[0]!.id;
  webhooks = new Webhooks(database, box, bell, { tell: () => undefined }, RULES);
});
afterAll(async () => {
  await notifications.close();
  await database.close();
  await own.drop();
});

const publisher = (): Publisher => createPublisher({ database, bell, now: Date.now, mend: async () => false });

const watch = (by: Pick<Publisher, 'publishIn'> = publisher(), tell: HealthFeed['tell'] = () => undefined) =>
  new HealthWatch({ database, publisher: by, bell, healthFeed: { tell }, log, mend: async () => false });

const newWebhook = async (eventTypes = ['a.b']): Promise<string> =>
  (await webhooks.create(tenantId, { name: 'A', url: 'https://a.example/x', eventTypes })).webhook.id;

/** Settles an attempt of a delivery of its own, which opens or closes the circuit. */
const attempted = async (webhookId: string, isOk: boolean, circuitUntil: number | null | undefined): Promise<void> => {
  const deliveryId = newId();
  await database.sql.query(
    `insert into delivery_open (id, tenant_id, webhook_id, event_id, event_type, next_at, created_at, expires_at)
     values ($1, $2, $3, $1, 'a.b', now(), now(), now())`,
    [deliveryId, tenantId, webhookId],
  );
  await settle(database.sql, [
    {
      deliveryId,
      webhookId,
      webhookName: 'A',
      eventId: deliveryId,
      eventType: 'a.b',
      isTest: false,
      isForward: false,
      attemptsBefore: 0,
      status: isOk ? 'DELIVERED' : 'ABANDONED',
      nextAt: null,
      countsAsFailure: !isOk,
      keepsPlace: false,
      circuitUntil,
      heldUntil: null,
      isGone: false,
      attempt: {
        trigger: 'INITIAL',
        startedAt: Date.now(),
        durationMs: 0,
        requestHeaders: [],
        responseStatus: isOk ? 200 : 500,
        responseHeaders: [],
        responseBody: null,
        responseTruncated: false,
      },
      error: isOk ? null : { code: 'HTTP_STATUS', message: 'No.' },
    },
  ]);
};

const failed = (webhookId: string): Promise<void> => attempted(webhookId, false, undefined);

/** Announcements of one webhook, numbered by their failures. */
const announce = async (webhookId: string, count: number): Promise<void> => {
  await database.sql.query(
    `insert into operational_outbox (tenant_id, webhook_id, type, detail)
     select $1, $2, 'webhook.failing', json_build_object('failures', n, 'since', 0)::text from generate_series(1, $3::int) as n`,
    [tenantId, webhookId, count],
  );
};

/** The numbers of what was published, in the order of publishing. */
const published = async (): Promise<number[]> =>
  (await database.sql.query<{ body: string }>(`select body from event where type = 'webhook.failing' order by id`)).map(
    ({ body }) => (JSON.parse(body) as { data: { consecutive_failures: number } }).data.consecutive_failures,
  );

const left = async (): Promise<number> =>
  (await database.sql.query<{ count: number }>(`select count(*)::integer as count from operational_outbox`))[0]!.count;

const forgetEvents = () => database.sql.query(`delete from event`);

describe('the health watch', () => {
  it('publishes each announcement once and in order, though several work at once', async () => {
    const id = await newWebhook();
    await announce(id, 1_700);
    await until('an empty outbox', async () => {
      await Promise.all([watch(), watch(), watch()].map((one) => one.runOnce()));
      return (await left()) === 0;
    });
    expect(await published()).toEqual(Array.from({ length: 1_700 }, (_, n) => n + 1));
    await forgetEvents();
  });

  it('that dies while it publishes has published nothing, and its successor does', async () => {
    const id = await newWebhook();
    await announce(id, 3);
    const dies: Pick<Publisher, 'publishIn'> = {
      publishIn: async (...args) => {
        await publisher().publishIn(...args);
        throw new Error('dead');
      },
    };
    await expect(watch(dies).runOnce()).rejects.toThrow('dead');
    expect([await left(), await published()]).toEqual([3, []]);
    await watch().runOnce();
    expect([await left(), await published()]).toEqual([0, [1, 2, 3]]);
    await forgetEvents();
  });

  it('goes on by itself after a failure, and with what nobody poked it about', async () => {
    let isDown = true;
    const sometimes: Pick<Publisher, 'publishIn'> = {
      publishIn: (...args) => (isDown ? Promise.reject(new Error('down')) : publisher().publishIn(...args)),
    };
    const own = watch(sometimes);
    own.start();
    try {
      await announce(await newWebhook(), 1);
      own.poke();
      isDown = false;
      await until('the news', async () => (await published()).length === 1);
      await announce(await newWebhook(), 1);
      await until('more news', async () => (await published()).length === 2);
    } finally {
      await own.stop();
    }
    await forgetEvents();
  });

  it('names no webhook that is gone, and says so', async () => {
    const id = await newWebhook();
    await announce(id, 1);
    await webhooks.delete(tenantId, id);
    await watch().runOnce();
    const [event] = await database.sql.query<{ body: string }>(`select body from event`);
    expect(JSON.parse(event!.body)).toMatchObject({ data: { webhook_name: null, host: null } });
    await forgetEvents();
  });

  it('hands on the hops of the event whose delivery was abandoned', async () => {
    const id = await newWebhook();
    const failed = newId();
    await database.sql.query(
      `insert into event (id, tenant_id, type, source, hops, occurred_at, published_at, body)
       values ($1, $2, 'a.b', 'api', 4, now(), now(), '{}')`,
      [failed, tenantId],
    );
    await database.sql.query(
      `insert into operational_outbox (tenant_id, webhook_id, type, detail) values ($1, $2, 'delivery.abandoned', $3)`,
      [tenantId, id, JSON.stringify({ delivery: newId(), event: failed, type: 'a.b', attempts: 1 })],
    );
    await announce(id, 1);
    await watch().runOnce();
    const events = await database.sql.query(`select type, hops from event where source = 'hookgraph' order by hops`);
    expect(events).toEqual([
      { type: 'webhook.failing', hops: 0 },
      { type: 'delivery.abandoned', hops: 4 },
    ]);
    await forgetEvents();
  });

  it('disables all that are overdue, and tells lanes and followers of each', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 12; n++) ids.push(await newWebhook());
    await database.sql.query(
      `update webhook_health set consecutive_failures = 2, failing_since = from_epoch_ms(0), disable_at = from_epoch_ms(1000)
       where webhook_id = any($1::uuid[])`,
      [ids],
    );
    [rings, changedConfigurations] = [[], []];
    const told: string[] = [];
    const one = watch(publisher(), (changes) => void told.push(...changes.map(({ webhookId }) => webhookId)));
    await one.runOnce(999);
    expect(told).toEqual([]);
    await one.runOnce(1_000);
    for (const heard of [told, changedConfigurations, rings.map(({ webhookId }) => webhookId)]) {
      expect(heard.sort()).toEqual(ids.sort());
    }
    const events = await database.sql.query(`select from event where type = 'webhook.disabled'`);
    expect(events).toHaveLength(12);
    await forgetEvents();
  });
});

describe('a follower of health', () => {
  const newFeed = (channel: Pick<Notifications, 'on'>): HealthFeed => {
    const list = new WebhookList(database);
    return new HealthFeed({
      database,
      notifications: channel as Notifications,
      log,
      find: async (tenant, id) => (await list.find(tenant, [id]))[0],
    });
  };
  const take = async (follower: AsyncGenerator<Webhook>, count: number): Promise<string[]> => {
    const ids: string[] = [];
    for (let n = 0; n < count; n++) ids.push((await follower.next()).value!.id);
    return ids;
  };

  /** All that is told by now has come over the connection that feeds listen on. */
  const heardSoFar = async (): Promise<void> => {
    const last = `${newId()} ${newId()}`;
    const heard = new Promise<void>((resolve) => {
      notifications.on(
        'hookgraph_health',
        (payload) => payload === last && resolve(),
        () => undefined,
      );
    });
    await database.sql.query(`select pg_notify('hookgraph_health', $1)`, [last]);
    await heard;
  };

  it('that is slower than the changes gets each webhook once, as it is last', async () => {
    const feed = newFeed(notifications);
    const [a, b] = [await newWebhook(), await newWebhook()];
    const ended = new AbortController();
    const follower = feed.subscribe(tenantId, null, ended.signal);
    const first = follower.next();
    feed.tell([{ tenantId, webhookId: a }]);
    expect((await first).value!.id).toBe(a);
    for (const status of ['PAUSED', 'ACTIVE', 'DISABLED'] as const) {
      await webhooks.update(tenantId, a, { status });
      feed.tell([a, b].map((webhookId) => ({ tenantId, webhookId })));
    }
    await feed.close();
    await heardSoFar();
    const [one, other] = [(await follower.next()).value!, (await follower.next()).value!];
    expect(new Set([one.id, other.id])).toEqual(new Set([a, b]));
    expect([one, other].find(({ id }) => id === a)!.status).toBe('DISABLED');
    const waiting = follower.next();
    ended.abort();
    expect(await waiting).toEqual({ done: true, value: undefined });
  });

  it('whose notifications were lost is told what changed meanwhile', async () => {
    let gap: () => void = () => undefined;
    const feed = newFeed({ on: (_channel, _heard, missed) => (gap = missed) });
    await database.sql.query(`update webhook_health set changed_at = null`);
    const [a, b] = [await newWebhook(), await newWebhook()];
    const all = feed.subscribe(tenantId, null, new AbortController().signal);
    const one = feed.subscribe(tenantId, b, new AbortController().signal);
    const [firstOfAll, firstOfOne] = [all.next(), one.next()];
    await webhooks.update(tenantId, a, { isActive: false });
    gap();
    expect((await firstOfAll).value!.id).toBe(a);
    expect((await firstOfOne).value!.id).toBe(b);
    await all.return();
    await one.return();
    await feed.close();
  });

  it('whose notifications were lost is told of circuits that opened or closed meanwhile', async () => {
    let gap: () => void = () => undefined;
    const told: string[] = [];
    const feed = newFeed({ on: (_channel, _heard, missed) => (gap = missed) });
    const all = feed.subscribe(tenantId, null, new AbortController().signal);
    const missed = async (change: () => Promise<unknown>): Promise<string> => {
      await database.sql.query(`update webhook_health set changed_at = null`);
      const next = all.next();
      await change();
      gap();
      return (await next).value!.id;
    };
    const [opening, closing, moving] = [await newWebhook(), await newWebhook(), await newWebhook()];
    // A failure of many, and a first success: nothing but the circuit is another than before.
    await failed(opening);
    expect(await missed(() => attempted(opening, false, Date.now() + 30_000))).toBe(opening);
    expect(await missed(() => attempted(closing, true, null))).toBe(closing);
    await failed(moving);
    await attempted(moving, false, Date.now() + 30_000);
    expect(
      await missed(async () => {
        const own = new Webhooks(
          database,
          box,
          bell,
          { tell: (some) => told.push(...some.map((one) => one.webhookId)) },
          RULES,
        );
        await own.update(tenantId, moving, { url: 'https://b.example/x' });
        await own.update(tenantId, moving, { url: 'https://c.example/x' });
      }),
    ).toBe(moving);
    expect(told).toEqual([moving]);
    await all.return();
    await feed.close();
  });

  it('is told all of more webhooks than a page or a notification holds', async () => {
    const feed = newFeed(notifications);
    const ids: string[] = [];
    for (let n = 0; n < 120; n++) ids.push(await newWebhook());
    const follower = feed.subscribe(tenantId, null, new AbortController().signal);
    const first = take(follower, 120);
    feed.tell(ids.map((webhookId) => ({ tenantId, webhookId })));
    expect((await first).sort()).toEqual(ids.sort());
    await follower.return();
    await feed.close();
  });
});

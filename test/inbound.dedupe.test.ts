import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runSql } from './harness/database.ts';
import { inboundOf, post, sign } from './harness/inbound.ts';
import { spawnProgram } from './harness/program.ts';
import type { ProgramProcess } from './harness/program.ts';
import { useScene } from './harness/scene.ts';

// Nobody dispatches, so that what is accepted stays as it was accepted.
const scene = useScene({ HOOKGRAPH_ROLES: 'api,receiver' });
let inbound: ReturnType<typeof inboundOf>;
let other: ProgramProcess;
beforeAll(async () => {
  inbound = inboundOf(scene.tenant);
  other = await spawnProgram(scene.database.url, { HOOKGRAPH_ROLES: 'receiver' });
});
afterAll(() => other.stop());

const BY_HEADER = { idempotencySource: { type: 'HEADER', value: 'X-Key' } };
const FORWARDED = { url: 'https://example.com/' };

describe('requests with one key', () => {
  it('count once, though a hundred come at once to two processes', async () => {
    const { id, slugUrl } = await inbound.create({ ...BY_HEADER, ...FORWARDED, rateLimitPerMinute: 60_000 });
    const there = slugUrl.replace(scene.program.url, other.url);
    for (let round = 0; round < 3; round++) {
      const replies = await Promise.all(
        Array.from({ length: 100 }, (_, n) =>
          post(n % 2 ? slugUrl : there, `{"n":${n}}`, {
            'x-key': `the key ${round}`,
            'x-signature': sign(`{"n":${n}}`),
          }),
        ),
      );
      expect(replies.filter(({ status }) => status === 200)).toHaveLength(100);
      const first = replies.filter(({ json }) => json.duplicate !== true);
      expect(first).toHaveLength(1);
      for (const { json } of replies) expect(json.delivery_id).toBe(first[0]!.json.delivery_id);
      const kept = (await inbound.deliveries({ inboundWebhookId: id })).filter(
        ({ idempotencyKey }) => idempotencyKey === `the key ${round}`,
      );
      expect(kept.filter(({ dispatchStatus }) => dispatchStatus === 'PENDING')).toHaveLength(1);
      const duplicates = kept.filter(({ dispatchStatus }) => dispatchStatus === 'DUPLICATE');
      for (const { duplicateOf } of duplicates) expect(duplicateOf).toEqual({ id: first[0]!.json.delivery_id });
    }
    const { inboundDeliveries } = await scene.tenant.graphql(
      `query ($id: ID!) { inboundDeliveries(filter: { inboundWebhookId: $id, dispatchStatus: [DUPLICATE] }) { totalCount } }`,
      { id },
    );
    expect(inboundDeliveries.totalCount).toBe(297);
  });

  it('are those of one webhook alone', async () => {
    const [one, two] = [await inbound.create(BY_HEADER), await inbound.create(BY_HEADER)];
    expect((await post(one.slugUrl, '{}', { 'x-key': 'same' })).json.duplicate).toBeUndefined();
    expect((await post(two.slugUrl, '{}', { 'x-key': 'same' })).json.duplicate).toBeUndefined();
    expect((await post(one.receiveUrl, '{}', { 'x-key': ' same ' })).json.duplicate).toBe(true);
  });

  it('count again once the window is over, which does not slide', async () => {
    const { id, slugUrl } = await inbound.create({ ...BY_HEADER, idempotencyWindowSeconds: 3_600 });
    const send = async () => (await post(slugUrl, '{}', { 'x-key': 'key' })).json;
    const first = await send();
    const age = (seconds: number) =>
      runSql(
        scene.database.url,
        `update inbound_key set expires_at = expires_at - $1 * interval '1 s' where delivery_id in
        (select id from inbound_delivery where idempotency_key = 'key')`,
        [seconds],
      );
    await age(1_800);
    expect(await send()).toEqual({ delivery_id: first.delivery_id, duplicate: true });
    await age(1_801);
    const second = await send();
    expect(second).toEqual({ delivery_id: expect.not.stringContaining(first.delivery_id) });
    expect(await send()).toEqual({ delivery_id: second.delivery_id, duplicate: true });
    expect((await inbound.deliveries({ inboundWebhookId: id })).map(({ dispatchStatus }) => dispatchStatus)).toEqual([
      'DUPLICATE',
      'DISPATCHED',
      'DUPLICATE',
      'DISPATCHED',
    ]);
  });

  it('that were refused count for nothing', async () => {
    const { slugUrl } = await inbound.create({ ...BY_HEADER, rateLimitPerMinute: 1 });
    expect((await post(slugUrl, '{}', { 'x-key': 'key', 'x-signature': 'wrong' })).status).toBe(401);
    expect((await post(slugUrl, 'no', { 'x-key': 'key' })).status).toBe(400);
    expect((await post(slugUrl, '{}', { 'x-key': 'key' })).status).toBe(429);
    const { id } = await inbound.create({ ...BY_HEADER, slug: 'again' });
    const again = `${scene.program.url}/api/inbound/default/again`;
    expect((await post(again, 'no', { 'x-key': 'key' })).status).toBe(400);
    expect((await post(again, '{}', { 'x-key': 'key' })).json.duplicate).toBeUndefined();
    expect(await inbound.reached(id, 'DISPATCHED')).toHaveLength(1);
  });
});

describe('a key', () => {
  it('is found in the body too, whatever its type; without one every request counts', async () => {
    const { id, slugUrl } = await inbound.create({ idempotencySource: { type: 'JSONATA', value: 'meta.`event-id`' } });
    const keys = ['"text"', '7', 'true', '{"a":1}', '"x' + 'é'.repeat(500) + '"'];
    for (const key of keys) {
      const body = `{"meta":{"event-id":${key}}}`;
      expect((await post(slugUrl, body)).json.duplicate, key).toBeUndefined();
      expect((await post(slugUrl, body)).json.duplicate, key).toBe(true);
    }
    for (const id64 of ['9007199254740992', '9007199254740993', '1234567890123456788', '1234567890123456789']) {
      expect((await post(slugUrl, `{"meta":{"event-id":${id64}}}`)).json.duplicate, id64).toBeUndefined();
      keys.push(id64);
    }
    for (const body of ['{}', '{"meta":{"event-id":null}}', '{"meta":{"event-id":" "}}', '[]', '', '"text"']) {
      expect((await post(slugUrl, body)).json.duplicate, body).toBeUndefined();
      expect((await post(slugUrl, body)).json.duplicate, body).toBeUndefined();
    }
    const shown = (await inbound.deliveries({ inboundWebhookId: id })).map(({ idempotencyKey }) => idempotencyKey);
    expect(new Set(shown)).toEqual(
      new Set(['text', '7', 'true', '{"a":1}', `x${'é'.repeat(254)}`, ...keys.slice(5), null]),
    );
  });

  it('may be what an expression makes of the body', async () => {
    const { slugUrl } = await inbound.create({ idempotencySource: { type: 'JSONATA', value: "a & '/' & b" } });
    expect((await post(slugUrl, '{"a":1,"b":2}')).json.duplicate).toBeUndefined();
    expect((await post(slugUrl, '{"b":2,"a":1,"c":3}')).json.duplicate).toBe(true);
    expect((await post(slugUrl, '{"a":2,"b":1}')).json.duplicate).toBeUndefined();
  });

  it('of a request that is ignored counts as well', async () => {
    const { slugUrl } = await inbound.create({ ...BY_HEADER, events: ['wanted'] });
    const first = await post(slugUrl, '{}', { 'x-key': 'key' });
    expect((await post(slugUrl, '{}', { 'x-key': 'key' })).json).toEqual({ ...first.json, duplicate: true });
  });
});

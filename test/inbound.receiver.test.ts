import { createHmac, randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { Webhook } from 'standardwebhooks';
import { beforeAll, describe, expect, it } from 'vitest';
import { inboundOf, post, sign } from './harness/inbound.ts';
import { startTestProgram, until } from './harness/program.ts';
import { useScene } from './harness/scene.ts';

const scene = useScene({ HOOKGRAPH_MAX_BODY_BYTES: '65536' });
let inbound: ReturnType<typeof inboundOf>;
beforeAll(() => {
  inbound = inboundOf(scene.tenant);
});

/** Sends bytes as they are; answers everything that came back until the server closed. */
const raw = (text: string | Buffer): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(scene.program.url).port), '127.0.0.1', () => socket.end(text));
    let answer = '';
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });

const headOf = (reply: { status: number; headers: Headers; text: string }) => ({
  status: reply.status,
  text: reply.text,
  headers: [...reply.headers].filter(([name]) => name !== 'date'),
});

describe('a request to an inbound webhook', () => {
  it('is answered 200 with the id of its delivery, which is there by then', async () => {
    const { id, slugUrl } = await inbound.create();
    const reply = await post(slugUrl, '{"type":"Order.Paid","n":1}', { 'x-other': 'kept' });
    expect(reply).toMatchObject({ status: 200, json: { delivery_id: expect.stringMatching(/^idl_/) } });
    expect(Object.keys(reply.json)).toEqual(['delivery_id']);
    const [delivery] = await inbound.deliveries({ inboundWebhookId: id });
    expect(delivery).toMatchObject({
      id: reply.json.delivery_id,
      eventType: 'Order.Paid',
      authStatus: 'VERIFIED',
      dispatchStatus: 'DISPATCHED',
      requestMethod: 'POST',
      requestPath: new URL(slugUrl).pathname,
      requestBody: { type: 'Order.Paid', n: 1 },
      sourceIp: '127.0.0.1',
      responseStatus: 200,
      isTest: false,
      isReplay: false,
      inboundWebhook: { id },
    });
    expect(delivery.requestHeaders).toMatchObject({ 'x-other': 'kept', 'content-type': 'application/json' });
  });

  it('has its headers recorded by their names in lower case, repeated ones together, whatever they are called', async () => {
    const { id, slugUrl } = await inbound.create();
    const body = '{"n":1}';
    const headers = { 'X-Note': ['one', 'two'], Constructor: 'three', 'X-Signature': sign(body) };
    const status = await new Promise((resolve, reject) => {
      request(slugUrl, { method: 'POST', headers }, (reply) => resolve(reply.resume().statusCode))
        .on('error', reject)
        .end(body);
    });
    expect(status).toBe(200);
    const [delivery] = await inbound.deliveries({ inboundWebhookId: id });
    expect(delivery.requestHeaders).toMatchObject({ 'x-note': 'one, two', constructor: 'three' });
  });

  it('reaches the same webhook by slug and by id, with POST, PUT and PATCH', async () => {
    const { id, slugUrl, receiveUrl } = await inbound.create();
    for (const url of [slugUrl, receiveUrl]) {
      for (const method of ['POST', 'PUT', 'PATCH']) {
        expect((await post(url, `{"m":"${method}"}`, {}, method)).status).toBe(200);
      }
    }
    const all = await inbound.deliveries({ inboundWebhookId: id });
    expect(all.map(({ requestMethod }) => requestMethod)).toEqual(['PATCH', 'PUT', 'POST', 'PATCH', 'PUT', 'POST']);
    await until('six counted', async () => (await inbound.webhook(id)).deliveryCount === 6);
    expect(Date.parse((await inbound.webhook(id)).lastDeliveryAt)).toBeGreaterThan(Date.now() - 60_000);
  });

  it.each([
    ['an empty body', '', 'application/json', null],
    ['blanks', ' \n', 'application/json', null],
    ['a number', '7', 'application/json', 7],
    ['a text', '"\\u0000 and \\ud800"', 'text/plain', '\0 and \ud800'],
    [
      'whole numbers of any length',
      '[9007199254740993,-0,1e21,4e-2,1e999]',
      'text/plain',
      ['9007199254740993', 0, 1e21, 0.04, null],
    ],
    ['an array', '[1,[2]]', 'application/vnd.thing+json', [1, [2]]],
    ['JSON without a type', '{"a":{"b":null}}', null, { a: { b: null } }],
    ['JSON behind a byte order mark', '\uFEFF{"a":1}', 'application/json', { a: 1 }],
    ['a form', 'b=2&a=x+y&a=%C3%A9', 'application/x-www-form-urlencoded', { b: '2', a: ['x y', 'é'] }],
    ['an empty form', '', 'application/x-www-form-urlencoded', null],
    ['a form with a payload', 'payload=%7B%22a%22%3A1%7D', 'application/x-www-form-urlencoded', { payload: { a: 1 } }],
  ])('may be %s', async (_what, body, contentType, value) => {
    const { id, slugUrl } = await inbound.create();
    const reply = await post(slugUrl, Buffer.from(body), { 'content-type': contentType });
    expect(reply.status).toBe(200);
    const [delivery] = await inbound.deliveries({ inboundWebhookId: id });
    expect(delivery.requestBody).toEqual(value);
  });

  it('is 400 where it is verified and no JSON, which is recorded without the body', async () => {
    const { id, slugUrl } = await inbound.create();
    for (const body of ['{', 'no json', '['.repeat(10_000), '{"a":'.repeat(600) + '1' + '}'.repeat(600)]) {
      expect(await post(slugUrl, body)).toMatchObject({ status: 400, json: { error: 'invalid_json' } });
    }
    const payload = encodeURIComponent('['.repeat(5_000) + ']'.repeat(5_000));
    const form = await post(slugUrl, `payload=${payload}`, { 'content-type': 'application/x-www-form-urlencoded' });
    expect(form.status).toBe(400);
    const rejected = await inbound.reached(id, 'REJECTED', 5);
    expect(rejected[0]).toMatchObject({ authStatus: 'VERIFIED', responseStatus: 400, requestBody: null });
    await until('five counted', async () => countOf(await inbound.webhook(id), 'INVALID_BODY') === 5);
  });

  it('is 413 beyond the limit, announced or not, and 200 at it', async () => {
    const { id, slugUrl } = await inbound.create();
    const at = `"${'x'.repeat(65_534)}"`;
    expect((await post(slugUrl, at)).status).toBe(200);
    expect(await post(slugUrl, `${at} `)).toMatchObject({ status: 413, json: { error: 'too_large' } });
    const path = new URL(slugUrl).pathname;
    const chunk = `${(32_768).toString(16)}\r\n${'x'.repeat(32_768)}\r\n`;
    const answer = await raw(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${chunk.repeat(4)}0\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1.1 413 /);
    await inbound.reached(id, 'REJECTED', 2);
    expect((await post(slugUrl.replace('/api/inbound/', '/api/inbound/nobody-'), `${at} `)).status).toBe(413);
  });

  it('is 415 where it is multipart or encoded', async () => {
    const { id, slugUrl } = await inbound.create();
    const body = gzipSync('{}');
    for (const headers of [
      { 'content-type': 'multipart/form-data; boundary=x' },
      { 'content-encoding': 'gzip', 'x-signature': sign(body) },
      { 'content-encoding': 'unheard-of' },
    ] as Record<string, string>[]) {
      expect(await post(slugUrl, body, headers)).toMatchObject({ status: 415 });
      expect(await post(`${scene.program.url}/api/inbound/default/nowhere`, body, headers)).toMatchObject({
        status: 415,
      });
    }
    expect((await post(slugUrl, '{}', { 'content-encoding': 'identity' })).status).toBe(200);
    await inbound.reached(id, 'REJECTED', 3);
    await until('three counted', async () => countOf(await inbound.webhook(id), 'UNSUPPORTED') === 3);
  });

  it('is the same 405 for every other method, whether or not the address leads anywhere', async () => {
    const { slugUrl } = await inbound.create();
    for (const method of ['GET', 'DELETE', 'OPTIONS', 'HEAD']) {
      const here = await post(slugUrl, '{}', {}, method);
      const nowhere = await post(`${scene.program.url}/api/inbound/default/nowhere`, '{}', {}, method);
      expect(here.status).toBe(405);
      expect(here.headers.get('allow')).toBe('POST, PUT, PATCH');
      expect(headOf(here)).toEqual(headOf(nowhere));
    }
  });

  it('is counted where its method is another, and recorded the first twenty times a minute', async () => {
    const { id, slugUrl } = await inbound.create();
    await until('a minute with room', () => Date.now() % 60_000 < 50_000, 20_000);
    await Promise.all(
      Array.from({ length: 30 }, (_, n) => post(`${slugUrl}?token=x`, '{}', {}, n % 2 === 0 ? 'GET' : 'DELETE')),
    );
    expect(countOf(await inbound.webhook(id), 'METHOD')).toBe(30);
    const recorded = await inbound.deliveries({ inboundWebhookId: id });
    expect(recorded).toHaveLength(20);
    for (const one of recorded) {
      expect(one).toMatchObject({
        requestMethod: expect.stringMatching(/^(GET|DELETE)$/),
        requestPath: expect.stringMatching(/\?token=\*{3}$/),
        authStatus: 'NOT_CHECKED',
        dispatchStatus: 'REJECTED',
        responseStatus: 405,
        requestBody: null,
      });
    }
  });

  it('is 404 only where nobody could have an address', async () => {
    for (const path of [
      '/api/inbound/',
      '/api/inbound/default',
      '/api/inbound/default/a/b',
      '/api/v1/webhooks/',
      '/api',
    ]) {
      expect((await post(`${scene.program.url}${path}`)).status).toBe(404);
    }
  });

  it('keeps its type and goes on with its hops, up to five', async () => {
    const { id, slugUrl } = await inbound.create();
    expect((await post(slugUrl, '{}', { 'x-alga-hops': '4' })).status).toBe(200);
    expect((await post(slugUrl, '{}', { 'x-alga-hops': '5' })).status).toBe(200);
    expect((await post(slugUrl, '{}', { 'x-alga-hops': 'many' })).status).toBe(200);
    for (const hops of ['99999999999', '4, 5', 'many, 7']) {
      const { id, slugUrl } = await inbound.create();
      expect((await post(slugUrl, '{}', { 'x-alga-hops': hops })).status).toBe(200);
      expect((await inbound.deliveries({ inboundWebhookId: id }))[0].dispatchStatus).toBe('IGNORED');
    }
    const statuses = (await inbound.deliveries({ inboundWebhookId: id })).map(({ dispatchStatus }) => dispatchStatus);
    expect(statuses).toEqual(['DISPATCHED', 'IGNORED', 'DISPATCHED']);
  });

  it('of a type outside the allowlist is kept, ignored and answered 200; case and blanks do not matter', async () => {
    const { id, slugUrl } = await inbound.create({ events: [' Order.Paid ', 'order.paid', 'ORDER.SENT'] });
    expect((await inbound.webhook(id)).events).toEqual(['order.paid', 'order.sent']);
    for (const body of ['{"type":" ORDER.paid "}', '{"type":"other"}', '{}']) {
      expect((await post(slugUrl, body)).status).toBe(200);
    }
    const all = await inbound.deliveries({ inboundWebhookId: id });
    expect(all.map(({ eventType, dispatchStatus }) => [eventType, dispatchStatus])).toEqual([
      [null, 'IGNORED'],
      ['other', 'IGNORED'],
      ['ORDER.paid', 'DISPATCHED'],
    ]);
  });

  it('tells its type where the settings say', async () => {
    const byHeader = await inbound.create({ eventTypeSource: { type: 'HEADER', value: 'X-Event-Type' } });
    await post(byHeader.slugUrl, '{"type":"no"}', { 'x-event-type': 'by.header' });
    const byPath = await inbound.create({ eventTypeSource: { type: 'JSONATA', value: 'meta.kinds[1]' } });
    await post(byPath.slugUrl, '{"type":"no","meta":{"kinds":["a","by.path"]}}');
    const byExpression = await inbound.create({
      eventTypeSource: { type: 'JSONATA', value: "$lowercase(kind) & '.' & items[id = 2].name" },
    });
    await post(byExpression.slugUrl, '{"kind":"BY","items":[{"id":1},{"id":2,"name":"expression"}]}');
    const byEndless = await inbound.create({
      eventTypeSource: { type: 'JSONATA', value: '($f := function($n) { $f($n + 1) }; $f(0))' },
    });
    expect((await post(byEndless.slugUrl)).status).toBe(200);
    const byHabit = await inbound.create();
    await post(byHabit.slugUrl, '{"event":"by.habit","event_type":"no"}');
    const types = await Promise.all(
      [byHeader, byPath, byExpression, byEndless, byHabit].map(
        async ({ id }) => (await inbound.deliveries({ inboundWebhookId: id }))[0].eventType,
      ),
    );
    expect(types).toEqual(['by.header', 'by.path', 'by.expression', null, 'by.habit']);
    expect(byHeader.answer.inboundWebhook.eventTypeSource).toEqual({ type: 'HEADER', value: 'X-Event-Type' });
  });
});

describe('whoever is not the sender', () => {
  it('gets the same empty 401 for a wrong signature, a paused webhook and an address that leads nowhere', async () => {
    const wrong = await inbound.create();
    const paused = await inbound.create();
    const disabled = await inbound.create({ isActive: false });
    await inbound.update(paused.id, { isActive: false });
    const base = scene.program.url;
    const replies = [
      await post(wrong.slugUrl, '{}', { 'x-signature': sign('{} ') }),
      await post(wrong.slugUrl, 'no json', { 'x-signature': null }),
      await post(wrong.receiveUrl, '{}', { 'x-signature': 'x' }),
      await post(paused.slugUrl),
      await post(disabled.receiveUrl),
      await post(`${base}/api/inbound/default/nowhere`),
      await post(`${base}/api/inbound/nobody/nowhere`),
      await post(`${base}/api/inbound/NOT%20A/slug`),
      await post(`${base}/api/v1/webhooks/receive/${wrong.id.slice(0, -1)}`),
      await post(`${base}/api/v1/webhooks/receive/wh_01h455vb4pex5vsknk084sn02q`),
      await post(`${base}/api/v1/webhooks/linear`),
    ];
    expect(replies[0]).toMatchObject({ status: 401, text: '' });
    for (const reply of replies) expect(headOf(reply)).toEqual(headOf(replies[0]!));
    const [, rejected] = await inbound.reached(wrong.id, 'REJECTED', 3);
    expect(rejected).toMatchObject({ authStatus: 'REJECTED_NO_AUTH', requestBody: null, responseStatus: 401 });
    expect((await inbound.reached(paused.id, 'REJECTED'))[0]).toMatchObject({ authStatus: 'NOT_CHECKED' });
    expect(await inbound.deliveries({ inboundWebhookId: paused.id })).toHaveLength(1);
  });

  it('is counted every time, and recorded the first twenty times a minute', async () => {
    const { id, slugUrl } = await inbound.create();
    // Within one minute, whenever this runs.
    await until('a minute with room', () => Date.now() % 60_000 < 50_000, 20_000);
    await Promise.all(Array.from({ length: 60 }, () => post(slugUrl, '{}', { 'x-signature': 'wrong' })));
    await until('sixty counted', async () => countOf(await inbound.webhook(id), 'UNAUTHORIZED') === 60);
    expect(await inbound.deliveries({ inboundWebhookId: id })).toHaveLength(20);
    await post(slugUrl, '{}', { 'x-signature': null });
    await post(slugUrl, 'no json');
    const [other, another] = await inbound.deliveries({ inboundWebhookId: id });
    expect([another, other]).toMatchObject([{ authStatus: 'REJECTED_NO_AUTH' }, { responseStatus: 400 }]);
    expect((await inbound.webhook(id)).deliveryCount).toBe(0);
  });

  it('is told to whoever asks once it has its answer, and so is the count of those that are taken', async () => {
    const { id, slugUrl } = await inbound.create();
    for (let n = 1; n <= 3; n++) {
      await post(slugUrl, '{}', { 'x-signature': 'wrong' });
      expect(await inbound.deliveries({ inboundWebhookId: id, dispatchStatus: ['REJECTED'] })).toHaveLength(n);
      await post(slugUrl);
      const { deliveryCount, lastDeliveryAt } = await inbound.webhook(id);
      const [last] = await inbound.deliveries({ inboundWebhookId: id, authStatus: ['VERIFIED'] });
      expect({ deliveryCount, lastDeliveryAt }).toEqual({ deliveryCount: n, lastDeliveryAt: last.receivedAt });
    }
  });

  it('gets no credential of anybody into a record', async () => {
    const token = 'tok-4f8a2b6c9d1e';
    const bearer = await inbound.create({ auth: { type: 'BEARER', secret: token } });
    const query = await inbound.create({ auth: { type: 'QUERY_TOKEN', config: { param: 'Kennwort' }, secret: token } });
    const key = await inbound.create({ auth: { type: 'API_KEY', config: { header: 'X-Kennwort' }, secret: token } });
    const replies = [
      await post(bearer.slugUrl, '{}', { authorization: `Bearer ${token}`, 'x-copy': `the ${token}` }),
      await post(`${query.slugUrl}?a=1&Kennwort=${token}&api_key=other-secret`),
      await post(`${query.slugUrl}?Kennwort=${token}x`),
      await post(key.slugUrl, '{}', { 'x-kennwort': token, cookie: 'sid=cookie-secret' }),
    ];
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 401, 200]);
    await inbound.reached(query.id, 'REJECTED');
    const records = await Promise.all(
      [bearer, query, key].map(({ id }) => inbound.deliveries({ inboundWebhookId: id })),
    );
    const text = JSON.stringify(records);
    expect(text).not.toMatch(/tok-4f8a|other-secret|cookie-secret/);
    expect(records[1]!.at(-1)!.requestPath).toBe(`${new URL(query.slugUrl).pathname}?a=1&Kennwort=***&api_key=***`);
  });

  it('is told by hookgraph_inbound_requests_total alone at addresses that lead nowhere', async () => {
    const unknown = async (): Promise<number> =>
      Number(
        /hookgraph_inbound_requests_total\{outcome="unknown"\} (\d+)/.exec(
          await (await fetch(`${scene.program.url}/metrics`)).text(),
        )?.[1] ?? 0,
      );
    const before = await unknown();
    await post(`${scene.program.url}/api/inbound/default/nowhere-at-all`);
    expect(await unknown()).toBe(before + 1);
  });
});

describe('a rate limit', () => {
  it('is 429 with Retry-After for verified requests beyond it, and no other webhook’s concern', async () => {
    const limited = await inbound.create({ rateLimitPerMinute: 5 });
    const other = await inbound.create({ rateLimitPerMinute: 5 });
    for (let n = 0; n < 20; n++) await post(limited.slugUrl, '{}', { 'x-signature': 'wrong' });
    const replies = [];
    for (let n = 0; n < 7; n++) replies.push(await post(limited.slugUrl, `{"n":${n}}`));
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 429, 429]);
    const seconds = Number(replies[6]!.headers.get('retry-after'));
    expect(seconds).toBeGreaterThanOrEqual(1);
    expect(seconds).toBeLessThanOrEqual(12);
    expect((await post(other.slugUrl)).status).toBe(200);
    const [refused] = await inbound.reached(limited.id, 'RATE_LIMITED', 2);
    expect(refused).toMatchObject({ authStatus: 'VERIFIED', responseStatus: 429, requestBody: null });
  });
});

describe('verification', () => {
  it('takes what the official library of Standard Webhooks signs', async () => {
    const { id, slugUrl, secret } = await inbound.create({ auth: undefined });
    const body = '{"type":"a"}';
    const at = new Date();
    const signed = (webhookId: string) => ({
      'webhook-id': webhookId,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(secret).sign(webhookId, at, body),
    });
    expect((await post(slugUrl, body, signed('msg_1'))).status).toBe(200);
    expect((await post(slugUrl, body, { ...signed('msg_1'), 'webhook-id': 'msg_2' })).status).toBe(401);
    const old = new Date(at.getTime() - 301_000);
    const late = {
      'webhook-id': 'msg_3',
      'webhook-timestamp': String(Math.floor(old.getTime() / 1000)),
      'webhook-signature': new Webhook(secret).sign('msg_3', old, body),
    };
    expect((await post(slugUrl, body, late)).status).toBe(401);
    expect(new Set((await inbound.reached(id, 'REJECTED', 2)).map(({ authStatus }) => authStatus))).toEqual(
      new Set(['REJECTED_SIGNATURE', 'REJECTED_TIMESTAMP']),
    );
  });

  it('stops taking the old secret at once when it is rotated, and the old slug when that changes', async () => {
    const { id, slugUrl, receiveUrl } = await inbound.create();
    expect((await post(slugUrl)).status).toBe(200);
    expect(await inbound.rotate(id, 'another secret')).toEqual({ secret: 'another secret' });
    expect((await post(slugUrl)).status).toBe(401);
    const signed = { 'x-signature': sign('{}', 'another secret') };
    expect((await post(slugUrl, '{}', signed)).status).toBe(200);
    await inbound.update(id, { slug: `moved-${randomBytes(4).toString('hex')}` });
    expect((await post(slugUrl, '{}', signed)).status).toBe(401);
    expect((await post(receiveUrl, '{}', signed)).status).toBe(200);
  });

  it('heeds a change that another process made', async () => {
    const other = await startTestProgram(scene.database.url, { HOOKGRAPH_ROLES: 'receiver' });
    try {
      const { id, slugUrl } = await inbound.create();
      const there = slugUrl.replace(scene.program.url, other.url);
      for (let n = 0; n < 20; n++) {
        const secret = `secret number ${n}`;
        await inbound.rotate(id, secret);
        const [old, current] = await Promise.all([
          post(there, '{}', { 'x-signature': sign('{}', `secret number ${n - 1}`) }),
          post(there, '{}', { 'x-signature': sign('{}', secret) }),
        ]);
        expect(old.status).toBe(401);
        expect(current.status).toBe(200);
      }
      expect((await post(`${other.url}/graphql`)).status).toBe(404);
    } finally {
      await other.stop();
    }
  });

  it('goes by the address that trusted proxies forward, and by no other', async () => {
    const auth = { type: 'IP_ALLOWLIST', config: { cidrs: ['192.0.2.0/24', '2001:db8::/32'] } };
    const { id, slugUrl } = await inbound.create({ auth });
    const behind = await startTestProgram(scene.database.url, {
      HOOKGRAPH_ROLES: 'receiver',
      HOOKGRAPH_TRUSTED_PROXIES: '127.0.0.0/8,198.51.100.0/24',
    });
    const there = slugUrl.replace(scene.program.url, behind.url);
    const from = async (url: string, chain: string) => (await post(url, '{}', { 'x-forwarded-for': chain })).status;
    expect(await from(slugUrl, '192.0.2.7')).toBe(401);
    expect(await from(there, '192.0.2.7')).toBe(200);
    expect(await from(there, '203.0.113.5, 192.0.2.7, 198.51.100.1')).toBe(200);
    expect(await from(there, '[2001:db8::7]:4711')).toBe(200);
    expect(await from(there, '192.0.2.7, 203.0.113.5')).toBe(401);
    expect(await from(there, 'nonsense')).toBe(401);
    await behind.stop();
    const ips = (await inbound.deliveries({ inboundWebhookId: id, dispatchStatus: ['DISPATCHED'] })).map(
      ({ sourceIp }) => sourceIp,
    );
    expect(ips).toEqual(['2001:db8::7', '192.0.2.7', '192.0.2.7']);
  });

  it('is not for a process without the role', async () => {
    const api = await startTestProgram(scene.database.url, { HOOKGRAPH_ROLES: 'api' });
    const { slugUrl } = await inbound.create();
    expect((await post(slugUrl.replace(scene.program.url, api.url))).status).toBe(404);
    await api.stop();
  });
});

describe('a handshake', () => {
  it('is answered to a GET with the right token, and everything else is a 405', async () => {
    const { id, slugUrl } = await inbound.create({
      auth: { preset: 'meta', config: { verifyToken: 'the verify token' }, secret: 'a secret of the sender' },
    });
    const url = `${slugUrl}?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=`;
    const right = await post(`${url}the+verify+token`, '', {}, 'GET');
    expect(right).toMatchObject({ status: 200, text: '1158201444' });
    expect((await post(`${url}another`, '', {}, 'GET')).status).toBe(405);
    const [handshake] = await inbound.reached(id, 'HANDSHAKE');
    expect(handshake).toMatchObject({ authStatus: 'NOT_CHECKED', responseStatus: 200, requestMethod: 'GET' });
    expect(JSON.stringify(await inbound.deliveries({ inboundWebhookId: id }))).not.toMatch(/verify.token[^=]/);
    expect((await inbound.webhook(id)).deliveryCount).toBe(0);
  });

  it('that comes signed is answered once it is verified', async () => {
    const { id, slugUrl } = await inbound.create({ auth: { preset: 'slack', secret: 'a secret of the sender' } });
    const body = '{"type":"url_verification","challenge":"3eZbrw1a"}';
    const at = String(Math.floor(Date.now() / 1000));
    const signature = createHmac('sha256', 'a secret of the sender').update(`v0:${at}:${body}`).digest('hex');
    const headers = { 'x-slack-request-timestamp': at, 'x-slack-signature': `v0=${signature}` };
    expect(await post(slugUrl, body, headers)).toMatchObject({ status: 200, text: '3eZbrw1a' });
    expect((await post(slugUrl, body, { ...headers, 'x-slack-signature': 'v0=00' })).status).toBe(401);
    expect((await inbound.reached(id, 'HANDSHAKE'))[0]).toMatchObject({ authStatus: 'VERIFIED' });
  });
});

it('serves the built-in address of Linear by the first tenant’s webhook of that slug', async () => {
  const { id } = await inbound.create({ slug: 'linear', auth: { preset: 'linear', secret: 'a secret of the sender' } });
  const send = (webhookTimestamp: number) => {
    const body = JSON.stringify({ type: 'Issue', action: 'create', webhookTimestamp });
    return post(`${scene.program.url}/api/v1/webhooks/linear`, body, {
      'linear-signature': sign(body),
      'linear-delivery': randomBytes(8).toString('hex'),
    });
  };
  expect((await send(Date.now())).status).toBe(200);
  expect((await send(Date.now() - 61_000)).status).toBe(401);
  expect((await inbound.reached(id, 'DISPATCHED'))[0]).toMatchObject({ eventType: 'Issue' });
  await inbound.remove(id);
  expect((await send(Date.now())).status).toBe(401);
});

// oxlint-disable-next-line typescript/no-explicit-any
const countOf = (webhook: any, cause: string): number =>
  webhook.refusals.find((one: { cause: string }) => one.cause === cause).count;

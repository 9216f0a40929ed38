import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { selectSql } from './harness/database.ts';
import { DELIVERY, inboundOf, post, sign, WEBHOOK } from './harness/inbound.ts';
import { API_KEY, startTestProgram, until } from './harness/program.ts';
import { useScene } from './harness/scene.ts';
import { tenantOf } from './harness/tenant.ts';
import { standardVerifies } from './harness/verification.ts';

const scene = useScene();
let inbound: ReturnType<typeof inboundOf>;
beforeAll(() => {
  inbound = inboundOf(scene.tenant);
});

const SECRET = 'a secret of the sender';

describe('an inbound webhook', () => {
  it('needs no more than a name: Standard Webhooks with a generated secret, recording only', async () => {
    const created = await inbound.tryCreate({ name: '  Zürich: Bestellungen!  ' });
    expect(created.secret).toMatch(/^whsec_/);
    expect(Buffer.from(created.secret.slice(6), 'base64')).toHaveLength(32);
    expect(created.forwardSigningSecret).toBeNull();
    expect(created.inboundWebhook).toMatchObject({
      name: 'Zürich: Bestellungen!',
      slug: 'zurich-bestellungen',
      description: null,
      source: 'custom',
      status: 'ACTIVE',
      isActive: true,
      auth: { type: 'STANDARD_WEBHOOKS', preset: null, hasSecret: true },
      events: [],
      eventTypeSource: null,
      idempotencySource: null,
      idempotencyWindowSeconds: 86_400,
      handler: { type: 'RECORD', action: null, fieldMapping: null },
      url: null,
      rateLimitPerMinute: 600,
      samplePayload: null,
      sampleCaptureArmed: false,
      deliveryCount: 0,
      lastDeliveryAt: null,
    });
    const { id, slug, slugUrl, receiveUrl } = created.inboundWebhook;
    expect(slugUrl).toBe(`${scene.program.url}/api/inbound/default/${slug}`);
    expect(receiveUrl).toBe(`${scene.program.url}/api/v1/webhooks/receive/${id}`);
    expect(await inbound.webhook(id)).toEqual(created.inboundWebhook);
  });

  it('takes from its preset what is left out, and nothing where it says null', async () => {
    const whole = await inbound.tryCreate({ name: 'GitHub', auth: { preset: 'github', secret: SECRET } });
    expect(whole.inboundWebhook).toMatchObject({
      auth: { type: 'HMAC', preset: 'github' },
      eventTypeSource: { type: 'HEADER', value: 'X-GitHub-Event' },
      idempotencySource: { type: 'HEADER', value: 'X-GitHub-Delivery' },
    });
    const less = await inbound.tryCreate({ name: 'GitHub', auth: { preset: 'github' }, idempotencySource: null });
    expect(less.inboundWebhook.idempotencySource).toBeNull();
    expect(less.inboundWebhook.slug).not.toBe(whole.inboundWebhook.slug);
  });

  it.each([
    ['no name', { name: ' ' }, ['input', 'name']],
    ['a long name', { name: 'x'.repeat(121) }, ['input', 'name']],
    ['a slug with capitals', { slug: 'Ab' }, ['input', 'slug']],
    ['a slug that ends in a hyphen', { slug: 'a-' }, ['input', 'slug']],
    ['a long slug', { slug: 'a'.repeat(65) }, ['input', 'slug']],
    ['a long source', { source: 'x'.repeat(101) }, ['input', 'source']],
    ['a long description', { description: 'x'.repeat(2_001) }, ['input', 'description']],
    ['a NUL', { description: '\0' }, ['input', 'description']],
    ['no window', { idempotencyWindowSeconds: 0 }, ['input', 'idempotencyWindowSeconds']],
    ['a long window', { idempotencyWindowSeconds: 2_592_001 }, ['input', 'idempotencyWindowSeconds']],
    ['no rate', { rateLimitPerMinute: 0 }, ['input', 'rateLimitPerMinute']],
    ['a high rate', { rateLimitPerMinute: 60_001 }, ['input', 'rateLimitPerMinute']],
    ['a private url', { url: 'http://10.0.0.1/x' }, ['input', 'url']],
    ['a url of another scheme', { url: 'ftp://example.com/' }, ['input', 'url']],
    ['an unknown preset', { auth: { preset: 'nobody' } }, ['input', 'auth', 'preset']],
    ['an unknown setting', { auth: { type: 'BEARER', config: { colour: 1 } } }, ['input', 'auth', 'config', 'colour']],
    ['a short secret', { auth: { type: 'BEARER', secret: '1234567' } }, ['input', 'auth', 'secret']],
    ['a long secret', { auth: { type: 'BEARER', secret: 'x'.repeat(513) } }, ['input', 'auth', 'secret']],
    [
      'a secret without use',
      { auth: { type: 'IP_ALLOWLIST', config: { cidrs: ['::1'] }, secret: SECRET } },
      ['input', 'auth', 'secret'],
    ],
    [
      'a key from a credential',
      { idempotencySource: { type: 'HEADER', value: 'Authorization' } },
      ['input', 'idempotencySource', 'value'],
    ],
    [
      'a key from the header of its own API key',
      {
        auth: { type: 'API_KEY', config: { header: 'X-Shop' }, secret: SECRET },
        idempotencySource: { type: 'HEADER', value: 'x-shop' },
      },
      ['input', 'idempotencySource', 'value'],
    ],
    [
      'a header that is none',
      { eventTypeSource: { type: 'HEADER', value: 'a b' } },
      ['input', 'eventTypeSource', 'value'],
    ],
    [
      'an expression that is none',
      { eventTypeSource: { type: 'JSONATA', value: 'a.(' } },
      ['input', 'eventTypeSource', 'value'],
    ],
    [
      'an unknown action',
      { handler: { type: 'DIRECT_ACTION', action: 'nothing', fieldMapping: {} } },
      ['input', 'handler', 'action'],
    ],
    ['a workflow that is none', { handler: { type: 'WORKFLOW' } }, ['input', 'handler', 'workflowId']],
  ])('with %s is refused', async (_what, input, path) => {
    expect(await inbound.tryCreate({ name: 'Test', ...input })).toMatchObject({ code: 'BAD_REQUEST', path });
  });

  it('with an expression that is none is told where it stops being one', async () => {
    for (const source of ['eventTypeSource', 'idempotencySource']) {
      const refused = await inbound.tryCreate({ name: 'Test', [source]: { type: 'JSONATA', value: 'a.(' } });
      expect(refused.message).toMatch(/^This is no JSONata expression: .*\(after 3 characters\)/);
    }
  });

  it('has a slug of its own in its tenant, whatever other tenants have', async () => {
    const slug = `taken-${randomBytes(4).toString('hex')}`;
    const { id } = await inbound.create({ slug });
    expect(await inbound.tryCreate({ name: 'x', slug })).toMatchObject({ code: 'CONFLICT', path: ['input', 'slug'] });
    const another = await inbound.create();
    expect(await inbound.update(another.id, { slug })).toMatchObject({ code: 'CONFLICT', path: ['input', 'slug'] });
    const named = await Promise.all(Array.from({ length: 8 }, () => inbound.create({ name: `Eight ${slug}` })));
    expect(new Set(named.map((one) => one.slug)).size).toBe(8);

    const { tenantCreate } = await scene.tenant.graphql(
      `mutation ($slug: String!) { tenantCreate(input: { slug: $slug }) { ... on TenantCreateSuccess { secret } } }`,
      { slug: `other-${slug}` },
    );
    const other = inboundOf(tenantOf(scene.program, tenantCreate.secret));
    const theirs = await other.create({ slug });
    expect(theirs.slugUrl).toBe(`${scene.program.url}/api/inbound/other-${slug}/${slug}`);
    expect((await post(theirs.slugUrl)).status).toBe(200);
    expect(await inbound.deliveries({ inboundWebhookId: id })).toEqual([]);
    expect(await other.webhook(id)).toBeNull();
    expect(await other.update(id, { name: 'mine' })).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('is changed field by field; what is left out stays, null is the default, and null is refused where there is none', async () => {
    const { id, answer } = await inbound.create({
      description: 'before',
      source: 'shop',
      events: ['a'],
      idempotencySource: { type: 'JSONATA', value: 'id' },
      idempotencyWindowSeconds: 60,
      rateLimitPerMinute: 5,
    });
    const before = answer.inboundWebhook;
    const renamed = await inbound.update(id, { name: 'After' });
    expect(renamed.inboundWebhook).toEqual({ ...before, name: 'After', updatedAt: renamed.inboundWebhook.updatedAt });
    const reset = await inbound.update(id, {
      description: null,
      source: null,
      events: null,
      idempotencySource: null,
      idempotencyWindowSeconds: null,
      rateLimitPerMinute: null,
      url: '',
    });
    expect(reset.inboundWebhook).toMatchObject({
      description: null,
      source: 'custom',
      events: [],
      idempotencySource: null,
      idempotencyWindowSeconds: 86_400,
      rateLimitPerMinute: 600,
      url: null,
    });
    for (const field of ['name', 'slug', 'auth', 'handler']) {
      expect(await inbound.update(id, { [field]: null })).toMatchObject({
        code: 'BAD_REQUEST',
        path: ['input', field],
      });
    }
    expect(await inbound.update(id, { isActive: true, status: 'PAUSED' })).toMatchObject({ code: 'BAD_REQUEST' });
    expect((await inbound.update(id, { isActive: false })).inboundWebhook).toMatchObject({
      status: 'PAUSED',
      isActive: false,
    });
    expect((await inbound.update(id, { status: 'DISABLED' })).inboundWebhook.status).toBe('DISABLED');
    expect((await inbound.update(id, { isActive: true })).inboundWebhook.status).toBe('ACTIVE');
  });

  it('takes from its preset also what it is changed to; sources that were given stay', async () => {
    const github = {
      eventTypeSource: { type: 'HEADER', value: 'X-GitHub-Event' },
      idempotencySource: { type: 'HEADER', value: 'X-GitHub-Delivery' },
    };
    const { id } = await inbound.create();
    expect((await inbound.update(id, { auth: { preset: 'github' } })).inboundWebhook).toMatchObject(github);
    expect((await inbound.update(id, { auth: { preset: 'stripe' } })).inboundWebhook).toMatchObject({
      eventTypeSource: { type: 'JSONATA', value: 'type' },
      idempotencySource: { type: 'JSONATA', value: 'id' },
    });
    expect((await inbound.update(id, { auth: { type: 'BEARER' } })).inboundWebhook).toMatchObject({
      eventTypeSource: null,
      idempotencySource: null,
    });
    const own = { type: 'HEADER', value: 'X-Own' };
    await inbound.update(id, { idempotencySource: own });
    expect((await inbound.update(id, { auth: { preset: 'github' } })).inboundWebhook).toMatchObject({
      ...github,
      idempotencySource: own,
    });
    await inbound.update(id, { eventTypeSource: own });
    const reset = await inbound.update(id, { eventTypeSource: null, idempotencySource: null });
    expect(reset.inboundWebhook).toMatchObject({ ...github, idempotencySource: null });
    await inbound.update(id, { eventTypeSource: own, auth: { preset: 'stripe' } });
    expect(await inbound.webhook(id)).toMatchObject({ eventTypeSource: own, idempotencySource: null });
  });

  it('never comes to read an event type or a key where its credential stands', async () => {
    const source = { type: 'HEADER', value: 'X-Shop' };
    const apiKey = { type: 'API_KEY', config: { header: 'x-shop' }, secret: SECRET };
    const { id } = await inbound.create({ auth: { type: 'BEARER' }, idempotencySource: source });
    const refused = { code: 'BAD_REQUEST', path: ['input', 'auth', 'config', 'header'] };
    expect(await inbound.update(id, { auth: apiKey })).toMatchObject(refused);
    expect((await inbound.webhook(id)).auth).toMatchObject({ type: 'BEARER' });
    await inbound.update(id, { auth: apiKey, idempotencySource: null });
    expect(await inbound.update(id, { eventTypeSource: source })).toMatchObject({
      code: 'BAD_REQUEST',
      path: ['input', 'eventTypeSource', 'value'],
    });
    expect(await inbound.webhook(id)).toMatchObject({ eventTypeSource: null, idempotencySource: null });
  });

  it('keeps its secret while its type stays, and gets another with another type', async () => {
    const { id, slugUrl } = await inbound.create();
    const moved = await inbound.update(id, { auth: { config: { header: 'X-Other' } } });
    expect(moved).toMatchObject({ secret: null, inboundWebhook: { auth: { config: { header: 'X-Other' } } } });
    expect((await post(slugUrl, '{}', { 'x-other': sign('{}') })).status).toBe(200);
    expect(await inbound.update(id, { auth: { config: { keyEncoding: 'HEX' } } })).toMatchObject({
      code: 'BAD_REQUEST',
      path: ['input', 'auth', 'secret'],
    });
    const bearer = await inbound.update(id, { auth: { type: 'BEARER' } });
    expect(bearer.secret).toMatch(/^[\w-]{43}$/);
    expect((await post(slugUrl, '{}', { authorization: `Bearer ${bearer.secret}` })).status).toBe(200);
    const none = await inbound.update(id, { auth: { type: 'IP_ALLOWLIST', config: { cidrs: ['127.0.0.1'] } } });
    expect(none).toMatchObject({ secret: null, inboundWebhook: { auth: { hasSecret: false } } });
    expect((await post(slugUrl)).status).toBe(200);
    expect(await inbound.rotate(id)).toMatchObject({ code: 'CONFLICT' });
  });

  it('rotates to a given secret or a generated one, and refuses one that is no key', async () => {
    const { id, slugUrl } = await inbound.create();
    const { secret } = await inbound.rotate(id);
    expect((await post(slugUrl, '{}', { 'x-signature': sign('{}', secret) })).status).toBe(200);
    expect((await post(slugUrl)).status).toBe(401);
    expect(await inbound.rotate(id, 'short')).toMatchObject({ code: 'BAD_REQUEST', path: ['secret'] });
    expect(await inbound.rotate('iwh_01h455vb4pex5vsknk084sn02q')).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('keeps its secrets encrypted, of tokens a hash, and shows neither again', async () => {
    const forward = { url: scene.receiver.url };
    const hmac = await inbound.create(forward);
    const bearer = await inbound.create({ auth: { type: 'BEARER' }, ...forward });
    const meta = await inbound.create({
      auth: { preset: 'meta', config: { verifyToken: 'to verify with' }, secret: SECRET },
    });
    const rows = await selectSql(scene.database.url, `select * from inbound_webhook where name = 'Test'`);
    const kept = JSON.stringify(rows);
    const secrets = [hmac, bearer].flatMap(({ secret, answer }) => [secret, answer.forwardSigningSecret.value]);
    for (const secret of [...secrets, 'to verify with']) expect(kept).not.toContain(secret);
    const shown = JSON.stringify([
      await inbound.webhook(hmac.id),
      await inbound.webhook(bearer.id),
      await inbound.webhook(meta.id),
    ]);
    for (const secret of [...secrets, 'to verify with']) expect(shown).not.toContain(secret);
  });

  it('is listed newest first, by status, source and text', async () => {
    const source = `source ${randomBytes(4).toString('hex')}`;
    const first = await inbound.create({ name: `Ünique 100%_ ${source}`, source });
    const second = await inbound.create({ source, isActive: false });
    const list = async (filter: object, first = 25) =>
      (
        await scene.tenant.graphql(
          `query ($filter: InboundWebhookFilter, $first: Int) {
             inboundWebhooks(filter: $filter, first: $first) { totalCount nodes { id } edges { cursor } pageInfo { hasNextPage } } }`,
          { filter, first },
        )
      ).inboundWebhooks;
    expect((await list({ source })).nodes).toEqual([{ id: second.id }, { id: first.id }]);
    expect(await list({ source }, 1)).toMatchObject({
      totalCount: 2,
      nodes: [{ id: second.id }],
      pageInfo: { hasNextPage: true },
    });
    expect((await list({ source, status: ['DISABLED'] })).nodes).toEqual([{ id: second.id }]);
    expect((await list({ search: `üNIQUE 100%_ ${source}` })).nodes).toEqual([{ id: first.id }]);
    expect((await list({ search: `nique 100__ ${source}` })).nodes).toEqual([]);
  });

  it('shows its address by the origin of the request, as trusted proxies or the operator say', async () => {
    const { id } = await inbound.create();
    const ask = async (url: string, headers: Record<string, string>) => {
      const response = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': API_KEY, ...headers },
        body: JSON.stringify({ query: `{ inboundWebhook(id: "${id}") { receiveUrl } }` }),
      });
      const { data } = (await response.json()) as { data: { inboundWebhook: { receiveUrl: string } } };
      return new URL(data.inboundWebhook.receiveUrl).origin;
    };
    const forwarded = { 'x-forwarded-host': 'hooks.example:8443', 'x-forwarded-proto': 'https' };
    expect(await ask(scene.program.url, forwarded)).toBe(scene.program.url);
    const behind = await startTestProgram(scene.database.url, {
      HOOKGRAPH_ROLES: 'api',
      HOOKGRAPH_TRUSTED_PROXIES: '127.0.0.0/8',
    });
    expect(await ask(behind.url, forwarded)).toBe('https://hooks.example:8443');
    expect(await ask(behind.url, {})).toBe(behind.url);
    await behind.stop();
    const said = await startTestProgram(scene.database.url, {
      HOOKGRAPH_ROLES: 'api',
      HOOKGRAPH_PUBLIC_URL: 'https://in.example',
    });
    expect(await ask(said.url, forwarded)).toBe('https://in.example');
    await said.stop();
  });

  it('is gone at once when it is deleted; its history stays without it', async () => {
    const { id, slugUrl, receiveUrl } = await inbound.create();
    const { json } = await post(slugUrl, '{"n":1}');
    expect(await inbound.remove(id)).toEqual({ deletedId: id });
    expect((await post(slugUrl)).status).toBe(401);
    expect((await post(receiveUrl)).status).toBe(401);
    expect(await inbound.webhook(id)).toBeNull();
    expect(await inbound.remove(id)).toMatchObject({ code: 'NOT_FOUND' });
    const [delivery] = await inbound.deliveries({ inboundWebhookId: id });
    expect(delivery).toMatchObject({ id: json.delivery_id, inboundWebhook: null, requestBody: { n: 1 } });
    expect(await inbound.replay(delivery.id)).toMatchObject({ code: 'CONFLICT' });
    const rows = await selectSql(
      scene.database.url,
      `select 1 from inbound_counter c left join inbound_webhook w on w.id = c.webhook_id where w.id is null`,
    );
    expect(rows).toEqual([]);
  });
});

describe('a sample', () => {
  it('is the body of the next verified request, there before that is answered, until it is cleared', async () => {
    const { id, slugUrl } = await inbound.create();
    await post(slugUrl, '{"n":0}');
    expect((await inbound.captureSample(id)).inboundWebhook).toMatchObject({
      sampleCaptureArmed: true,
      samplePayload: null,
    });
    await post(slugUrl, '{"n":1}', { 'x-signature': 'wrong' });
    await inbound.test(id, { n: 2 });
    expect(await inbound.webhook(id)).toMatchObject({ sampleCaptureArmed: true, samplePayload: null });
    await post(slugUrl, '{"n":3}');
    expect(await inbound.webhook(id)).toMatchObject({ sampleCaptureArmed: false, samplePayload: { n: 3 } });
    await post(slugUrl, '{"n":4}');
    expect((await inbound.webhook(id)).samplePayload).toEqual({ n: 3 });
    expect((await inbound.captureSample(id)).inboundWebhook).toMatchObject({
      sampleCaptureArmed: true,
      samplePayload: { n: 3 },
    });
    await Promise.all([5, 6, 7].map((n) => post(slugUrl, `{"n":${n}}`)));
    expect([5, 6, 7]).toContain((await inbound.webhook(id)).samplePayload.n);
    expect((await inbound.clearSample(id)).inboundWebhook).toMatchObject({
      sampleCaptureArmed: false,
      samplePayload: null,
    });
    await post(slugUrl, '{"n":8}');
    expect((await inbound.webhook(id)).samplePayload).toBeNull();
  });
});

describe('a payload', () => {
  it('can be checked without being received, on paused webhooks too', async () => {
    const { id } = await inbound.create();
    await inbound.update(id, { isActive: false });
    const body = '{"a": 1}\n';
    const check = (headers: object, inboundWebhookId = id) => inbound.verify({ inboundWebhookId, body, headers });
    expect(await check({ 'X-Signature': sign(body) })).toEqual({ valid: true, authStatus: 'VERIFIED', reason: null });
    expect(await check({ 'X-Signature': sign('other') })).toMatchObject({
      valid: false,
      authStatus: 'REJECTED_SIGNATURE',
    });
    expect(await check({})).toMatchObject({
      valid: false,
      authStatus: 'REJECTED_NO_AUTH',
      reason: expect.stringMatching(/X-Signature/i),
    });
    expect(await check({}, 'iwh_01h455vb4pex5vsknk084sn02q')).toMatchObject({
      valid: false,
      authStatus: 'NOT_CHECKED',
    });
    await expect(check({ 'X-Signature': 1 })).rejects.toThrow(/text/);
    expect(await inbound.deliveries({ inboundWebhookId: id })).toEqual([]);
  });

  it('is checked with the address that the sender posts to, and the address that it comes from', async () => {
    const { id } = await inbound.create({ auth: { type: 'IP_ALLOWLIST', config: { cidrs: ['192.0.2.0/24'] } } });
    const from = (ip: string) => inbound.verify({ inboundWebhookId: id, body: '', headers: { 'X-Forwarded-For': ip } });
    expect(await from('192.0.2.7')).toMatchObject({ valid: true });
    expect(await from('198.51.100.7')).toMatchObject({ valid: false, authStatus: 'REJECTED_IP' });
    const signed = await inbound.create({
      auth: { type: 'HMAC', config: { header: 'X-Signature', signedContent: '{url}' }, secret: SECRET },
    });
    for (const url of [signed.slugUrl, signed.receiveUrl]) {
      expect((await post(url, '{}', { 'x-signature': sign(url) })).status).toBe(200);
      const input = { inboundWebhookId: signed.id, body: '{}', headers: { 'x-signature': sign(url) } };
      expect(await inbound.verify(input)).toMatchObject({ valid: true });
      const asked = { ...input, headers: { 'x-signature': sign(`${url}?a=1`) } };
      expect(await inbound.verify(asked)).toMatchObject({ valid: false });
      for (const posted of ['?a=1', `${url}?a=1`]) {
        expect(await inbound.verify({ ...asked, url: posted })).toMatchObject({ valid: true });
      }
    }
    const token = await inbound.create({ auth: { type: 'QUERY_TOKEN', secret: SECRET } });
    const given = (url: string) => inbound.verify({ inboundWebhookId: token.id, body: '', headers: {}, url });
    expect(await given(`?token=${encodeURIComponent(SECRET)}`)).toMatchObject({ valid: true });
    expect(await given('?token=another')).toMatchObject({ valid: false, authStatus: 'REJECTED_TOKEN' });
    await expect(given('http://[')).rejects.toThrow(/URL/);
  });
});

it('asks for the scopes of the inbound direction, apart from reading, writing and replaying', async () => {
  const { id, slugUrl } = await inbound.create();
  const { json } = await post(slugUrl);
  const withScopes = async (...scopes: string[]) => {
    const { apiKeyCreate } = await scene.tenant.graphql(
      `mutation ($input: ApiKeyInput!) { apiKeyCreate(input: $input) { ... on ApiKeyCreateSuccess { secret } } }`,
      { input: { name: scopes.join(' '), scopes } },
    );
    return inboundOf(tenantOf(scene.program, apiKeyCreate.secret));
  };
  const [reader, writer, replayer] = [
    await withScopes('INBOUND_READ', 'DELIVERIES_READ'),
    await withScopes('INBOUND_READ', 'DELIVERIES_READ', 'INBOUND_WRITE'),
    await withScopes('INBOUND_READ', 'DELIVERIES_READ', 'INBOUND_REPLAY'),
  ];
  expect(await reader.webhook(id)).toMatchObject({ id });
  await expect(reader.update(id, { name: 'No' })).rejects.toThrow(/FORBIDDEN/);
  await expect(reader.test(id, {})).rejects.toThrow(/FORBIDDEN/);
  expect((await writer.test(id, {})).delivery).toMatchObject({ isTest: true });
  await expect(writer.replay(json.delivery_id)).rejects.toThrow(/FORBIDDEN/);
  expect((await replayer.replay(json.delivery_id)).delivery).toMatchObject({ isReplay: true });
  await expect((await withScopes('WEBHOOKS_READ')).deliveries()).rejects.toThrow(/FORBIDDEN/);
});

it('tells which senders it knows', async () => {
  const { inboundPresets } = await scene.tenant.graphql(
    `{ inboundPresets { name displayName type config requiredConfig secretFrom eventTypeSource { type value } idempotencySource { type value } handshake docsUrl } }`,
  );
  expect(inboundPresets.length).toBeGreaterThan(20);
  expect(inboundPresets.find(({ name }: { name: string }) => name === 'github')).toMatchObject({
    type: 'HMAC',
    secretFrom: 'YOU',
    eventTypeSource: { type: 'HEADER', value: 'X-GitHub-Event' },
    handshake: false,
  });
  expect(inboundPresets.find(({ name }: { name: string }) => name === 'meta')).toMatchObject({
    requiredConfig: ['verifyToken'],
    handshake: true,
  });
});

describe('a test', () => {
  it('runs the allowlist and the forward by the present settings, paused too, and is marked', async () => {
    const { id, answer } = await inbound.create({ url: scene.receiver.url, events: ['wanted'], rateLimitPerMinute: 1 });
    await inbound.update(id, { isActive: false });
    await inbound.captureSample(id);
    const tested = await inbound.test(id, { type: 'wanted', n: 1 }, { 'X-Token': 'a credential', 'X-Plain': 'plain' });
    expect(tested.delivery).toMatchObject({
      dispatchStatus: 'DISPATCHED',
      authStatus: 'NOT_CHECKED',
      eventType: 'wanted',
      isTest: true,
      isReplay: false,
      requestMethod: 'POST',
      requestBody: { type: 'wanted', n: 1 },
      requestHeaders: { 'x-token': '***', 'x-plain': 'plain' },
      sourceIp: null,
      responseStatus: 200,
    });
    const keyed = await inbound.create({ auth: { type: 'API_KEY', config: { header: 'X-Shop' }, secret: SECRET } });
    const copied = await inbound.test(keyed.id, {}, { 'X-Shop': SECRET, 'X-Plain': 'plain' });
    expect(copied.delivery.requestHeaders).toEqual({ 'x-shop': '***', 'x-plain': 'plain' });
    const forwarded = await until('the forward', () => scene.receiver.requests[0]);
    expect(JSON.parse(forwarded.body)).toEqual({ type: 'wanted', n: 1 });
    expect(standardVerifies(forwarded, answer.forwardSigningSecret.standardWebhooks)).toBe(true);
    expect((await inbound.test(id, { type: 'other' })).delivery).toMatchObject({
      dispatchStatus: 'IGNORED',
      isTest: true,
    });
    expect(await inbound.webhook(id)).toMatchObject({ deliveryCount: 0, sampleCaptureArmed: true });
    expect(await inbound.deliveries({ inboundWebhookId: id, isTest: false })).toEqual([]);
    expect(await inbound.deliveries({ inboundWebhookId: id, isTest: true })).toHaveLength(2);
  });

  it('is refused for what is no request', async () => {
    const { id } = await inbound.create();
    expect(await inbound.test(id, {}, 'x')).toMatchObject({ code: 'BAD_REQUEST', path: ['headers'] });
    expect(await inbound.test(id, {}, { 'a b': '' })).toMatchObject({ code: 'BAD_REQUEST' });
    expect(await inbound.test(id, 'x'.repeat(1_048_576))).toMatchObject({ code: 'BAD_REQUEST', path: ['body'] });
    const deep: unknown = JSON.parse(`${'['.repeat(2_000)}${']'.repeat(2_000)}`);
    expect(await inbound.test(id, deep)).toMatchObject({ code: 'BAD_REQUEST', path: ['body'] });
    expect(await inbound.test('wh_01h455vb4pex5vsknk084sn02q', {})).toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('a replay', () => {
  it('handles once more what was received, by the present settings, linked to the original', async () => {
    const { id, slugUrl } = await inbound.create({ idempotencySource: { type: 'JSONATA', value: 'id' } });
    const { json } = await post(slugUrl, '{"id":"one","type":"a"}');
    await inbound.update(id, { url: scene.receiver.url });
    const first = await inbound.replay(json.delivery_id);
    expect(first.delivery).toMatchObject({
      dispatchStatus: 'DISPATCHED',
      authStatus: 'VERIFIED',
      idempotencyKey: 'one',
      isReplay: true,
      isTest: false,
      replayedFrom: { id: json.delivery_id },
      requestBody: { id: 'one', type: 'a' },
    });
    await until('the forward', () => scene.receiver.requests.length === 1);
    expect(scene.receiver.requests[0]!.body).toBe('{"id":"one","type":"a"}');
    await inbound.update(id, { events: ['b'] });
    expect((await inbound.replay(first.delivery.id)).delivery).toMatchObject({
      dispatchStatus: 'IGNORED',
      replayedFrom: { id: first.delivery.id },
    });
    expect(await inbound.deliveries({ inboundWebhookId: id, isReplay: true })).toHaveLength(2);
  });

  it('is a conflict for what was refused, and not found for what is not there', async () => {
    const { id, slugUrl } = await inbound.create();
    await post(slugUrl, '{}', { 'x-signature': 'wrong' });
    const [refused] = await inbound.reached(id, 'REJECTED');
    expect(await inbound.replay(refused.id)).toMatchObject({ code: 'CONFLICT' });
    expect(await inbound.replay('idl_01h455vb4pex5vsknk084sn02q')).toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('forwarding', () => {
  it('signs with a key of its own that is shown when a url is first set, and rotated apart', async () => {
    const { id, slugUrl, answer } = await inbound.create();
    expect(answer.forwardSigningSecret).toBeNull();
    expect(await inbound.rotateForward(id)).toMatchObject({ code: 'CONFLICT' });
    const { forwardSigningSecret: first } = await inbound.update(id, { url: scene.receiver.url });
    expect((await inbound.update(id, { url: scene.receiver.url })).forwardSigningSecret).toBeNull();
    await post(slugUrl, '{"n": 1}', { 'content-type': 'application/json; charset=utf-8' });
    const one = await until('a forward', () => scene.receiver.requests[0]);
    expect(one.body).toBe('{"n": 1}');
    expect(standardVerifies(one, first.standardWebhooks)).toBe(true);

    const { forwardSigningSecret: second } = await inbound.rotateForward(id, 60);
    await post(slugUrl, '{"n":2}');
    const two = await until('another forward', () => scene.receiver.requests[1]);
    expect(standardVerifies(two, second.standardWebhooks)).toBe(true);
    expect(standardVerifies(two, first.standardWebhooks)).toBe(true);
    expect(await inbound.rotateForward(id, -1)).toMatchObject({ code: 'BAD_REQUEST', path: ['overlapSeconds'] });

    const { forwards } = (
      await scene.tenant.graphql(
        `query ($id: ID!) { inboundWebhook(id: $id) { forwards { totalCount nodes { status attemptCount } } } }`,
        { id },
      )
    ).inboundWebhook;
    expect(forwards.totalCount).toBe(2);
  });

  it('stops when the webhook is deleted: what waits is cancelled, and stays in the history', async () => {
    scene.receiver.answer = () => ({ status: 500 });
    const { id, slugUrl } = await inbound.create({ url: scene.receiver.url });
    await post(slugUrl, '{"n":1}');
    await until('an attempt', () => scene.receiver.requests.length === 1);
    await inbound.remove(id);
    await until('cancelled', async () => {
      const rows = await selectSql(
        scene.database.url,
        `select (select count(*) from delivery_open where is_forward)::int + (select count(*) from inbound_open)::int as n`,
      );
      return rows[0].n === 0;
    });
    expect(scene.receiver.requests).toHaveLength(1);
  });
});

it('shows a page of everything within what an operation may cost', async () => {
  const { inboundWebhooks } = await scene.tenant.graphql(
    `{ inboundWebhooks(first: 100) { totalCount nodes { ${WEBHOOK} } } }`,
  );
  expect(inboundWebhooks.nodes.length).toBeGreaterThan(5);
  await scene.tenant.graphql(`{ inboundDeliveries(first: 100) { totalCount nodes { ${DELIVERY} } } }`);
  await scene.tenant.graphql(
    `{ inboundWebhooks(first: 50) { nodes { id deliveries(first: 50) { nodes { ${DELIVERY} } } } } }`,
  );
  const [one] = inboundWebhooks.nodes;
  const { node } = await scene.tenant.graphql(
    `query ($id: ID!) { node(id: $id) { id ... on InboundWebhook { name } } }`,
    { id: one.id },
  );
  expect(node).toEqual({ id: one.id, name: one.name });
});

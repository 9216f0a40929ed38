import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTestDatabase } from './harness/database.ts';
import type { TestDatabase } from './harness/database.ts';
import { inboundOf, post, sign } from './harness/inbound.ts';
import { API_KEY, spawnProgram } from './harness/program.ts';
import type { ProgramProcess } from './harness/program.ts';
import { startReceiver } from './harness/receiver.ts';
import type { Receiver } from './harness/receiver.ts';
import { tenantOf } from './harness/tenant.ts';

let database: TestDatabase;
let program: ProgramProcess;
let receiver: Receiver;

beforeAll(async () => {
  database = await createTestDatabase();
  receiver = await startReceiver();
  program = await spawnProgram(database.url, { HOOKGRAPH_LOG_LEVEL: 'trace', HOOKGRAPH_UNKNOWN: 'x' });
});
afterAll(async () => {
  await program.stop();
  await receiver.close();
  await database.drop();
});

/** Everything that the database has, as text; bytes are hexadecimal digits there. */
const dump = async (): Promise<string> => {
  const client = new Client({ connectionString: database.url });
  await client.connect();
  try {
    const { rows: tables } = await client.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables
       where schemaname not in ('pg_catalog', 'information_schema')`,
    );
    let text = '';
    for (const { name } of tables) {
      const { rows } = await client.query<{ row: string }>(`select t::text as row from ${name} t`);
      text += `${name}\n${rows.map(({ row }) => row).join('\n')}\n`;
    }
    return text;
  } finally {
    await client.end();
  }
};

/** The ways in which these bytes could be written down. */
const spellings = (secret: string): string[] => {
  const bytes = Buffer.from(secret, 'base64url');
  return [
    secret,
    bytes.toString('base64').replace(/=+$/, ''),
    bytes.toString('hex'),
    Buffer.from(secret).toString('hex'),
    Buffer.from(secret).toString('base64').replace(/=+$/, ''),
  ];
};

it('a secret is told once, when it is made, and stands in no later answer, no log line and no table', async () => {
  const tenant = tenantOf(program);
  const created = await tenant.createWebhook(receiver.url, ['ticket.*']);
  const rotated = await tenant.rotate(created.id, 3_600);
  const { apiKeyCreate } = await tenant.graphql(
    `mutation { apiKeyCreate(input: { name: "k", scopes: [WEBHOOKS_READ] }) { ... on ApiKeyCreateSuccess { secret } } }`,
  );
  expect(rotated.value).not.toBe(created.value);

  const answers: unknown[] = [];
  await tenant.publish('ticket.created');
  answers.push(await tenant.reached(created.id, 'DELIVERED'), await tenant.sendTest(created.id));
  answers.push(await tenant.update(created.id, { name: 'Renamed' }));
  answers.push(
    await tenant.graphql(
      `query ($id: ID!) {
         viewer { apiKey { id name prefix scopes } tenant { id slug name } }
         apiKeys { nodes { id name prefix scopes createdAt lastUsedAt } }
         webhook(id: $id) { id name url description eventTypes entityIds status disabledReason createdAt updatedAt }
         webhooks { nodes { id name url } }
         node(id: $id) { id ... on Webhook { name url } }
         deliveries { nodes { id requestBody attempts { requestHeaders responseHeaders responseBody } } } }`,
      { id: created.id },
    ),
  );
  const { __type } = await tenant.graphql(`{ __type(name: "Webhook") { fields { name } } }`);
  expect(__type.fields.map((field: { name: string }) => field.name).join(' ')).not.toMatch(/secret|key/i);

  const [requested] = receiver.requests;
  const places = { answers: JSON.stringify(answers), log: program.output(), database: await dump() };
  // The search finds what is there.
  expect(places.answers).toContain(requested!.headers['x-alga-signature']);
  expect(places.log).toContain('HOOKGRAPH_UNKNOWN is unknown');
  expect(places.database).toContain('Renamed');
  for (const [place, text] of Object.entries(places)) {
    for (const secret of [created.value, rotated.value]) {
      for (const spelling of spellings(secret)) expect(text.includes(spelling), place).toBe(false);
    }
    for (const key of [API_KEY, apiKeyCreate.secret as string]) expect(text.includes(key), place).toBe(false);
  }
});

it('what senders prove themselves with stands in no answer, no log line and no table, right or wrong', async () => {
  const tenant = tenantOf(program);
  const inbound = inboundOf(tenant);
  const url = receiver.url;
  const hmac = await inbound.create({ auth: { type: 'HMAC', config: { header: 'X-Signature' } }, url });
  const bearer = await inbound.create({ auth: { type: 'BEARER' } });
  const basic = await inbound.create({ auth: { type: 'BASIC', config: { username: 'sender' } } });
  const key = await inbound.create({ auth: { type: 'API_KEY', config: { header: 'X-Gate' } } });
  const query = await inbound.create({ auth: { type: 'QUERY_TOKEN', config: { param: 'gate' } } });
  const verifyToken = 'verify-token-2f6c9d1e';
  const meta = await inbound.create({ auth: { preset: 'meta', config: { verifyToken } } });
  const wrong = 'wrong-credential-7b3a5c';

  const basicOf = (password: string) => `Basic ${Buffer.from(`sender:${password}`).toString('base64')}`;
  const send = async (of: { secret: string }, one: (secret: string) => Promise<{ status: number }>) => {
    expect((await one(of.secret)).status).toBe(200);
    expect((await one(wrong)).status).toBe(401);
  };
  await send(hmac, (secret) => post(hmac.slugUrl, '{}', { 'x-signature': sign('{}', secret) }));
  await send(bearer, (secret) => post(bearer.slugUrl, '{}', { authorization: `Bearer ${secret}`, 'x-copy': secret }));
  await send(basic, (secret) => post(basic.slugUrl, '{}', { authorization: basicOf(secret) }));
  await send(key, (secret) => post(key.slugUrl, '{}', { 'x-gate': secret }));
  await send(query, (secret) => post(`${query.receiveUrl}?gate=${encodeURIComponent(secret)}&n=1`));
  const handshake = `${meta.slugUrl}?hub.mode=subscribe&hub.challenge=1&hub.verify_token=`;
  expect((await post(`${handshake}${verifyToken}`, '', {}, 'GET')).status).toBe(200);
  expect((await post(`${handshake}${wrong}`, '', {}, 'GET')).status).toBe(405);
  const rotated = await inbound.rotate(hmac.id);
  await inbound.reached(query.id, 'REJECTED');
  await inbound.reached(meta.id, 'HANDSHAKE');

  const all = [hmac, bearer, basic, key, query, meta];
  const answers = [await inbound.deliveries(), ...(await Promise.all(all.map(({ id }) => inbound.webhook(id))))];
  const places = { answers: JSON.stringify(answers), log: program.output(), database: await dump() };
  expect(places.answers).toContain('gate=***&n=1');
  const secrets = [...all, rotated].map(({ secret }: { secret: string }) => secret);
  secrets.push(hmac.answer.forwardSigningSecret.value, verifyToken, wrong);
  for (const [place, text] of Object.entries(places)) {
    for (const secret of secrets) {
      for (const spelling of [secret, ...spellings(secret)]) expect(text.includes(spelling), place).toBe(false);
      expect(text.includes(basicOf(secret).slice(6)), place).toBe(false);
    }
  }
});

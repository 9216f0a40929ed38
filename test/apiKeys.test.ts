import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { bootstrapTenant } from '../src/domain/tenants/bootstrap.ts';
import { eventually } from './harness/eventually.ts';
import { FIRST_KEY, startGraphql } from './harness/graphql.ts';
import type { GraphqlHarness } from './harness/graphql.ts';

let harness: GraphqlHarness;
beforeAll(async () => {
  harness = await startGraphql();
});
afterAll(() => harness.close());

const CREATE = `mutation ($input: ApiKeyInput!) { apiKeyCreate(input: $input) {
  __typename ... on ApiKeyCreateSuccess { secret apiKey { id name prefix scopes lastUsedAt expiresAt revokedAt } } ... on Error { code path message } } }`;
const REVOKE = `mutation ($id: ID!) { apiKeyRevoke(id: $id) { __typename ... on ApiKeyRevokeSuccess { apiKey { revokedAt } } ... on Error { code } } }`;
const TENANT = `mutation ($input: TenantInput!) { tenantCreate(input: $input) {
  __typename ... on TenantCreateSuccess { secret tenant { id slug name } apiKey { scopes } } ... on Error { code path } } }`;

const create = async (input: object, key?: string) => (await harness.post(CREATE, { input }, key)).data.apiKeyCreate;

test('a key is shown once, kept as a hash, listed newest first, and opens what its scopes say', async () => {
  const { secret, apiKey } = await create({ name: ' Dashboard ', scopes: ['WEBHOOKS_READ', 'WEBHOOKS_READ'] });
  expect(apiKey).toMatchObject({ name: 'Dashboard', scopes: ['WEBHOOKS_READ'], lastUsedAt: null, revokedAt: null });
  expect(secret.startsWith(apiKey.prefix)).toBe(true);
  const { data } = await harness.post(
    '{ apiKeys(first: 1) { nodes { id prefix } totalCount pageInfo { hasNextPage endCursor } } }',
  );
  expect(data.apiKeys.nodes[0].id).toBe(apiKey.id);
  expect(data.apiKeys.pageInfo.hasNextPage).toBe(true);
  const next = await harness.post('query ($after: String) { apiKeys(after: $after) { nodes { name } } }', {
    after: data.apiKeys.pageInfo.endCursor,
  });
  expect(next.data.apiKeys.nodes.map((key: { name: string }) => key.name)).toContain('HOOKGRAPH_API_KEY');
  const dump = await harness.database.sql.query<{ row: string }>(`select api_key::text as row from api_key`);
  expect(dump.some(({ row }) => row.includes(secret) || row.includes(FIRST_KEY))).toBe(false);
  expect((await harness.post('{ viewer { apiKey { id } } }', {}, secret)).data.viewer.apiKey.id).toBe(apiKey.id);
});

test('a key grants only scopes that it has itself', async () => {
  const manager = await harness.keyWith('KEYS_MANAGE', 'WEBHOOKS_READ');
  expect(await create({ name: 'more', scopes: ['WEBHOOKS_READ', 'WEBHOOKS_WRITE'] }, manager)).toMatchObject({
    __typename: 'ValidationError',
    code: 'BAD_REQUEST',
    path: ['input', 'scopes'],
  });
  expect(await create({ name: 'same', scopes: ['WEBHOOKS_READ'] }, manager)).toMatchObject({
    __typename: 'ApiKeyCreateSuccess',
  });
});

test.for<[string, object, string[]]>([
  ['an empty name', { name: '  ', scopes: ['WEBHOOKS_READ'] }, ['input', 'name']],
  ['a long name', { name: 'x'.repeat(121), scopes: ['WEBHOOKS_READ'] }, ['input', 'name']],
  ['a name with NUL', { name: 'a\0b', scopes: ['WEBHOOKS_READ'] }, ['input', 'name']],
  ['no scope', { name: 'a', scopes: [] }, ['input', 'scopes']],
  [
    'an expiry in the past',
    { name: 'a', scopes: ['WEBHOOKS_READ'], expiresAt: '2020-01-01T00:00:00Z' },
    ['input', 'expiresAt'],
  ],
])('%s is refused', async ([, input, path]) => {
  expect(await create(input)).toMatchObject({ __typename: 'ValidationError', path });
});

test('a revoked key stops within a second, stays listed, and can be revoked again', async () => {
  const { secret, apiKey } = await create({ name: 'short', scopes: ['WEBHOOKS_READ'] });
  expect((await harness.post('{ __typename }', {}, secret)).status).toBe(200);
  const first = (await harness.post(REVOKE, { id: apiKey.id })).data.apiKeyRevoke;
  await vi.waitFor(async () => expect((await harness.post('{ __typename }', {}, secret)).status).toBe(401), 1_000);
  expect((await harness.post(REVOKE, { id: apiKey.id })).data.apiKeyRevoke).toEqual(first);
  expect((await harness.post(REVOKE, { id: 'key_x' })).data.apiKeyRevoke).toEqual({
    __typename: 'NotFoundError',
    code: 'NOT_FOUND',
  });
});

test('a key that expires stops', async () => {
  const { secret } = await create({
    name: 'soon',
    scopes: ['WEBHOOKS_READ'],
    expiresAt: new Date(Date.now() + 2_000).toISOString(),
  });
  expect((await harness.post('{ __typename }', {}, secret)).status).toBe(200);
  await eventually(async () => expect((await harness.post('{ __typename }', {}, secret)).status).toBe(401));
});

test('the last use is recorded, once a minute however often the key is used', async () => {
  const { secret, apiKey } = await create({ name: 'used', scopes: ['WEBHOOKS_READ'] });
  const read = async () =>
    (await harness.post('query ($id: ID!) { node(id: $id) { ... on ApiKey { lastUsedAt } } }', { id: apiKey.id })).data
      .node.lastUsedAt;
  await Promise.all(Array.from({ length: 20 }, () => harness.post('{ __typename }', {}, secret)));
  const recorded = await eventually(async () => {
    const at = await read();
    expect(at).not.toBeNull();
    return at;
  });
  await harness.post('{ __typename }', {}, secret);
  await harness.authenticator.close();
  expect(await read()).toBe(recorded);
});

test('a tenant is created with its first key, which can do all but create tenants', async () => {
  const { data } = await harness.post(TENANT, { input: { slug: 'acme' } });
  expect(data.tenantCreate).toMatchObject({
    __typename: 'TenantCreateSuccess',
    tenant: { slug: 'acme', name: 'acme' },
  });
  expect(data.tenantCreate.apiKey.scopes).not.toContain('TENANTS_MANAGE');
  expect(data.tenantCreate.apiKey.scopes).toContain('KEYS_MANAGE');
  const { secret, tenant } = data.tenantCreate;
  expect((await harness.post('{ viewer { tenant { id } } }', {}, secret)).data.viewer.tenant.id).toBe(tenant.id);
  expect(await create({ name: 'x', scopes: ['TENANTS_MANAGE'] }, secret)).toMatchObject({
    __typename: 'ValidationError',
  });
  expect((await harness.post(TENANT, { input: { slug: 'acme' } })).data.tenantCreate).toEqual({
    __typename: 'ConflictError',
    code: 'CONFLICT',
    path: ['input', 'slug'],
  });
  for (const slug of ['', '-a', 'a-', 'A', 'a_b', 'a b', 'ä', 'x'.repeat(65)]) {
    expect((await harness.post(TENANT, { input: { slug } })).data.tenantCreate, slug).toMatchObject({
      __typename: 'ValidationError',
      path: ['input', 'slug'],
    });
  }
});

test('no tenant sees keys or the tenant of another', async () => {
  const other = await harness.tenant('other');
  const { apiKey } = await create({ name: 'mine', scopes: ['WEBHOOKS_READ'] });
  const { data: mine } = await harness.post('{ viewer { tenant { id } } }');
  const { data } = await harness.post(
    'query ($key: ID!, $tenant: ID!) { key: node(id: $key) { id } tenant: node(id: $tenant) { id } apiKeys { totalCount } }',
    { key: apiKey.id, tenant: mine.viewer.tenant.id },
    other,
  );
  expect(data).toEqual({ key: null, tenant: null, apiKeys: { totalCount: 1 } });
  expect((await harness.post(REVOKE, { id: apiKey.id }, other)).data.apiKeyRevoke.__typename).toBe('NotFoundError');
});

test('bootstrapping from several processes at once makes one tenant and one key, and repeating changes nothing', async () => {
  const fresh = await startGraphql({ bootstrap: false });
  try {
    const { database } = fresh;
    const generated = await Promise.all(Array.from({ length: 5 }, () => bootstrapTenant(database, 'first', null)));
    const keys = generated.map(({ generatedKey }) => generatedKey).filter((key) => key !== null);
    expect(keys).toHaveLength(1);
    expect((await fresh.post('{ viewer { tenant { slug } } }', {}, keys[0])).data.viewer.tenant.slug).toBe('first');

    const given = 'a key that the operator chose, 32+ characters';
    const added = await Promise.all(Array.from({ length: 5 }, () => bootstrapTenant(database, 'first', given)));
    expect(added.map(({ generatedKey }) => generatedKey)).toEqual([null, null, null, null, null]);
    const { data } = await fresh.post('{ apiKeys { totalCount } viewer { apiKey { scopes prefix } } }', {}, given);
    expect(data.apiKeys.totalCount).toBe(2);
    expect(data.viewer.apiKey.scopes).toContain('TENANTS_MANAGE');
    expect(data.viewer.apiKey.prefix.length).toBeLessThan(8);
    await expect(bootstrapTenant(database, 'another', null)).rejects.toThrow(/first tenant is first/);
  } finally {
    await fresh.close();
  }
});

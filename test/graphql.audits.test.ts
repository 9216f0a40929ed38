import { serverAudits } from 'graphql-http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FIRST_KEY, startGraphql } from './harness/graphql.ts';
import type { GraphqlHarness } from './harness/graphql.ts';

let harness: GraphqlHarness;
beforeAll(async () => {
  harness = await startGraphql();
});
afterAll(() => harness.close());

/** The audits of graphql-http, with a key; without one every request would be refused alike. */
const audits = serverAudits({
  url: () => harness.url,
  fetchFn: (url: string, init: RequestInit = {}) => {
    const headers = new Headers(init.headers);
    headers.set('x-api-key', FIRST_KEY);
    return fetch(url, { ...init, headers });
  },
});

test.for(audits)('GraphQL over HTTP: $name', async (audit) => {
  const result = await audit.fn();
  expect(result, 'reason' in result ? result.reason : '').toMatchObject({ status: 'ok' });
});

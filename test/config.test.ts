import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { describeVariables, loadConfig } from '../src/config.ts';
import { StartupError } from '../src/platform/startupError.ts';

const secretKey = Buffer.alloc(32, 7).toString('base64');

/** The lines of the StartupError that the environment causes; fails where it causes none. */
function linesOf(env: Record<string, string>): readonly string[] {
  try {
    loadConfig(env);
  } catch (error) {
    if (error instanceof StartupError) return error.lines;
    throw error;
  }
  return expect.fail('the environment was accepted');
}

describe('an empty environment', () => {
  test('gives the documented defaults', () => {
    expect(loadConfig({})).toEqual({
      port: 4000,
      host: '127.0.0.1',
      databaseUrl: null,
      databaseUrlDirect: null,
      dataDir: resolve('.hookgraph'),
      roles: new Set(['api', 'receiver', 'worker']),
      apiKey: null,
      tenantSlug: 'default',
      secretKey: null,
      publicUrl: null,
      allowTargets: [],
      headerPrefix: 'X-Alga-',
      retentionDays: 30,
      desk: true,
      trustedProxies: [],
      maxBodyBytes: 1_048_576,
      drainSeconds: 10,
      allowedOrigins: null,
      logLevel: 'info',
      otlpEndpoint: null,
      otlpTracesEndpoint: null,
      otlpHeaders: {},
      serviceName: 'hookgraph',
      warnings: [],
    });
  });

  test('is what blank values mean too', () => {
    const blank = Object.fromEntries(describeVariables().map(({ name }) => [name, ' ']));
    expect(loadConfig(blank)).toEqual(loadConfig({}));
  });
});

test('every variable is read into its typed value', () => {
  const config = loadConfig({
    PORT: '0',
    HOST: '::',
    DATABASE_URL: 'postgres://u:p@db:6432/hookgraph',
    DATABASE_URL_DIRECT: 'postgresql://u:p@db:5432/hookgraph',
    HOOKGRAPH_DATA_DIR: '/var/lib/hookgraph/',
    HOOKGRAPH_ROLES: 'worker, api,worker',
    HOOKGRAPH_API_KEY: 'k'.repeat(32),
    HOOKGRAPH_TENANT: 'acme-1',
    HOOKGRAPH_SECRET_KEY: secretKey,
    HOOKGRAPH_PUBLIC_URL: 'https://hooks.example/base/',
    HOOKGRAPH_ALLOW_TARGETS: '10.0.0.0/8, ::1, 127.0.0.1',
    HOOKGRAPH_HEADER_PREFIX: 'X-Acme-',
    HOOKGRAPH_RETENTION_DAYS: '7',
    HOOKGRAPH_DESK: 'Off',
    HOOKGRAPH_TRUSTED_PROXIES: 'fd00::/8',
    HOOKGRAPH_MAX_BODY_BYTES: '1000',
    HOOKGRAPH_DRAIN_SECONDS: '0',
    HOOKGRAPH_ALLOWED_ORIGINS: 'https://a.example,http://localhost:3000/',
    HOOKGRAPH_LOG_LEVEL: 'debug',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318',
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://traces.example/otlp',
    OTEL_EXPORTER_OTLP_HEADERS: 'api-key=abc%3D%20d, X-Team=ops',
    OTEL_SERVICE_NAME: 'hooks',
  });
  expect(config).toEqual({
    port: 0,
    host: '::',
    databaseUrl: 'postgres://u:p@db:6432/hookgraph',
    databaseUrlDirect: 'postgresql://u:p@db:5432/hookgraph',
    dataDir: '/var/lib/hookgraph',
    roles: new Set(['worker', 'api']),
    apiKey: 'k'.repeat(32),
    tenantSlug: 'acme-1',
    secretKey: Buffer.alloc(32, 7),
    publicUrl: 'https://hooks.example/base',
    allowTargets: ['10.0.0.0/8', '::1/128', '127.0.0.1/32'],
    headerPrefix: 'X-Acme-',
    retentionDays: 7,
    desk: false,
    trustedProxies: ['fd00::/8'],
    maxBodyBytes: 1000,
    drainSeconds: 0,
    allowedOrigins: ['https://a.example', 'http://localhost:3000'],
    logLevel: 'debug',
    otlpEndpoint: 'http://collector:4318',
    otlpTracesEndpoint: 'https://traces.example/otlp',
    otlpHeaders: { 'api-key': 'abc= d', 'X-Team': 'ops' },
    serviceName: 'hooks',
    warnings: [],
  });
  expect(Object.isFrozen(config)).toBe(true);
});

test('all wrong variables are reported at once, a line each, with what is wanted', () => {
  const lines = linesOf({
    PORT: '65536',
    HOST: 'http://x',
    HOOKGRAPH_ROLES: 'api,wroker',
    HOOKGRAPH_TENANT: '-a',
    HOOKGRAPH_PUBLIC_URL: 'ftp://x',
    HOOKGRAPH_ALLOW_TARGETS: '10/8',
    HOOKGRAPH_HEADER_PREFIX: 'webhook-',
    HOOKGRAPH_RETENTION_DAYS: '1.5',
    HOOKGRAPH_DESK: 'perhaps',
    HOOKGRAPH_TRUSTED_PROXIES: '1.2.3.4/33',
    HOOKGRAPH_ALLOWED_ORIGINS: 'https://a.example/path',
    HOOKGRAPH_LOG_LEVEL: 'loud',
  });
  expect(lines).toEqual([
    'PORT must be a whole number from 0 to 65535.',
    'HOST must be a host name or an address, without scheme and port.',
    'HOOKGRAPH_ROLES must be a comma-separated list of api, receiver, worker, and "wroker" is not.',
    'HOOKGRAPH_TENANT must be 1 to 64 lower-case letters, digits and hyphens, with a letter or digit at both ends.',
    'HOOKGRAPH_PUBLIC_URL must be an http or https address without user, query and fragment.',
    'HOOKGRAPH_ALLOW_TARGETS must be comma-separated networks like 10.0.0.0/8, and "10/8" is not.',
    'HOOKGRAPH_HEADER_PREFIX must differ from the prefix of Standard Webhooks.',
    'HOOKGRAPH_RETENTION_DAYS must be a whole number from 1 to 3650.',
    'HOOKGRAPH_DESK must be on or off.',
    'HOOKGRAPH_TRUSTED_PROXIES must be comma-separated networks like 10.0.0.0/8, and "1.2.3.4/33" is not.',
    'HOOKGRAPH_ALLOWED_ORIGINS must be comma-separated origins like https://dashboard.example, and "https://a.example/path" is not.',
    'HOOKGRAPH_LOG_LEVEL must be fatal, error, warn, info, debug, trace or silent.',
  ]);
});

test('a wrong secret is named and never repeated', () => {
  const lines = linesOf({
    DATABASE_URL: 'mysql://root:hunter2@db/x',
    HOOKGRAPH_SECRET_KEY: 'hunter2',
    HOOKGRAPH_API_KEY: 'hunter2',
  });
  expect(lines.map((line) => line.split(' ')[0])).toEqual([
    'DATABASE_URL',
    'HOOKGRAPH_API_KEY',
    'HOOKGRAPH_SECRET_KEY',
  ]);
  expect(lines.join()).not.toContain('hunter2');
});

test('a database of its own demands a secret key, and tells how to make one', () => {
  expect(linesOf({ DATABASE_URL: 'postgres://db/x' }).join()).toMatch(
    /^HOOKGRAPH_SECRET_KEY is required.*openssl rand -base64 32/,
  );
});

test('a direct address without the database is refused', () => {
  expect(linesOf({ DATABASE_URL_DIRECT: 'postgres://db/x' }).join()).toContain('DATABASE_URL_DIRECT');
});

test('a misspelt variable is a warning that names it', () => {
  const { warnings } = loadConfig({ HOOKGRAPH_ROLE: 'api', OTHER: 'x' });
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(/^HOOKGRAPH_ROLE is unknown .*HOOKGRAPH_ROLES/);
});

test('a secret key is 32 bytes in any usual spelling of base64', () => {
  const bytes = Buffer.alloc(32, 251);
  for (const text of [bytes.toString('base64'), bytes.toString('base64url')]) {
    expect(loadConfig({ HOOKGRAPH_SECRET_KEY: text }).secretKey).toEqual(bytes);
  }
  expect(linesOf({ HOOKGRAPH_SECRET_KEY: Buffer.alloc(31).toString('base64') })).toHaveLength(1);
});

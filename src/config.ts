import { resolve } from 'node:path';
import { z } from 'zod';
import { parseNetwork } from './platform/networks.ts';
import { StartupError } from './platform/startupError.ts';

/** What a process does. Whatever it is, `/healthz`, `/readyz` and `/metrics` answer. */
export const roles = ['api', 'receiver', 'worker'] as const;
export type Role = (typeof roles)[number];

/** A variable of the environment: where its documentation and its rule live together. */
interface Variable<T> {
  readonly name: string;
  /** Read as if it had been given; null where nothing given is a value of its own, told by `otherwise`. */
  readonly fallback: string | null;
  /** What happens without the variable, in words, where there is no fallback text. */
  readonly otherwise?: string;
  readonly meaning: string;
  /** Issues of this schema are shown to the operator: they say what is wanted and never repeat a value. */
  readonly schema: z.ZodType<T, string>;
}

function given<T>(name: string, fallback: string, meaning: string, schema: z.ZodType<T, string>): Variable<T> {
  return { name, fallback, meaning, schema };
}

function optional<T>(name: string, otherwise: string, meaning: string, schema: z.ZodType<T, string>) {
  return { name, fallback: null, otherwise, meaning, schema: schema as z.ZodType<T | null, string> } as const;
}

function whole(least: number, most: number): z.ZodType<number, string> {
  const wanted = `must be a whole number from ${least} to ${most}`;
  return z
    .string()
    .regex(/^\d{1,15}$/, wanted)
    .transform(Number)
    .refine((n) => n >= least && n <= most, wanted);
}

/** A comma-separated list, empty for no text, each part mapped by `parse`, which answers undefined for what it refuses. */
function list<T>(wanted: string, parse: (part: string) => T | undefined): z.ZodType<readonly T[], string> {
  return z.string().transform((text, context) => {
    const parts = text === '' ? [] : text.split(',').map((part) => part.trim());
    const values = parts.map((part) => parse(part));
    const refused = values.findIndex((value) => value === undefined);
    if (refused === -1) return Object.freeze(values as T[]);
    context.addIssue(`must be ${wanted}, and "${parts[refused]?.slice(0, 60)}" is not`);
    return z.NEVER;
  });
}

/** Canonical text (`10.0.0.0/8`) of a CIDR; a bare address is a network of one. */
function cidr(part: string): string | undefined {
  return parseNetwork(part)?.join('/');
}

function origin(part: string): string | undefined {
  const url = URL.canParse(part) ? new URL(part) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) return undefined;
  return url.href === `${url.origin}/` ? url.origin : undefined;
}

function role(part: string): Role | undefined {
  return roles.find((name) => name === part);
}

function isPostgresUrl(text: string): boolean {
  return /^postgres(ql)?:\/\//.test(text) && URL.canParse(text);
}

function isPublicUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash } = new URL(text);
  return /^https?:$/.test(protocol) && username + password + search + hash === '';
}

/** Name and value of `name=value`; null where it is none. */
function headerOf(part: string): readonly [name: string, value: string] | null {
  const [, name, value] =
    /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128})=((?:[!-$&-~]|%[2-7][\da-fA-F]){0,4096})$/.exec(part) ?? [];
  return name === undefined || value === undefined ? null : [name, decodeURIComponent(value)];
}

const collector = z.string().refine(isPublicUrl, 'must be an http or https address without user, query and fragment');
const postgresUrl = z.string().refine(isPostgresUrl, 'must be an address like postgres://user:password@host:5432/name');
const makeSecretKey = 'make one with `openssl rand -base64 32` and keep it as safe as the database';

/** Every variable of hookgraph, once; the order is that of the documentation. */
const variables = {
  port: given('PORT', '4000', 'the one port it listens on; 0 takes any free one', whole(0, 65_535)),
  host: given(
    'HOST',
    '127.0.0.1',
    'address it listens on; 0.0.0.0 or :: for all',
    z.string().regex(/^[\w.:%-]{1,253}$/, 'must be a host name or an address, without scheme and port'),
  ),
  databaseUrl: optional(
    'DATABASE_URL',
    'an embedded PostgreSQL under HOOKGRAPH_DATA_DIR',
    'a PostgreSQL, 15 or newer',
    postgresUrl,
  ),
  databaseUrlDirect: optional(
    'DATABASE_URL_DIRECT',
    'DATABASE_URL',
    'the same database without a pooler between, for LISTEN and locks',
    postgresUrl,
  ),
  dataDir: given(
    'HOOKGRAPH_DATA_DIR',
    '.hookgraph',
    'directory of the embedded database and the secret key',
    z.string().transform((path) => resolve(path)),
  ),
  roles: given(
    'HOOKGRAPH_ROLES',
    roles.join(','),
    'what this process does',
    list(`a comma-separated list of ${roles.join(', ')}`, role).transform(
      (names): ReadonlySet<Role> => new Set<Role>(names),
    ),
  ),
  apiKey: optional(
    'HOOKGRAPH_API_KEY',
    'one is generated and printed once, if the tenant has none',
    'a key of the first tenant with all scopes',
    z.string().regex(/^[!-~][ -~]{30,198}[!-~]$/, 'must be 32 to 200 printable ASCII characters'),
  ),
  tenantSlug: given(
    'HOOKGRAPH_TENANT',
    'default',
    'slug of the first tenant',
    z
      .string()
      .regex(
        /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/,
        'must be 1 to 64 lower-case letters, digits and hyphens, with a letter or digit at both ends',
      ),
  ),
  secretKey: optional(
    'HOOKGRAPH_SECRET_KEY',
    'a file in HOOKGRAPH_DATA_DIR',
    'key that secrets are encrypted with, 32 bytes as base64; required beside DATABASE_URL',
    z
      .string()
      .regex(/^(?:[A-Za-z0-9+/]{43}=?|[A-Za-z0-9_-]{43}=?)$/, `must be 32 bytes as base64: ${makeSecretKey}`)
      .transform((text) => Buffer.from(text, 'base64')),
  ),
  publicUrl: optional(
    'HOOKGRAPH_PUBLIC_URL',
    'the origin of the request',
    'base of the addresses that receivers are shown with',
    z
      .string()
      .refine(isPublicUrl, 'must be an http or https address without user, query and fragment')
      .transform((text) => new URL(text).href.replace(/\/+$/, '')),
  ),
  allowTargets: given(
    'HOOKGRAPH_ALLOW_TARGETS',
    '',
    'networks that deliveries may reach though private',
    list('comma-separated networks like 10.0.0.0/8', cidr),
  ),
  headerPrefix: given(
    'HOOKGRAPH_HEADER_PREFIX',
    'X-Alga-',
    'of the signed headers',
    z
      .string()
      .regex(/^[A-Za-z][A-Za-z0-9-]{0,39}$/, 'must be 1 to 40 letters, digits and hyphens, a letter first')
      // `webhook-signature` and `webhook-id` are the headers of Standard Webhooks on the same request.
      .refine((prefix) => prefix.toLowerCase() !== 'webhook-', 'must differ from the prefix of Standard Webhooks'),
  ),
  retentionDays: given('HOOKGRAPH_RETENTION_DAYS', '30', 'days that history is kept', whole(1, 3_650)),
  desk: given(
    'HOOKGRAPH_DESK',
    'on',
    'the bundled service desk, on or off',
    z
      .string()
      .toLowerCase()
      .pipe(z.enum(['on', 'off', 'true', 'false', '1', '0', 'yes', 'no'], 'must be on or off'))
      .transform((word) => ['on', 'true', '1', 'yes'].includes(word)),
  ),
  trustedProxies: given(
    'HOOKGRAPH_TRUSTED_PROXIES',
    '',
    'networks of proxies whose X-Forwarded-* headers count',
    list('comma-separated networks like 10.0.0.0/8', cidr),
  ),
  maxBodyBytes: given('HOOKGRAPH_MAX_BODY_BYTES', '1048576', 'most bytes of an inbound request', whole(1, 67_108_864)),
  drainSeconds: given('HOOKGRAPH_DRAIN_SECONDS', '10', 'between SIGTERM and the end', whole(0, 3_600)),
  allowedOrigins: optional(
    'HOOKGRAPH_ALLOWED_ORIGINS',
    'its own origin',
    'web origins of dashboards, for HTTP and WebSocket',
    list('comma-separated origins like https://dashboard.example', origin),
  ),
  logLevel: given(
    'HOOKGRAPH_LOG_LEVEL',
    'info',
    'least severe line that is logged',
    z.enum(
      ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
      'must be fatal, error, warn, info, debug, trace or silent',
    ) as z.ZodType<'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent', string>,
  ),
  otlpEndpoint: optional(
    'OTEL_EXPORTER_OTLP_ENDPOINT',
    'none',
    'OpenTelemetry collector that gets traces, OTLP over HTTP',
    collector,
  ),
  otlpTracesEndpoint: optional(
    'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
    'OTEL_EXPORTER_OTLP_ENDPOINT with /v1/traces',
    'the whole address for traces, where it is another',
    collector,
  ),
  otlpHeaders: given(
    'OTEL_EXPORTER_OTLP_HEADERS',
    '',
    'headers for the collector, such as its key',
    z.string().transform((text, context) => {
      const parts = text === '' ? [] : text.split(',').map((part) => headerOf(part.trim()));
      if (!parts.includes(null)) return Object.freeze(Object.fromEntries(parts as [string, string][]));
      context.addIssue('must be comma-separated headers like name=value, with percent-encoded values');
      return z.NEVER;
    }),
  ),
  serviceName: given(
    'OTEL_SERVICE_NAME',
    'hookgraph',
    'name of this process in traces',
    z.string().max(255, 'must be at most 255 characters'),
  ),
};

type Variables = typeof variables;
type Values = { readonly [Key in keyof Variables]: z.output<Variables[Key]['schema']> };

/** The environment, parsed. Frozen; absent options are null, never empty text. CIDRs are canonical text. */
export interface Config extends Values {
  /** Lines for the operator that keep nobody from starting: variables that look like ours and are not. */
  readonly warnings: readonly string[];
}

/**
 * Parses the environment. Empty and blank values count as absent, so that `NAME=` in a compose file means nothing given.
 * Throws one StartupError with a line for every wrong variable, never with its value where that is a secret.
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const wrong: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, variable] of Object.entries<Variable<unknown>>(variables)) {
    const text = env[variable.name]?.trim() || variable.fallback;
    if (text === null) {
      values[key] = null;
      continue;
    }
    const result = variable.schema.safeParse(text);
    if (result.success) values[key] = result.data;
    else wrong.push(`${variable.name} ${result.error.issues[0]?.message}.`);
  }
  const isGiven = (key: keyof Variables) => Boolean(env[variables[key].name]?.trim());
  if (isGiven('databaseUrl') && !isGiven('secretKey')) {
    wrong.push(`HOOKGRAPH_SECRET_KEY is required beside DATABASE_URL: ${makeSecretKey}.`);
  }
  if (isGiven('databaseUrlDirect') && !isGiven('databaseUrl')) {
    wrong.push('DATABASE_URL_DIRECT means the database of DATABASE_URL, which is not given: give both or neither.');
  }
  if (wrong.length > 0) throw new StartupError(wrong);
  return Object.freeze({ ...(values as Values), warnings: Object.freeze(unknownNames(env)) });
}

/** The variables for documentation: name, what holds without it, meaning. */
export function describeVariables(): { name: string; fallback: string; meaning: string }[] {
  return Object.values<Variable<unknown>>(variables).map(({ name, fallback, otherwise, meaning }) => ({
    name,
    fallback: otherwise ?? (fallback || 'none'),
    meaning,
  }));
}

function unknownNames(env: Readonly<Record<string, string | undefined>>): string[] {
  const known = Object.values<Variable<unknown>>(variables).map(({ name }) => name);
  const ours = known.filter((name) => name.startsWith('HOOKGRAPH_')).join(', ');
  return Object.keys(env)
    .filter((name) => name.startsWith('HOOKGRAPH_') && !known.includes(name))
    .map((name) => `${name} is unknown and ignored; known are ${ours}.`);
}

import type { Sql } from '../../platform/database.ts';
import { encodeId } from '../../platform/ids.ts';
import type { Logger } from '../../platform/logs.ts';
import type { SecretBox } from '../../platform/secrets.ts';
import { WEBHOOK_DEFAULTS } from '../webhooks/webhookInput.ts';
import type { Circuit } from './breaker.ts';
import { rateLimit } from './limiter.ts';
import type { RateLimit } from './limiter.ts';
import { signingKey } from './signature.ts';
import type { SigningKey } from './signature.ts';

/** Where a webhook's deliveries go and how, or those that an inbound webhook forwards, as the lane needs it. */
export interface Destination {
  readonly webhookId: string;
  /** The webhook's TypeID. */
  readonly publicId: string;
  readonly tenantId: string;
  /** Of a deleted webhook: its last. */
  readonly webhookName: string;
  readonly status: 'ACTIVE' | 'PAUSED' | 'DISABLED' | 'DELETED';
  readonly version: number;
  readonly url: string;
  readonly verifySsl: boolean;
  readonly timeoutMs: number;
  /** Seconds to wait after each failed attempt. */
  readonly retrySchedule: readonly number[];
  readonly maxConcurrency: number;
  readonly rateLimit: RateLimit | null;
  readonly isStrict: boolean;
  /** JSONata on the envelope. */
  readonly condition: string | null;
  /** What of the envelope's data is sent; null is all. */
  readonly payloadFields: readonly string[] | null;
  /** Static headers, a flat list of names and values. */
  readonly customHeaders: readonly string[];
  /** It was paused until then; ms since the epoch, 0 where it never was. */
  readonly resumedAt: number;
  /** The secrets that sign now, oldest first. */
  keys(now: number): SigningKey[];
  /** `Retry-After` holds the webhook back until then; ms since the epoch. */
  readonly heldUntil: number;
  /** As it was written down last. */
  readonly circuit: Circuit;
  /** What the rate limiter remembers; ms since the epoch. */
  readonly limiterAt: number;
  /** How often the webhook was paused, resumed or enabled. */
  readonly statusChanges: number;
  /** Up to which of these the feed was told what that means for each open delivery. */
  readonly statusTold: number;
  /** Takeovers from holders that died, since a result was last written down. */
  readonly crashes: number;
}

interface DestinationRow {
  readonly webhook_id: string;
  readonly tenant_id: string;
  readonly webhook_name: string;
  readonly held_until: number | null;
  readonly status: 'ACTIVE' | 'PAUSED' | 'DISABLED' | null;
  readonly version: string;
  readonly url: string;
  readonly verify_ssl: boolean;
  readonly timeout_seconds: number;
  readonly retry_schedule: number[];
  readonly max_concurrency: number;
  readonly rate_limit_per_minute: number | null;
  readonly ordering: 'NONE' | 'STRICT';
  readonly condition: string | null;
  readonly payload_fields: string[] | null;
  readonly headers: string | null;
  readonly resumed_at: number | null;
  readonly circuit_until: number | null;
  readonly consecutive_failures: number | null;
  readonly limiter_at: number | null;
  readonly status_changes: number;
  readonly status_told: number;
  readonly crashes: number;
  readonly secret: string;
  readonly previous_secret: string | null;
  readonly previous_until: number | null;
  readonly forward_status: 'ACTIVE' | 'PAUSED' | 'DISABLED' | null;
  readonly forward_version: string;
  readonly forward_url: string | null;
  readonly forward_secret: string | null;
  readonly previous_forward_secret: string | null;
  readonly previous_forward_until: number | null;
}

const READ_DESTINATIONS = `/*destinations*/
select l.webhook_id, l.tenant_id, l.webhook_name, epoch_ms(l.held_until) as held_until, w.status, w.version, w.url,
  w.verify_ssl, w.timeout_seconds, w.retry_schedule, w.max_concurrency, w.secret, w.previous_secret,
  epoch_ms(w.previous_secret_expires_at) as previous_until, w.rate_limit_per_minute, w.ordering, w.condition, w.payload_fields, w.headers,
  epoch_ms(w.resumed_at) as resumed_at, epoch_ms(l.circuit_until) as circuit_until, h.consecutive_failures,
  epoch_ms(l.limiter_at) as limiter_at, l.status_changes, l.status_told, l.crashes,
  f.status as forward_status, f.version as forward_version, f.url as forward_url, f.forward_secret,
  f.previous_forward_secret, epoch_ms(f.previous_forward_secret_expires_at) as previous_forward_until
from unnest($1::uuid[]) as wanted(id)
join lane l on l.webhook_id = wanted.id
left join webhook w on w.id = wanted.id and w.tenant_id = l.tenant_id
left join webhook_health h on h.webhook_id = w.id
left join inbound_webhook f on f.id = wanted.id and f.tenant_id = l.tenant_id`;

/**
 * By webhook id. One that has no lane row is gone, and has nothing open. One whose secret can't be read (a restored
 * row, another key) is left out and logged: it waits, the others don't.
 */
export const readDestinations = async (
  sql: Sql,
  box: SecretBox,
  webhookIds: readonly string[],
  log: Logger,
): Promise<Map<string, Destination>> => {
  const destinations = new Map<string, Destination>();
  for (const row of await sql.query<DestinationRow>(READ_DESTINATIONS, [webhookIds])) {
    try {
      destinations.set(row.webhook_id, destinationOf(row, box));
    } catch (error) {
      log.error({ err: error, webhookId: row.webhook_id }, 'the signing secret of a webhook cannot be read');
    }
  }
  return destinations;
};

const destinationOf = (row: DestinationRow, box: SecretBox): Destination => {
  const common = {
    webhookId: row.webhook_id,
    tenantId: row.tenant_id,
    webhookName: row.webhook_name,
    heldUntil: row.held_until ?? 0,
    resumedAt: row.resumed_at ?? 0,
    circuit: { failures: row.consecutive_failures ?? 0, until: row.circuit_until },
    limiterAt: row.limiter_at ?? 0,
    statusChanges: row.status_changes,
    statusTold: row.status_told,
    crashes: row.crashes,
  };
  if (row.status === null && row.forward_status !== null) return { ...common, ...forwardOf(row, box) };
  if (row.status === null) {
    return {
      ...common,
      publicId: encodeId('webhook', row.webhook_id),
      status: 'DELETED',
      version: Number.MAX_SAFE_INTEGER,
      url: '',
      verifySsl: true,
      timeoutMs: 0,
      retrySchedule: [],
      maxConcurrency: 0,
      rateLimit: null,
      isStrict: false,
      condition: null,
      payloadFields: null,
      customHeaders: [],
      keys: () => [],
    };
  }
  const decrypt = opener(row, box);
  return {
    ...common,
    publicId: encodeId('webhook', row.webhook_id),
    status: row.status,
    version: Number(row.version),
    url: row.url,
    verifySsl: row.verify_ssl,
    timeoutMs: row.timeout_seconds * 1000,
    retrySchedule: row.retry_schedule,
    maxConcurrency: row.max_concurrency,
    rateLimit: row.rate_limit_per_minute === null ? null : rateLimit(row.rate_limit_per_minute),
    isStrict: row.ordering === 'STRICT',
    condition: row.condition,
    payloadFields: row.payload_fields,
    customHeaders: row.headers === null ? [] : (JSON.parse(decrypt(row.headers, 'headers')) as string[][]).flat(),
    keys: keysOf(
      signingKey(decrypt(row.secret, 'secret')),
      row.previous_secret && signingKey(decrypt(row.previous_secret, 'secret')),
      row.previous_until,
    ),
  };
};

/** What the lane's row says, whatever it delivers for. */
type LaneState =
  | 'webhookId'
  | 'tenantId'
  | 'webhookName'
  | 'heldUntil'
  | 'resumedAt'
  | 'circuit'
  | 'limiterAt'
  | 'statusChanges'
  | 'statusTold'
  | 'crashes';

/** An inbound webhook with an address: the defaults of an outbound one, and a key of its own. */
const forwardOf = (row: DestinationRow, box: SecretBox): Omit<Destination, LaneState> => {
  const decrypt = opener(row, box);
  const canSign = row.forward_url !== null && row.forward_secret !== null;
  return {
    publicId: encodeId('inboundWebhook', row.webhook_id),
    status: canSign && row.forward_status !== 'DISABLED' ? 'ACTIVE' : 'DISABLED',
    version: Number(row.forward_version),
    url: row.forward_url ?? '',
    verifySsl: true,
    timeoutMs: WEBHOOK_DEFAULTS.timeoutSeconds * 1000,
    retrySchedule: WEBHOOK_DEFAULTS.retrySchedule,
    maxConcurrency: WEBHOOK_DEFAULTS.maxConcurrency,
    rateLimit: null,
    isStrict: false,
    condition: null,
    payloadFields: null,
    customHeaders: [],
    keys: canSign
      ? keysOf(
          signingKey(decrypt(row.forward_secret, 'forwardSecret')),
          row.previous_forward_secret && signingKey(decrypt(row.previous_forward_secret, 'forwardSecret')),
          row.previous_forward_until,
        )
      : () => [],
  };
};

const opener =
  (row: DestinationRow, box: SecretBox) =>
  (text: string, field: string): string =>
    box.decrypt(text, { tenant: row.tenant_id, row: row.webhook_id, field });

const keysOf =
  (current: SigningKey, previous: SigningKey | '' | null, until: number | null) =>
  (now: number): SigningKey[] =>
    previous && until !== null && until > now ? [previous, current] : [current];

const READ_VERSIONS = `/*webhook_versions*/
select wanted.id, w.version from unnest($1::uuid[]) as wanted(id) left join lane_target w on w.id = wanted.id`;

/** Versions by webhook id; `Number.MAX_SAFE_INTEGER` for one that is gone. */
export const readVersions = async (sql: Sql, webhookIds: readonly string[]): Promise<Map<string, number>> => {
  const rows = await sql.query<{ id: string; version: string | null }>(READ_VERSIONS, [webhookIds]);
  return new Map(rows.map((row) => [row.id, row.version === null ? Number.MAX_SAFE_INTEGER : Number(row.version)]));
};

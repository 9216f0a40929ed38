import { randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Sql } from '../../platform/database.ts';
import { newId } from '../../platform/ids.ts';
import { SecretBox } from '../../platform/secrets.ts';
import type { WebhookStatus } from '../webhooks/webhook.ts';
import { Limiter } from './limiter.ts';
import type { CredentialNames } from './credentials.ts';
import { openVerifier } from './inboundSecrets.ts';
import { inboundSecretScope } from './inboundWebhook.ts';
import type { InboundHandlerType } from './inboundWebhook.ts';
import type { ValueSource } from './valueSource.ts';
import type { InboundAuthType } from './verification/authType.ts';
import type { Verifier } from './verification/verifier.ts';

/** How a webhook is addressed: by its tenant's slug and its own, or by its id. */
export type ReceiverAddress =
  | { readonly tenantSlug: string; readonly slug: string }
  | { /** UUID. */ readonly id: string };

/** An inbound webhook as a receiver needs it. */
export interface InboundReceiver {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly slug: string;
  readonly version: number;
  readonly status: WebhookStatus;
  readonly verifier: Verifier;
  /** Names under which it expects credentials. */
  readonly credentialNames: CredentialNames;
  /** Whether judging a request hashes its body, which takes a time that can be measured. */
  readonly hashesBody: boolean;
  /** Event types let through, in lower case; empty: all. */
  readonly events: ReadonlySet<string>;
  readonly eventTypeSource: ValueSource | null;
  readonly idempotencySource: ValueSource | null;
  /** Whether what it receives waits for somebody: a handler that does something, or forwarding. */
  readonly isDispatched: boolean;
  readonly rateLimitPerMinute: number;
  readonly sampleArmed: boolean;
}

type VersionRow = Pick<ReceiverRow, 'id' | 'version'>;

interface ReceiverRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly name: string;
  readonly slug: string;
  readonly version: number;
  readonly status: WebhookStatus;
  readonly auth_type: InboundAuthType;
  readonly auth_preset: string | null;
  readonly auth_config: string;
  readonly secret: string | null;
  readonly verify_token: string | null;
  readonly events: string[];
  readonly event_type_source: string | null;
  readonly idempotency_source: string | null;
  readonly handler_type: InboundHandlerType;
  readonly url: string | null;
  readonly rate_limit_per_minute: number;
  readonly sample_armed: boolean;
}

const COLUMNS = `w.id, w.tenant_id, w.name, w.slug, w.version::double precision as version, w.status, w.auth_type, w.auth_preset, w.auth_config,
  w.secret, w.verify_token, w.events, w.event_type_source, w.idempotency_source, w.handler_type, w.url, w.rate_limit_per_minute, w.sample_armed`;

export const BY_SLUG = `/*inbound_by_slug*/
select ${COLUMNS} from tenant t join inbound_webhook w on w.tenant_id = t.id and w.slug = $2 where t.slug = $1`;
export const BY_ID = `/*inbound_by_id*/ select ${COLUMNS} from inbound_webhook w where w.id = $1`;
const VERSION_BY_SLUG = `/*inbound_version_by_slug*/
select w.id, w.version::double precision as version
from tenant t join inbound_webhook w on w.tenant_id = t.id and w.slug = $2 where t.slug = $1`;
const VERSION_BY_ID = `/*inbound_version_by_id*/
select w.id, w.version::double precision as version from inbound_webhook w where w.id = $1`;

const KEPT = 10_000;
/**
 * How long (ms) an address is believed to lead, or not to lead, somewhere where a notification is lost. The clock of that is
 * read ten times a second: the thousand that are usual cost a timer each.
 */
const BELIEVED = { ttl: 10_000, ttlResolution: 100 };
/** Of a process, for those who were refused: a flood of them is judged by what is known. */
const LOOKS_AGAIN = { burst: 100, perMinute: 6_000 };

/** Reads inbound webhooks as receivers need them. */
export class ReceiverReader {
  readonly #sql: Sql;
  readonly #secrets: SecretBox;

  constructor(sql: Sql, secrets: SecretBox) {
    this.#sql = sql;
    this.#secrets = secrets;
  }

  /** As it is in the database now; null for an address that leads nowhere, which takes as long. Rejects with what the database says. */
  async read(address: ReceiverAddress): Promise<InboundReceiver | null> {
    const [row] =
      'id' in address
        ? await this.#sql.query<ReceiverRow>(BY_ID, [address.id])
        : await this.#sql.query<ReceiverRow>(BY_SLUG, [address.tenantSlug, address.slug]);
    if (row) return receiverOf(row, this.#secrets);
    // For as long as it takes to make one that is there.
    receiverOf(NOBODY, NOBODYS_BOX);
    return null;
  }
}

/**
 * Finds who receives at an address. Look-ups are kept, those that find nothing too, and forgotten (`forget`) when a webhook changes: at
 * once in the process that changes it, by `hookgraph_inbound` in the others. What comes in between is
 * judged by old settings: who passes is refused by the commit, which compares versions, and who does not is judged
 * again where `isCurrent` says no.
 */
export class ReceiverDirectory {
  readonly #sql: Sql;
  readonly #reader: ReceiverReader;
  readonly #looking = new Map<string, Promise<InboundReceiver | null>>();
  readonly #found = new LRUCache<string, InboundReceiver>({ max: KEPT, ...BELIEVED });
  /** Apart, so that somebody who tries many addresses pushes out none that leads somewhere. */
  readonly #missing = new LRUCache<string, true>({ max: KEPT, ...BELIEVED });
  /** Rises whenever something is forgotten: a look-up that began before is not kept. */
  #epoch = 0;
  readonly #looksAgain = new Limiter(1);

  constructor(sql: Sql, secrets: SecretBox) {
    this.#sql = sql;
    this.#reader = new ReceiverReader(sql, secrets);
  }

  /** Null for an address that leads nowhere. Rejects with what the database says. Callers who ask at once share a look-up. */
  find(address: ReceiverAddress): Promise<InboundReceiver | null> | InboundReceiver | null {
    const known = this.known(address);
    if (known !== undefined) return known;
    const key = keyOf(address);
    const present = this.#looking.get(key);
    if (present) return present;
    const looking = this.#look(key, address).finally(() => {
      if (this.#looking.get(key) === looking) this.#looking.delete(key);
    });
    this.#looking.set(key, looking);
    return looking;
  }

  /** What is known without looking: undefined for nothing. */
  known(address: ReceiverAddress): InboundReceiver | null | undefined {
    const key = keyOf(address);
    return this.#found.get(key) ?? (this.#missing.has(key) ? null : undefined);
  }

  /**
   * Whether an address still leads to what `find` answered; forgets everything where it does not. A hundred times a second
   * it looks, and costs the same for every address; beyond that it believes.
   */
  async isCurrent(address: ReceiverAddress, found: InboundReceiver | null): Promise<boolean> {
    if (this.#looksAgain.take('', LOOKS_AGAIN, Date.now()) > 0) return true;
    const [row] =
      'id' in address
        ? await this.#sql.query<VersionRow>(VERSION_BY_ID, [address.id])
        : await this.#sql.query<VersionRow>(VERSION_BY_SLUG, [address.tenantSlug, address.slug]);
    if (row?.id === found?.id && row?.version === found?.version) return true;
    this.forget();
    return false;
  }

  /** Some webhook is another now. All are read again when they are asked for: changes are rare, and a look-up is cheap. */
  forget(): void {
    this.#epoch++;
    this.#looking.clear();
    this.#found.clear();
    this.#missing.clear();
  }

  async #look(key: string, address: ReceiverAddress): Promise<InboundReceiver | null> {
    for (;;) {
      const epoch = this.#epoch;
      const receiver = await this.#reader.read(address);
      // It may have been read before the change that was told of meanwhile.
      if (epoch !== this.#epoch) continue;
      if (receiver) this.#found.set(key, receiver);
      else this.#missing.set(key, true);
      return receiver;
    }
  }
}

const keyOf = (address: ReceiverAddress): string =>
  'id' in address ? address.id : `${address.tenantSlug}/${address.slug}`;

const receiverOf = (row: ReceiverRow, secrets: SecretBox): InboundReceiver => ({
  id: row.id,
  tenantId: row.tenant_id,
  name: row.name,
  slug: row.slug,
  version: row.version,
  status: row.status,
  ...openVerifier(
    {
      id: row.id,
      tenantId: row.tenant_id,
      type: row.auth_type,
      preset: row.auth_preset,
      config: JSON.parse(row.auth_config) as Record<string, unknown>,
      secret: row.secret,
      verifyToken: row.verify_token,
    },
    secrets,
  ),
  hashesBody: row.auth_type === 'HMAC' || row.auth_type === 'STANDARD_WEBHOOKS',
  events: new Set(row.events),
  eventTypeSource: sourceOf(row.event_type_source),
  idempotencySource: sourceOf(row.idempotency_source),
  isDispatched: row.handler_type !== 'RECORD' || row.url !== null,
  rateLimitPerMinute: row.rate_limit_per_minute,
  sampleArmed: row.sample_armed,
});

const NOBODYS_BOX = new SecretBox(randomBytes(32));
const NOBODYS_SCOPE = inboundSecretScope(newId(), newId(), 'secret');
const NOBODY: ReceiverRow = {
  id: NOBODYS_SCOPE.row,
  tenant_id: NOBODYS_SCOPE.tenant,
  name: '',
  slug: '',
  version: 0,
  status: 'DISABLED',
  auth_type: 'STANDARD_WEBHOOKS',
  auth_preset: null,
  auth_config: '{"headerPrefix":"webhook-","toleranceSeconds":300}',
  secret: NOBODYS_BOX.encrypt(`whsec_${randomBytes(32).toString('base64')}`, NOBODYS_SCOPE),
  verify_token: null,
  events: [],
  event_type_source: null,
  idempotency_source: null,
  handler_type: 'RECORD',
  url: null,
  rate_limit_per_minute: 1,
  sample_armed: false,
};

const sourceOf = (text: string | null): ValueSource | null =>
  text === null ? null : (JSON.parse(text) as ValueSource);

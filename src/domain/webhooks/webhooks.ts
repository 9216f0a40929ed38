import { LockMode } from '@mikro-orm/core';
import type { SqlEntityManager } from '@mikro-orm/postgresql';
import type { Database, Sql } from '../../platform/database.ts';
import { sqlOf } from '../../platform/database.ts';
import { newId } from '../../platform/ids.ts';
import { notCompiled } from '../../platform/sandbox/sandbox.ts';
import { generateSigningSecret, signingSecretSpellings } from '../../platform/secrets.ts';
import type { SecretBox, SecretScope } from '../../platform/secrets.ts';
import type { LaneBell } from '../deliveries/bell.ts';
import { outliveTarget, renameLane } from '../deliveries/openDeliveries.ts';
import { NotFoundError, ValidationError } from '../errors.ts';
import type { HealthFeed } from './healthFeed.ts';
import { Webhook } from './webhook.ts';
import type { WebhookStatus } from './webhook.ts';
import { checkCreate, checkUpdate } from './webhookInput.ts';
import type { HeaderInput, WebhookCreateInput, WebhookRules, WebhookUpdateInput } from './webhookInput.ts';

/** One secret in two spellings; told once, when it is made. */
export interface SigningSecret {
  readonly value: string;
  readonly standardWebhooks: string;
}

export interface WebhookWithSecret {
  readonly webhook: Webhook;
  readonly signingSecret: SigningSecret;
}

const MAX_OVERLAP_SECONDS = 604_800;

/** Where a webhook's secrets live, for whoever signs with them. */
export const webhookSecretScope = (tenantId: string, webhookId: string): SecretScope => ({
  tenant: tenantId,
  row: webhookId,
  field: 'secret',
});

const webhookHeadersScope = (tenantId: string, webhookId: string): SecretScope => ({
  tenant: tenantId,
  row: webhookId,
  field: 'headers',
});

/**
 * Another address, or another try: what was learnt about the old one holds nothing back. Where it is paused, resumed or enabled
 * ($4), the lane's holder tells the feed what that means for each delivery. Answers a row where that closed a circuit.
 */
const FRESH_START = `
with before as materialized (select circuit_until from lane where webhook_id = $1 for update),
fresh as (
  update lane set crashes = 0, circuit_until = case when $2 then null else circuit_until end,
    held_until = case when $3 then null else held_until end, status_changes = status_changes + $4::boolean::int
  where webhook_id = $1
)
update webhook_health set changed_at = clock_timestamp()
where webhook_id = $1 and $2 and exists (select from before where circuit_until is not null)
returning webhook_id`;

/**
 * What changes webhooks. Every change is one transaction that locks the webhook's row, so that changes made at once
 * follow one another and none undoes another; it raises `version`, and after the commit the lane's holder is told.
 */
export class Webhooks {
  readonly #database: Database;
  readonly #secrets: SecretBox;
  readonly #bell: LaneBell;
  readonly #healthFeed: Pick<HealthFeed, 'tell'>;
  readonly #rules: WebhookRules;

  constructor(
    database: Database,
    secrets: SecretBox,
    bell: LaneBell,
    healthFeed: Pick<HealthFeed, 'tell'>,
    rules: WebhookRules,
  ) {
    this.#database = database;
    this.#secrets = secrets;
    this.#bell = bell;
    this.#healthFeed = healthFeed;
    this.#rules = rules;
  }

  /** Throws ValidationError. */
  async create(tenantId: string, input: WebhookCreateInput): Promise<WebhookWithSecret> {
    const { isActive, headers, ...settings } = checkCreate(input, this.#rules);
    await this.#checkCondition(tenantId, settings.condition);
    const id = newId();
    const secret = generateSigningSecret();
    const webhook = await this.#database.em().transactional(async (em) => {
      const now = new Date();
      const created = em.create(Webhook, {
        id,
        tenantId,
        ...settings,
        headerNames: headers.map(({ name }) => name),
        headers: this.#sealHeaders(tenantId, id, headers, []),
        resumedAt: null,
        status: isActive ? 'ACTIVE' : 'DISABLED',
        secret: this.#secrets.encrypt(secret, webhookSecretScope(tenantId, id)),
        previousSecret: null,
        previousSecretExpiresAt: null,
        disabledAt: isActive ? null : now,
        disabledReason: isActive ? null : 'Created inactive.',
        version: 1,
        createdAt: now,
        updatedAt: now,
      });
      em.persist(created);
      await em.flush();
      const sql = sqlOf(em);
      await subscribe(sql, created);
      await sql.query(`insert into webhook_health (webhook_id) values ($1)`, [id]);
      await sql.query(`insert into lane (webhook_id, tenant_id, webhook_name) values ($1, $2, $3)`, [
        id,
        tenantId,
        created.name,
      ]);
      return created;
    });
    this.#bell.configurationChanged(id);
    return { webhook, signingSecret: signingSecretSpellings(secret) };
  }

  /** Throws NotFoundError or ValidationError. */
  async update(tenantId: string, id: string, input: WebhookUpdateInput): Promise<Webhook> {
    const { settings, status, headers } = checkUpdate(input, this.#rules);
    await this.#checkCondition(tenantId, settings.condition ?? null);
    const { webhook, isOtherStatus, isOtherHealth } = await this.#change(tenantId, id, async (em, webhook) => {
      const sql = sqlOf(em);
      const before = webhook.status;
      if (headers !== null) {
        await em.populate(webhook, ['headers']);
        webhook.headers = this.#sealHeaders(tenantId, id, headers, this.#openHeaders(webhook));
        webhook.headerNames = headers.map(({ name }) => name);
      }
      const isElsewhere = settings.url !== undefined && settings.url !== webhook.url;
      Object.assign(webhook, settings);
      if (status !== null && status !== before) await enter(sql, webhook, status);
      await em.flush();
      if (settings.eventTypes || settings.entityIds) await subscribe(sql, webhook);
      if (settings.name !== undefined) await renameLane(sql, id, webhook.name);
      const isActivated = webhook.status === 'ACTIVE' && before !== 'ACTIVE';
      const isAnew = before === 'DISABLED';
      const isOtherStatus = webhook.status !== before;
      const isToTell = isOtherStatus && webhook.status !== 'DISABLED';
      const closed = await sql.query(FRESH_START, [id, isElsewhere || isActivated, isElsewhere || isAnew, isToTell]);
      return { webhook, isOtherStatus, isOtherHealth: isOtherStatus || closed.length > 0 };
    });
    // What was held becomes due, what was open becomes cancelled, or is told as held.
    if (isOtherStatus) this.#ring(tenantId, id);
    if (isOtherHealth) this.#healthFeed.tell([{ tenantId, webhookId: id }]);
    return webhook;
  }

  /** The webhook and its secrets are gone with the commit; its open deliveries are cancelled by the lane's holder. */
  async delete(tenantId: string, id: string): Promise<void> {
    await this.#database.transaction(async (sql) => {
      await lockHealth(sql, tenantId, id);
      const gone = await sql.query(`delete from webhook where id = $1 and tenant_id = $2 returning id`, [id, tenantId]);
      if (gone.length === 0) throw notFound();
      await outliveTarget(sql, id);
    });
    this.#bell.configurationChanged(id);
    this.#ring(tenantId, id);
  }

  /**
   * A new secret. The old one stops with the commit, or signs beside the new one for `overlapSeconds`; one that was
   * still signing from an earlier rotation stops in any case.
   */
  async rotateSecret(tenantId: string, id: string, overlapSeconds: number): Promise<WebhookWithSecret> {
    if (!Number.isInteger(overlapSeconds) || overlapSeconds < 0 || overlapSeconds > MAX_OVERLAP_SECONDS) {
      throw new ValidationError(`The overlap must be from 0 to ${MAX_OVERLAP_SECONDS} seconds (7 days).`, [
        'overlapSeconds',
      ]);
    }
    const secret = generateSigningSecret();
    const webhook = await this.#change(tenantId, id, async (em, webhook) => {
      const overlaps = overlapSeconds > 0;
      await em.populate(webhook, ['secret', 'previousSecret']);
      webhook.previousSecret = overlaps ? webhook.secret : null;
      webhook.previousSecretExpiresAt = overlaps ? new Date(Date.now() + overlapSeconds * 1_000) : null;
      webhook.secret = this.#secrets.encrypt(secret, webhookSecretScope(tenantId, id));
      return webhook;
    });
    return { webhook, signingSecret: signingSecretSpellings(secret) };
  }

  async #checkCondition(tenantId: string, condition: string | null): Promise<void> {
    const problem = condition === null ? null : await this.#rules.checkExpression(tenantId, condition);
    if (problem) throw new ValidationError(notCompiled(problem), ['input', 'condition']);
  }

  /** Runs `work` with the locked row, then raises the version; tells the lane's holder after the commit. */
  async #change<T>(
    tenantId: string,
    id: string,
    work: (em: SqlEntityManager, webhook: Webhook) => Promise<T>,
  ): Promise<T> {
    const result = await this.#database.em().transactional(async (em) => {
      await lockHealth(sqlOf(em), tenantId, id);
      const webhook = await em.findOne(Webhook, { id, tenantId }, { lockMode: LockMode.PESSIMISTIC_WRITE });
      if (!webhook) throw notFound();
      webhook.version += 1;
      webhook.updatedAt = new Date();
      return work(em, webhook);
    });
    this.#bell.configurationChanged(id);
    return result;
  }

  /** Encrypted, or null for none. Throws ValidationError for a header that has no value, here or stored. */
  #sealHeaders(
    tenantId: string,
    id: string,
    headers: readonly HeaderInput[],
    stored: readonly (readonly [string, string])[],
  ): string | null {
    if (headers.length === 0) return null;
    const present = new Map(stored.map(([name, value]) => [name.toLowerCase(), value]));
    const whole = headers.map(({ name, value }, index) => {
      const known = value ?? present.get(name.toLowerCase());
      if (known !== undefined) return [name, known];
      throw new ValidationError(`There is no value stored for the header ${name}: give one.`, [
        'input',
        'headers',
        String(index),
        'value',
      ]);
    });
    return this.#secrets.encrypt(JSON.stringify(whole), webhookHeadersScope(tenantId, id));
  }

  #openHeaders({ tenantId, id, headers }: Webhook): [string, string][] {
    if (headers == null) return [];
    return JSON.parse(this.#secrets.decrypt(headers, webhookHeadersScope(tenantId, id))) as [string, string][];
  }

  #ring(tenantId: string, webhookId: string): void {
    this.#bell.ring([{ tenantId, webhookId, dueAt: 0 }]);
  }
}

/**
 * Before the webhook itself is locked: settles lock the health first, and one that disables the webhook, and whoever
 * changes or deletes it, would else wait for each other.
 */
const lockHealth = async (sql: Sql, tenantId: string, id: string): Promise<void> => {
  await sql.query(
    `select from webhook_health h where h.webhook_id = $1
       and exists (select from webhook w where w.id = $1 and w.tenant_id = $2) for update of h`,
    [id, tenantId],
  );
};

const notFound = (): NotFoundError => new NotFoundError('There is no such webhook.');

/** Activating forgets what made the webhook fail: the 24 hours of the automatic disabling begin anew. */
const enter = async (sql: Sql, webhook: Webhook, status: WebhookStatus): Promise<void> => {
  if (webhook.status === 'PAUSED' && status === 'ACTIVE') webhook.resumedAt = new Date();
  webhook.status = status;
  webhook.disabledAt = status === 'DISABLED' ? new Date() : null;
  webhook.disabledReason = status === 'DISABLED' ? 'Disabled by an update.' : null;
  const forget =
    status === 'ACTIVE'
      ? ', consecutive_failures = 0, failing_since = null, disable_at = null, failing_told_at = null'
      : '';
  await sql.query(`update webhook_health set changed_at = clock_timestamp()${forget} where webhook_id = $1`, [
    webhook.id,
  ]);
};

/** What an event matches by: a row for each type or wildcard, or, where it is narrowed, for each of them and each entity. */
const subscribe = async (sql: Sql, { id, tenantId, eventTypes, entityIds }: Webhook): Promise<void> => {
  const entities = entityIds.length === 0 ? [''] : entityIds;
  await sql.query(
    `delete from webhook_subscription
     where webhook_id = $1 and not (pattern = any($2::text[]) and entity_id = any($3::text[]))`,
    [id, eventTypes, entities],
  );
  await sql.query(
    `insert into webhook_subscription (tenant_id, pattern, entity_id, webhook_id)
     select $1, pattern, entity_id, $2 from unnest($3::text[]) as pattern cross join unnest($4::text[]) as entity_id
     on conflict do nothing`,
    [tenantId, id, eventTypes, entities],
  );
};

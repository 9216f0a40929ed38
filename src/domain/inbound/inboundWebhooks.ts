import { randomInt } from 'node:crypto';
import { LockMode, UniqueConstraintViolationException } from '@mikro-orm/core';
import type { SqlEntityManager } from '@mikro-orm/postgresql';
import type { Database } from '../../platform/database.ts';
import { sqlOf } from '../../platform/database.ts';
import { newId } from '../../platform/ids.ts';
import { notCompiled } from '../../platform/sandbox/sandbox.ts';
import type { Sandbox } from '../../platform/sandbox/sandbox.ts';
import { generateSigningSecret, signingSecretSpellings } from '../../platform/secrets.ts';
import type { SecretBox } from '../../platform/secrets.ts';
import { outliveTarget, renameLane } from '../deliveries/openDeliveries.ts';
import { ConflictError, NotFoundError, ValidationError } from '../errors.ts';
import type { UrlCheck } from '../webhooks/webhookInput.ts';
import type { SigningSecret } from '../webhooks/webhooks.ts';
import type { DispatchBell } from './dispatchBell.ts';
import { holdWorkflow } from './handlers.ts';
import type { HandlerCheck } from './handlers.ts';
import { checkInboundCreate, checkInboundUpdate, numberedSlug, slugOf } from './inboundInput.ts';
import type { GivenParts, InboundWebhookCreateInput, InboundWebhookUpdateInput } from './inboundInput.ts';
import { InboundWebhook, inboundSecretScope } from './inboundWebhook.ts';
import { assertNoCredentials, assertStillKey, givenSecret, sealSecret, settingsOf } from './inboundSecrets.ts';
import { changeSources, presetSources } from './presetSources.ts';
import type { ValueSource } from './valueSource.ts';
import { parseAuth } from './verification/auth.ts';
import type { AuthInput } from './verification/auth.ts';
import { secretForm } from './verification/secretForm.ts';

/** A webhook, and what was made for it just now: told this once. */
export interface ChangedInboundWebhook {
  readonly inboundWebhook: InboundWebhook;
  /** Null where none was made. */
  readonly secret: string | null;
  readonly forwardSigningSecret: SigningSecret | null;
}

export interface InboundWebhooksOptions {
  readonly database: Database;
  readonly secrets: SecretBox;
  readonly checkUrl: UrlCheck;
  readonly checkExpression: Sandbox['check'];
  readonly checkHandler: HandlerCheck;
  readonly bell: DispatchBell;
  /** The receivers of this process look again: called after the commit, before the caller hears of it. */
  readonly onChanged: (webhookId: string) => void;
}

const MAX_OVERLAP_SECONDS = 604_800;
/** A slug that is made from a name gets a number behind it where it is taken; where many are, one by chance. */
const SMALL_NUMBERS = 20;
const SLUG_TRIES = 30;

/**
 * What changes inbound webhooks. Every change is one transaction that locks the webhook's row, so that changes made at once
 * follow one another and none undoes another; it raises `version`, which every receiver's commit compares: after
 * a change nothing is accepted by the settings from before.
 */
export class InboundWebhooks {
  readonly #options: InboundWebhooksOptions;

  constructor(options: InboundWebhooksOptions) {
    this.#options = options;
  }

  /** Throws ValidationError, or ConflictError where the slug is taken. */
  async create(
    tenantId: string,
    input: InboundWebhookCreateInput & { readonly auth?: (AuthInput & SecretInput) | null | undefined },
  ): Promise<ChangedInboundWebhook> {
    const { checkUrl, secrets, database } = this.#options;
    const checked = checkInboundCreate(input, checkUrl);
    const auth = parseAuth(input.auth ?? {}, null);
    const secret = givenSecret(auth.settings, input.auth?.secret ?? null, auth.needsSecret);
    const sources = presetSources(auth.settings.preset);
    const parts = await this.#checkParts(tenantId, {
      ...checked,
      eventTypeSource: checked.eventTypeSource ?? sources.eventTypeSource,
      idempotencySource:
        checked.idempotencySource === undefined ? sources.idempotencySource : checked.idempotencySource,
    });
    assertNoCredentials(auth.settings, parts, parts);
    const handler = await this.#options.checkHandler(tenantId, checked.handler ?? { type: 'RECORD' });
    const id = newId();
    const forward = checked.settings.url === null ? null : generateSigningSecret();
    const now = new Date();
    const values = {
      id,
      tenantId,
      ...checked.settings,
      status: checked.isActive ? ('ACTIVE' as const) : ('DISABLED' as const),
      authType: auth.settings.type,
      authPreset: auth.settings.preset,
      authConfig: auth.settings.config,
      secret: secret === null ? null : sealSecret(secrets, tenantId, id, auth.settings.type, secret),
      verifyToken: this.#seal(tenantId, id, 'verifyToken', auth.secrets.verifyToken ?? null),
      eventTypeSource: parts.eventTypeSource ?? null,
      idempotencySource: parts.idempotencySource ?? null,
      ...handler,
      forwardSecret: this.#seal(tenantId, id, 'forwardSecret', forward),
      previousForwardSecret: null,
      previousForwardSecretExpiresAt: null,
      sampleArmed: false,
      sample: null,
      version: 1,
      createdAt: now,
      updatedAt: now,
    };
    const insert = (slug: string): Promise<InboundWebhook> =>
      database.em().transactional(async (em) => {
        await holdWorkflow(sqlOf(em), tenantId, handler);
        const webhook = em.create(InboundWebhook, { ...values, slug });
        em.persist(webhook);
        await em.flush();
        await sqlOf(em).query(`insert into inbound_counter (webhook_id) values ($1)`, [id]);
        return webhook;
      });
    const inboundWebhook =
      checked.slug === undefined
        ? await insertWithFreeSlug(slugOf(checked.settings.name), insert)
        : await insert(checked.slug).catch(refuseTakenSlug);
    await this.#tell(id);
    return { inboundWebhook, secret, forwardSigningSecret: forward === null ? null : signingSecretSpellings(forward) };
  }

  /** Throws NotFoundError, ValidationError, or ConflictError where the slug is taken. */
  async update(
    tenantId: string,
    id: string,
    input: InboundWebhookUpdateInput & { readonly auth?: (AuthInput & SecretInput) | null | undefined },
  ): Promise<ChangedInboundWebhook> {
    const { checkUrl, secrets } = this.#options;
    const { settings, status, slug, ...given } = checkInboundUpdate(input, checkUrl);
    const parts = await this.#checkParts(tenantId, { slug, ...given });
    const handler = given.handler && (await this.#options.checkHandler(tenantId, given.handler));
    let secret: string | null = null;
    let forward: string | null = null;
    const inboundWebhook = await this.#change(tenantId, id, async (em, webhook) => {
      if (input.auth) {
        const auth = parseAuth(input.auth, settingsOf(webhook));
        secret = givenSecret(auth.settings, input.auth.secret ?? null, auth.needsSecret);
        await em.populate(webhook, ['secret', 'verifyToken']);
        const isOther = webhook.authType !== auth.settings.type;
        changeSources(webhook, webhook.authPreset ?? null, auth.settings.preset);
        webhook.authType = auth.settings.type;
        webhook.authPreset = auth.settings.preset;
        webhook.authConfig = auth.settings.config;
        if (secret !== null) webhook.secret = sealSecret(secrets, tenantId, id, auth.settings.type, secret);
        else if (isOther) webhook.secret = null;
        else assertStillKey(auth.settings, { tenantId, id, secret: webhook.secret ?? null }, secrets);
        if (auth.secrets.verifyToken !== undefined) {
          webhook.verifyToken = this.#seal(tenantId, id, 'verifyToken', auth.secrets.verifyToken);
        }
      }
      if (handler) await holdWorkflow(sqlOf(em), tenantId, handler);
      Object.assign(webhook, settings, handler);
      if (slug !== undefined) webhook.slug = slug;
      if (status !== null) webhook.status = status;
      if (parts.eventTypeSource !== undefined) {
        webhook.eventTypeSource = parts.eventTypeSource ?? presetSources(webhook.authPreset ?? null).eventTypeSource;
      }
      if (parts.idempotencySource !== undefined) webhook.idempotencySource = parts.idempotencySource;
      assertNoCredentials(settingsOf(webhook), webhook, parts);
      if (settings.url) {
        await em.populate(webhook, ['forwardSecret']);
        if (webhook.forwardSecret === null) {
          forward = generateSigningSecret();
          webhook.forwardSecret = this.#seal(tenantId, id, 'forwardSecret', forward);
        }
      }
      await em.flush().catch(refuseTakenSlug);
      if (settings.name !== undefined) await renameLane(sqlOf(em), id, webhook.name);
    });
    // What waits may be over now, or has to wait no longer.
    if (status !== null || settings.url !== undefined) this.#options.bell.ring([{ tenantId, webhookId: id, dueAt: 0 }]);
    return { inboundWebhook, secret, forwardSigningSecret: forward === null ? null : signingSecretSpellings(forward) };
  }

  /** Settings, secrets and counts are gone with the commit; what was received stays until retention. */
  async delete(tenantId: string, id: string): Promise<void> {
    await this.#options.database.transaction(async (sql) => {
      const gone = await sql.query(`delete from inbound_webhook where id = $1 and tenant_id = $2 returning id`, [
        id,
        tenantId,
      ]);
      if (gone.length === 0) throw notFound();
      await outliveTarget(sql, id);
    });
    await this.#tell(id);
    this.#options.bell.ring([{ tenantId, webhookId: id, dueAt: 0 }]);
  }

  /** The old secret stops with the commit. Throws ConflictError where the authentication has none. */
  async rotateSecret(tenantId: string, id: string, given: string | null): Promise<ChangedInboundWebhook> {
    let secret: string | null = null;
    const inboundWebhook = await this.#change(tenantId, id, async (em, webhook) => {
      const settings = settingsOf(webhook);
      if (secretForm(settings.type) === 'none') {
        throw new ConflictError(`${settings.type} has no secret that could be rotated.`);
      }
      secret = givenSecret(settings, given, true, ['secret']);
      await em.populate(webhook, ['secret']);
      webhook.secret = sealSecret(this.#options.secrets, tenantId, id, settings.type, secret!);
      await em.flush();
    });
    return { inboundWebhook, secret, forwardSigningSecret: null };
  }

  /**
   * A new key for forwards. The old one stops with the commit, or signs beside the new one for `overlapSeconds`. Throws
   * ConflictError where nothing is forwarded.
   */
  async rotateForwardSecret(tenantId: string, id: string, overlapSeconds: number): Promise<ChangedInboundWebhook> {
    if (!Number.isInteger(overlapSeconds) || overlapSeconds < 0 || overlapSeconds > MAX_OVERLAP_SECONDS) {
      throw new ValidationError(`The overlap must be from 0 to ${MAX_OVERLAP_SECONDS} seconds (7 days).`, [
        'overlapSeconds',
      ]);
    }
    const forward = generateSigningSecret();
    const inboundWebhook = await this.#change(tenantId, id, async (em, webhook) => {
      if (webhook.url === null) throw new ConflictError('This webhook forwards nothing: give it a url first.');
      await em.populate(webhook, ['forwardSecret', 'previousForwardSecret']);
      const overlaps = overlapSeconds > 0;
      webhook.previousForwardSecret = overlaps ? webhook.forwardSecret : null;
      webhook.previousForwardSecretExpiresAt = overlaps ? new Date(Date.now() + overlapSeconds * 1_000) : null;
      webhook.forwardSecret = this.#seal(tenantId, id, 'forwardSecret', forward);
      await em.flush();
    });
    return { inboundWebhook, secret: null, forwardSigningSecret: signingSecretSpellings(forward) };
  }

  /** The next verified request replaces the sample; the present one stays until then. */
  captureSample(tenantId: string, id: string): Promise<InboundWebhook> {
    return this.#change(tenantId, id, async (em, webhook) => {
      webhook.sampleArmed = true;
      await em.flush();
    });
  }

  /** No sample, and none waited for. */
  clearSample(tenantId: string, id: string): Promise<InboundWebhook> {
    return this.#change(tenantId, id, async (em, webhook) => {
      await em.populate(webhook, ['sample']);
      webhook.sampleArmed = false;
      webhook.sample = null;
      await em.flush();
    });
  }

  async #checkParts(tenantId: string, parts: GivenParts): Promise<GivenParts> {
    for (const name of ['eventTypeSource', 'idempotencySource'] as const) {
      const source: ValueSource | null | undefined = parts[name];
      if (source?.type !== 'JSONATA') continue;
      const problem = await this.#options.checkExpression(tenantId, source.value);
      if (problem) throw new ValidationError(notCompiled(problem), ['input', name, 'value']);
    }
    return parts;
  }

  /** Runs `work`, which flushes, with the locked row and a raised version; tells every receiver after the commit. */
  async #change(
    tenantId: string,
    id: string,
    work: (em: SqlEntityManager, webhook: InboundWebhook) => Promise<void>,
  ): Promise<InboundWebhook> {
    const changed = await this.#options.database.em().transactional(async (em) => {
      const webhook = await em.findOne(InboundWebhook, { id, tenantId }, { lockMode: LockMode.PESSIMISTIC_WRITE });
      if (!webhook) throw notFound();
      webhook.version += 1;
      webhook.updatedAt = new Date();
      await work(em, webhook);
      return webhook;
    });
    await this.#tell(id);
    return changed;
  }

  async #tell(webhookId: string): Promise<void> {
    this.#options.onChanged(webhookId);
    this.#options.bell.configurationChanged(webhookId);
    // A hint; a receiver that misses it is refused by the commit, which compares versions.
    await this.#options.database.sql
      .query(`select pg_notify('hookgraph_inbound', $1)`, [webhookId])
      .catch(() => undefined);
  }

  #seal(tenantId: string, id: string, field: 'verifyToken' | 'forwardSecret', plain: string | null): string | null {
    return plain === null ? null : this.#options.secrets.encrypt(plain, inboundSecretScope(tenantId, id, field));
  }
}

/** 8 to 512 characters; generated where it is left out and the type needs one. */
export interface SecretInput {
  readonly secret?: string | null | undefined;
}

const notFound = (): NotFoundError => new NotFoundError('There is no such inbound webhook.');

const refuseTakenSlug = (error: unknown): never => {
  if (!(error instanceof UniqueConstraintViolationException)) throw error;
  throw new ConflictError('This slug is taken: choose another one.', ['input', 'slug']);
};

const insertWithFreeSlug = async (
  slug: string,
  insert: (slug: string) => Promise<InboundWebhook>,
): Promise<InboundWebhook> => {
  for (let number = 1; ; number++) {
    try {
      const suffix = number <= SMALL_NUMBERS ? number : randomInt(1_000_000_000);
      return await insert(number === 1 ? slug : numberedSlug(slug, suffix));
    } catch (error) {
      if (number === SLUG_TRIES) refuseTakenSlug(error);
      if (!(error instanceof UniqueConstraintViolationException)) throw error;
    }
  }
};

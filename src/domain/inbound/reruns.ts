import type { Database } from '../../platform/database.ts';
import { newId } from '../../platform/ids.ts';
import type { Sandbox } from '../../platform/sandbox/sandbox.ts';
import { MAX_OPEN_MS } from '../deliveries/schedule.ts';
import { ConflictError, NotFoundError, ValidationError } from '../errors.ts';
import { withoutCredentials } from './credentials.ts';
import { isTooDeep } from './depth.ts';
import type { InboundReceiver, ReceiverReader } from './directory.ts';
import type { DispatchBell } from './dispatchBell.ts';
import { givenHeaders } from './givenHeaders.ts';
import type { InboundDeliveryRecord } from './inboundDelivery.ts';
import type { InboundChange } from './inboundFeed.ts';
import { findInboundBodies, findInboundDeliveries } from './inboundHistory.ts';
import { isLetThrough, readValues } from './requestValues.ts';
import { parseBody } from './verification/body.ts';
import type { AuthStatus } from './verification/verification.ts';

export interface RerunsOptions {
  readonly database: Pick<Database, 'sql'>;
  readonly receivers: ReceiverReader;
  readonly sandbox: Pick<Sandbox, 'evaluateAll'>;
  readonly bell: DispatchBell;
  /** Makes partitions when a statement finds none; true where trying again makes sense. */
  readonly mend: (error: unknown) => Promise<boolean>;
  /** Something was written to the outbox; must not throw. */
  readonly onKept: () => void;
  readonly maxBodyBytes: number;
}

/** A delivery that no sender sent. */
interface Rerun {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly contentType: string | null;
  readonly body: Buffer;
  readonly authStatus: AuthStatus;
  readonly hops: number;
  readonly replayedFrom: string | null;
}

const INSERT = `/*inbound_rerun*/
with kept as (
  insert into inbound_delivery
    (id, tenant_id, webhook_id, received_at, event_type, auth_status, dispatch_status, idempotency_key, method, path, headers,
     content_type, body, response_status, duration_ms, is_test, is_replay, replayed_from, hops)
  values ($1, $2, $3, from_epoch_ms($4), $5, $6, $7, $8, $9, $10, $11, $12, $13, 200, 0, $14, $15::uuid is not null, $15, $16)
), opened as (
  insert into inbound_open (id, tenant_id, webhook_id, is_test, next_at, created_at, expires_at)
  select $1, $2, $3, $14, now(), from_epoch_ms($4), now() + $17 * interval '1 ms' where $7 = 'PENDING'
)
insert into feed_outbox (tenant_id, kind, changes) values ($2, 1, $18)
returning epoch_ms(now()) as due_at`;

/** How long a caller waits for what comes of a test or a replay. */
const WAIT_MS = 10_000;
const FIRST_LOOK_MS = 20;
const SLOWEST_LOOK_MS = 250;

/**
 * Runs what inbound webhooks do with requests that no sender sent just now: tests, and replays of what was received. Nothing
 * is verified, limited or taken for a duplicate, and no sample is taken; the allowlist, the handler and the forward
 * are the present ones. Both are deliveries of their own, dispatched like any other, whatever the webhook's status.
 */
export class Reruns {
  readonly #options: RerunsOptions;

  constructor(options: RerunsOptions) {
    this.#options = options;
  }

  /**
   * Handles a made-up request, and waits up to 10 s for what comes of it. Throws NotFoundError and ValidationError.
   *
   * @param tenantSlug for the address, as the record shows it
   */
  async test(
    tenantId: string,
    tenantSlug: string,
    webhookId: string,
    body: unknown,
    headers: unknown,
  ): Promise<InboundDeliveryRecord> {
    const given = givenHeaders(headers, ['headers']);
    const text = bodyText(body, this.#options.maxBodyBytes);
    const receiver = await this.#receiver(tenantId, webhookId);
    const path = `/api/inbound/${tenantSlug}/${receiver.slug}`;
    return this.#run(receiver, {
      method: 'POST',
      // What somebody copied from a real request has its credentials in it.
      ...withoutCredentials(path, '', given, receiver.credentialNames),
      contentType: 'application/json',
      body: text,
      authStatus: 'NOT_CHECKED',
      hops: 0,
      replayedFrom: null,
    });
  }

  /**
   * Handles once more what was received, by the present settings, and waits up to 10 s for what comes of it. Throws
   * NotFoundError, and ConflictError where the body or the webhook is gone.
   */
  async replay(tenantId: string, deliveryId: string): Promise<InboundDeliveryRecord> {
    const { sql } = this.#options.database;
    const original = (await findInboundDeliveries(sql, tenantId, [deliveryId])).get(deliveryId);
    if (!original) throw new NotFoundError('There is no such inbound delivery.');
    const body = (await findInboundBodies(sql, tenantId, [deliveryId])).get(deliveryId);
    if (!body) throw new ConflictError('The body of this request was not kept: only that of a verified one is.');
    const receiver = await this.#receiver(tenantId, original.webhookId).catch((error: unknown) => {
      if (error instanceof NotFoundError) throw new ConflictError('The inbound webhook that received this is deleted.');
      throw error;
    });
    const { method, path, headers, contentType, authStatus, hops } = original;
    return this.#run(receiver, {
      method,
      path,
      headers,
      contentType,
      body,
      authStatus,
      hops,
      replayedFrom: original.id,
    });
  }

  async #receiver(tenantId: string, webhookId: string): Promise<InboundReceiver> {
    const receiver = await this.#options.receivers.read({ id: webhookId });
    if (receiver?.tenantId !== tenantId) throw new NotFoundError('There is no such inbound webhook.');
    return receiver;
  }

  async #run(receiver: InboundReceiver, rerun: Rerun): Promise<InboundDeliveryRecord> {
    const { database, bell, onKept } = this.#options;
    const { tenantId } = receiver;
    const id = newId();
    const dueAt = await this.#insert(id, receiver, rerun);
    onKept();
    if (dueAt !== null) bell.ring([{ tenantId, webhookId: receiver.id, dueAt }]);
    const deadline = Date.now() + WAIT_MS;
    for (let waitMs = FIRST_LOOK_MS; ; waitMs = Math.min(waitMs * 2, SLOWEST_LOOK_MS)) {
      const delivery = (await findInboundDeliveries(database.sql, tenantId, [id])).get(id);
      if (!delivery) throw new Error(`inbound delivery ${id} was kept and cannot be found`);
      if (delivery.dispatchStatus !== 'PENDING' || Date.now() >= deadline) return delivery;
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }

  /** Answers when its dispatch is due; null where there is nothing to dispatch. */
  async #insert(id: string, receiver: InboundReceiver, rerun: Rerun): Promise<number | null> {
    const { database, sandbox, mend } = this.#options;
    const { method, path, headers, contentType, body, authStatus, hops, replayedFrom } = rerun;
    const parsed = parseBody(contentType, body);
    const value = parsed.ok ? parsed.value : null;
    const { eventType, idempotency } = await readValues(
      receiver,
      { headers, value, json: () => JSON.stringify(value) },
      sandbox,
    );
    const waits = receiver.isDispatched ? 'PENDING' : 'DISPATCHED';
    const status = isLetThrough(receiver.events, eventType) ? waits : 'IGNORED';
    const isTest = replayedFrom === null;
    const now = Date.now();
    const change: InboundChange = {
      at: now,
      d: id,
      w: receiver.id,
      n: receiver.name,
      ...(eventType !== null && { t: eventType }),
      u: authStatus,
      s: status,
      r: 200,
      m: 0,
      ...(isTest && { x: 1 }),
    };
    const values = [
      id,
      receiver.tenantId,
      receiver.id,
      now,
      eventType,
      authStatus,
      status,
      idempotency?.shown ?? null,
      method,
      path,
      JSON.stringify(headers),
      contentType,
      body,
      isTest,
      replayedFrom,
      hops,
      MAX_OPEN_MS,
      JSON.stringify([change]),
    ];
    const insert = () => database.sql.query<{ due_at: number }>(INSERT, values);
    const [row] = await insert().catch(async (error: unknown) => {
      if (!(await mend(error))) throw error;
      return insert();
    });
    return status === 'PENDING' ? row!.due_at : null;
  }
}

const bodyText = (body: unknown, maxBytes: number): Buffer => {
  const refusal = new ValidationError('The body is larger or deeper than a receiver takes.', ['body']);
  let text: Buffer;
  try {
    text = Buffer.from(JSON.stringify(body ?? null));
  } catch (error) {
    // It nests deeper than JSON.stringify can follow.
    throw error instanceof RangeError ? refusal : error;
  }
  if (text.length > maxBytes || isTooDeep(text)) throw refusal;
  return text;
};

import type { Database } from '../../platform/database.ts';
import { ConflictError, NotFoundError } from '../errors.ts';
import type { WebhookStatus } from '../webhooks/webhook.ts';
import type { LaneBell } from './bell.ts';
import type { DeliveryRecord } from './delivery.ts';
import { findDelivery } from './history.ts';
import { lowestReopenableId, opening, takingAgain, tellingAgain } from './reopening.ts';

export interface DeliveryRetryOptions {
  readonly database: Database;
  readonly bell: LaneBell;
  readonly retentionDays: number;
  /** After the commit: the feed has something to tell. Neither throws nor waits. */
  readonly onChanged: () => void;
}

interface Reopened {
  readonly webhook_id: string;
  readonly webhook_status: WebhookStatus;
  readonly due_at: number;
}

/** From the history to what is open, in one statement: a delivery is always in exactly one of both. By primary key. */
export const RETRY_ONE = `/*delivery_retry*/
with wanted as materialized (
  select id, webhook_id from delivery where id = $2 and tenant_id = $1 and id >= $3
), ${takingAgain('wanted')}, ${opening('again', 'MANUAL', 0)}, ${tellingAgain()}
select webhook_id, webhook_status, epoch_ms(now()) as due_at from again`;

const TOO_OLD = 'This delivery is as old as history is kept, and about to be removed: publish the event again.';

/** Sends single deliveries again. */
export class DeliveryRetry {
  readonly #options: DeliveryRetryOptions;

  constructor(options: DeliveryRetryOptions) {
    this.#options = options;
  }

  /**
   * A further attempt of an ended delivery, due at once, with its schedule anew; of a paused webhook it is held. Answers
   * the delivery as it is after the commit. Throws NotFoundError, or ConflictError for one that is open, filtered, a
   * test or too old, or whose webhook is disabled or deleted.
   */
  async retry(tenantId: string, id: string): Promise<DeliveryRecord> {
    const { database, bell, retentionDays, onChanged } = this.#options;
    const lowest = lowestReopenableId(retentionDays, Date.now());
    const [reopened] = await database.sql.query<Reopened>(RETRY_ONE, [tenantId, id, lowest]);
    const delivery = await findDelivery(database.sql, tenantId, id);
    if (reopened) {
      onChanged();
      // Only now, so that the answer is the delivery as it was asked for, and not what became of it meanwhile.
      const { webhook_id: webhookId, due_at: dueAt } = reopened;
      if (reopened.webhook_status === 'ACTIVE') bell.ring([{ tenantId, webhookId, dueAt }]);
    }
    if (delivery === null) throw new NotFoundError('There is no such delivery.');
    if (reopened) return delivery;
    throw new ConflictError(id < lowest ? TOO_OLD : await this.#obstacle(delivery), ['id']);
  }

  async #obstacle({ status, isTest, isForward, tenantId, webhookId }: DeliveryRecord): Promise<string> {
    if (isTest) return 'This is a test: send another one instead.';
    switch (status) {
      case 'PENDING':
      case 'RETRYING':
        return 'This delivery is under way already: wait for its next attempt, or cancel it first.';
      case 'HELD':
        return 'This delivery is held while its webhook is paused: resume the webhook.';
      case 'FILTERED':
        return "The webhook's condition left this delivery out: change the condition and publish the event again.";
      case 'DELIVERED':
      case 'ABANDONED':
      case 'CANCELLED': {
        const [webhook] = await this.#options.database.sql.query<{ status: WebhookStatus }>(
          `/*lane_target_status*/ select status from lane_target where id = $1 and tenant_id = $2`,
          [webhookId, tenantId],
        );
        if (!webhook) return 'The webhook of this delivery was deleted: there is nowhere to send it.';
        if (webhook.status === 'DISABLED' && isForward)
          return 'The inbound webhook of this delivery is disabled, or has no address to forward to.';
        if (webhook.status === 'DISABLED') return 'The webhook of this delivery is disabled: enable it first.';
        return 'This delivery changed at this very moment: try again.';
      }
      default:
        return status satisfies never;
    }
  }
}

import type { Database } from '../../platform/database.ts';
import type { Logger } from '../../platform/logs.ts';
import type { Notifications } from '../../platform/notifications.ts';
import type { Sandbox } from '../../platform/sandbox/sandbox.ts';
import type { SecretBox } from '../../platform/secrets.ts';
import { FeedReader } from '../feed/feedReader.ts';
import type { UrlCheck } from '../webhooks/webhookInput.ts';
import { ReceiverReader } from './directory.ts';
import type { DispatchBell } from './dispatchBell.ts';
import type { HandlerCheck } from './handlers.ts';
import { INBOUND_STREAM } from './inboundFeed.ts';
import type { InboundChange, InboundFeedFilter } from './inboundFeed.ts';
import { InboundWebhookList } from './inboundList.ts';
import { InboundWebhooks } from './inboundWebhooks.ts';
import { Reruns } from './reruns.ts';

export interface InboundOptions {
  readonly database: Database;
  readonly secrets: SecretBox;
  readonly notifications: Notifications;
  readonly log: Logger;
  readonly checkUrl: UrlCheck;
  readonly checkHandler: HandlerCheck;
  readonly sandbox: Sandbox;
  readonly bell: DispatchBell;
  /** Makes partitions when a statement finds none; true where trying again makes sense. */
  readonly mend: (error: unknown) => Promise<boolean>;
  /** Something was written to the outbox; must not throw. */
  readonly onKept: () => void;
  /** A webhook is another by now: receivers of this process are to judge by what is in the database. Must not throw. */
  readonly onChanged: () => void;
  /** Resolves when what receivers of this process have counted is written. */
  readonly written: () => Promise<void>;
  readonly maxBodyBytes: number;
}

/** The inbound direction of one process, whatever its roles. */
export interface Inbound {
  readonly webhooks: InboundWebhooks;
  readonly list: InboundWebhookList;
  readonly receivers: ReceiverReader;
  readonly reruns: Reruns;
  readonly maxBodyBytes: number;
  readonly feed: FeedReader<InboundChange, InboundFeedFilter>;
  /** See the options. */
  written(): Promise<void>;
  close(): void;
}

export const createInbound = (options: InboundOptions): Inbound => {
  const { database, secrets, notifications, log, sandbox, maxBodyBytes, written } = options;
  const receivers = new ReceiverReader(database.sql, secrets);
  const feed = new FeedReader({ stream: INBOUND_STREAM, database, notifications, log });
  return {
    receivers,
    feed,
    maxBodyBytes,
    written,
    list: new InboundWebhookList(database),
    reruns: new Reruns({ ...options, receivers }),
    webhooks: new InboundWebhooks({
      ...options,
      checkExpression: (tenantId, expression) => sandbox.check(tenantId, expression),
    }),
    close: () => feed.close(),
  };
};

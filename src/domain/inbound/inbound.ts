import type { Database } from '../../platform/database.ts';
import type { Logger } from '../../platform/logs.ts';
import type { Notifications } from '../../platform/notifications.ts';
import type { Sandbox } from '../../platform/sandbox/sandbox.ts';
import type { SecretBox } from '../../platform/secrets.ts';
import { FeedReader } from '../feed/feedReader.ts';
import type { UrlCheck } from '../webhooks/webhookInput.ts';
import { ReceiverDirectory } from './directory.ts';
import type { DispatchBell } from './dispatchBell.ts';
import type { HandlerCheck } from './handlers.ts';
import { INBOUND_STREAM } from './inboundFeed.ts';
import type { InboundChange, InboundFeedFilter } from './inboundFeed.ts';
import { InboundWebhookList } from './inboundList.ts';
import { InboundWebhooks } from './inboundWebhooks.ts';
import { Receipts } from './receipts.ts';
import { Reruns } from './reruns.ts';
import { Tally } from './tally.ts';

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
  readonly maxBodyBytes: number;
}

/** The inbound direction of one process, whatever its roles. */
export interface Inbound {
  readonly webhooks: InboundWebhooks;
  readonly list: InboundWebhookList;
  readonly directory: ReceiverDirectory;
  readonly receipts: Receipts;
  readonly tally: Tally;
  readonly reruns: Reruns;
  readonly sandbox: Sandbox;
  readonly maxBodyBytes: number;
  readonly feed: FeedReader<InboundChange, InboundFeedFilter>;
  /** Writes what is counted and not written yet. */
  close(): Promise<void>;
}

export const createInbound = (options: InboundOptions): Inbound => {
  const { database, secrets, notifications, log, sandbox, maxBodyBytes } = options;
  const directory = new ReceiverDirectory(database, secrets, notifications);
  const tally = new Tally(options);
  const feed = new FeedReader({ stream: INBOUND_STREAM, database, notifications, log });
  return {
    directory,
    tally,
    feed,
    sandbox,
    maxBodyBytes,
    list: new InboundWebhookList(database),
    receipts: new Receipts(options),
    reruns: new Reruns({ ...options, directory }),
    webhooks: new InboundWebhooks({
      ...options,
      checkExpression: async (tenantId, expression) => (await sandbox.check(tenantId, expression))?.message ?? null,
      onChanged: () => directory.forget(),
    }),
    close: async () => {
      feed.close();
      await tally.close();
    },
  };
};

import { Worker } from 'node:worker_threads';
import { Line } from '../threads/line.ts';
import type { Cidr } from './addresses.ts';
import type { Exchange, OutboundRequest } from './exchange.ts';
import { type Sender, STOPPING, unsent } from './sender.ts';

/** What the thread is started with. */
export interface SenderThreadData {
  /** Blocks that the operator opened. */
  readonly allow: readonly Cidr[];
}

/** What the thread does. Bodies go beside it. */
export type SenderThreadServices = {
  readonly send: (request: Omit<OutboundRequest, 'body'>) => Omit<Exchange, 'responseBody'>;
  /** The ports that this process listens on, before the first request that they may be a target of. */
  readonly ownPorts: (ports: readonly number[]) => void;
  /** Ends what is under way, then the thread. */
  readonly close: () => void;
};

/** What it needs of the thread that started it. */
export type MainThreadServices = { readonly report: (error: unknown) => void };

export interface ThreadedSenderOptions extends SenderThreadData {
  /** The ports that this process listens on. They only become more. */
  readonly ownPorts: () => ReadonlySet<number>;
  /** Told about errors that nobody foresaw, once each; the exchange says UNKNOWN. */
  readonly report: (error: unknown) => void;
}

/**
 * A sender with a thread of its own, so that a worker that sends a lot uses two cores: what HTTP costs is a third of a delivery.
 * An error that nobody catches in there ends the process, as it would here.
 */
export function createThreadedSender({ allow, ownPorts, report }: ThreadedSenderOptions): Sender {
  const data: SenderThreadData = { allow };
  const thread = new Worker(new URL('senderThread.ts', import.meta.url), { name: 'sender', workerData: data });
  const line = new Line<SenderThreadServices, MainThreadServices>(thread, { report }, queueMicrotask);
  let portsTold = 0;
  let closed: Promise<void> | null = null;

  return {
    async send({ body, ...request }) {
      if (closed !== null) return unsent(STOPPING);
      const ports = ownPorts();
      if (ports.size !== portsTold) {
        line.tell('ownPorts', [...ports]);
        portsTold = ports.size;
      }
      const { value, bytes } = await line.ask('send', request, body);
      return { ...value, responseBody: bytes };
    },
    close() {
      closed ??= new Promise((resolve) => {
        thread.once('exit', () => resolve());
        line.tell('close');
      });
      return closed;
    },
  };
}

import { Worker } from 'node:worker_threads';
import type { Cidr } from './addresses.ts';
import type { Exchange, OutboundRequest } from './exchange.ts';
import { Outbox, unpack } from './outbox.ts';
import type { Parcel } from './outbox.ts';
import { type Sender, STOPPING, unsent } from './sender.ts';

/** What the thread is started with. */
export interface SenderThreadData {
  /** Blocks that the operator opened. */
  readonly allow: readonly Cidr[];
}

/** A request without its body, under a number by which it is answered. */
export interface PostedRequest extends Omit<OutboundRequest, 'body'> {
  readonly id: number;
}

/** An exchange without the answer's body. */
export interface PostedExchange extends Omit<Exchange, 'responseBody'> {
  readonly id: number;
}

/** To the thread. `ownPorts` go with every parcel: they are known only once this process listens. */
export type SenderThreadTask =
  | { readonly kind: 'send'; readonly ownPorts: readonly number[]; readonly parcel: Parcel<PostedRequest> }
  | { readonly kind: 'close' };

/** From the thread. */
export type SenderThreadNews =
  | { readonly kind: 'answers'; readonly parcel: Parcel<PostedExchange> }
  | { readonly kind: 'report'; readonly error: unknown };

export interface ThreadedSenderOptions extends SenderThreadData {
  /** The ports that this process listens on. */
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
  const running = new Map<number, (exchange: Exchange) => void>();
  let count = 0;
  let closed: Promise<void> | null = null;

  const post = (task: SenderThreadTask, bytes: ArrayBuffer[] = []): void => thread.postMessage(task, bytes);
  const outbox = new Outbox<PostedRequest>(
    (parcel) => post({ kind: 'send', ownPorts: [...ownPorts()], parcel }, [parcel.bytes]),
    queueMicrotask,
  );
  thread.on('message', (news: SenderThreadNews) => {
    if (news.kind === 'report') {
      report(news.error);
      return;
    }
    for (const [{ id, ...exchange }, responseBody] of unpack(news.parcel)) {
      running.get(id)!({ ...exchange, responseBody });
      running.delete(id);
    }
  });

  return {
    send({ body, ...request }) {
      if (closed !== null) return Promise.resolve(unsent(STOPPING));
      const id = count++;
      outbox.add({ id, ...request }, body);
      return new Promise((resolve) => running.set(id, resolve));
    },
    close() {
      closed ??= new Promise((resolve) => {
        outbox.flush();
        thread.once('exit', () => resolve());
        post({ kind: 'close' });
      });
      return closed;
    },
  };
}

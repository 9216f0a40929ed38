/* The thread behind a threaded sender: a sender of its own, and what goes to and fro. */
import { parentPort, workerData } from 'node:worker_threads';
import { AddressPolicy } from './addresses.ts';
import { Outbox, unpack } from './outbox.ts';
import { createSender } from './sender.ts';
import type { PostedExchange, SenderThreadData, SenderThreadNews, SenderThreadTask } from './threadedSender.ts';

const port = parentPort!;
const { allow } = workerData as SenderThreadData;
let ownPorts: ReadonlySet<number> = new Set();

const tell = (news: SenderThreadNews, bytes: ArrayBuffer[] = []): void => port.postMessage(news, bytes);
const sender = createSender({
  policy: new AddressPolicy({ allow, ownPorts: () => ownPorts }),
  report: (error) => tell({ kind: 'report', error }),
});
const answers = new Outbox<PostedExchange>(
  (parcel) => tell({ kind: 'answers', parcel }, [parcel.bytes]),
  (flush) => setImmediate(flush),
);

const close = async (): Promise<void> => {
  await sender.close();
  // Those that were ended have their continuations behind them.
  setImmediate(() => {
    answers.flush();
    port.close();
  });
};

port.on('message', (task: SenderThreadTask) => {
  if (task.kind === 'close') {
    void close();
    return;
  }
  ownPorts = new Set(task.ownPorts);
  for (const [{ id, ...request }, body] of unpack(task.parcel)) {
    void sender.send({ ...request, body: body! }).then(({ responseBody, ...exchange }) => {
      answers.add({ id, ...exchange }, responseBody);
    });
  }
});

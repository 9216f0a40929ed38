/* The thread behind a threaded sender: a sender of its own. */
import { parentPort, workerData } from 'node:worker_threads';
import { Line, reply } from '../threads/line.ts';
import { AddressPolicy } from './addresses.ts';
import { createSender } from './sender.ts';
import type { SenderThreadData, SenderThreadNews, SenderThreadServices } from './threadedSender.ts';

const port = parentPort!;
const { allow } = workerData as SenderThreadData;
let ownPorts: ReadonlySet<number> = new Set();

const sender = createSender({
  policy: new AddressPolicy({ allow, ownPorts: () => ownPorts }),
  report: (error) => line.tell('report', error),
});

const line = new Line<SenderThreadNews, SenderThreadServices>(port, {
  send: async ({ value, bytes }) => {
    const { responseBody, ...exchange } = await sender.send({ ...value, body: bytes! });
    return { value: exchange, bytes: responseBody };
  },
  ownPorts: ({ value }) => {
    ownPorts = new Set(value);
    return reply(null);
  },
  close: async () => {
    await sender.close();
    // Those that were ended have their continuations behind them, and their answers are on their way.
    setImmediate(() => setImmediate(() => port.close()));
    return reply(null);
  },
});

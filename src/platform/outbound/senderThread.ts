/* The thread behind a threaded sender: a sender of its own. */
import { parentPort, workerData } from 'node:worker_threads';
import { Cargo, Line } from '../threads/line.ts';
import { AddressPolicy } from './addresses.ts';
import { createSender } from './sender.ts';
import type { SenderThreadData, MainThreadServices, SenderThreadServices } from './threadedSender.ts';

const port = parentPort!;
const { allow } = workerData as SenderThreadData;
let ownPorts: ReadonlySet<number> = new Set();

const sender = createSender({
  policy: new AddressPolicy({ allow, ownPorts: () => ownPorts }),
  report: (error) => line.tell('report', error),
});

const line = new Line<MainThreadServices, SenderThreadServices>(port, {
  send: async (request, body) => {
    const { responseBody, ...exchange } = await sender.send({ ...request, body: body! });
    return new Cargo(exchange, responseBody);
  },
  ownPorts: (ports) => {
    ownPorts = new Set(ports);
  },
  close: async () => {
    await sender.close();
    // Those that were ended have their continuations behind them, and their answers are on their way.
    setImmediate(() => setImmediate(() => port.close()));
  },
});

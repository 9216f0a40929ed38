/* The thread behind a threaded reception. */
import { setTimeout as delay } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { ReceiverDirectory } from '../domain/inbound/directory.ts';
import { Receipts } from '../domain/inbound/receipts.ts';
import { Tally } from '../domain/inbound/tally.ts';
import { isMissingPartition } from '../domain/retention/partitions.ts';
import { watchClock } from '../platform/clockOffset.ts';
import { createLogger } from '../platform/logs.ts';
import { databaseProbe, isDatabaseOutage, Patience } from '../platform/outage.ts';
import { SandboxUnavailableError } from '../platform/sandbox/sandbox.ts';
import type { Sandbox } from '../platform/sandbox/sandbox.ts';
import { SecretBox } from '../platform/secrets.ts';
import { openStatements } from '../platform/statements.ts';
import { Cargo, Line } from '../platform/threads/line.ts';
import { UNAVAILABLE } from './answer.ts';
import { Reception } from './reception.ts';
import type { Received } from './reception.ts';
import { inboundRequestOf, steadyMs } from './request.ts';
import type { Arrival, MainThreadServices, ReceptionThreadServices, ReceptionThreadData } from './threadedReception.ts';

/** Look-ups take milliseconds, unless the database is away. */
const LONGEST_COUNT_MS = 500;

const port = parentPort!;
const { databaseUrl, poolSize, secretKey, hopsHeader, logLevel } = workerData as ReceptionThreadData;
const log = createLogger({ logLevel });
const statements = openStatements({ url: databaseUrl, poolSize });
const { sql } = statements;
/** Ids that are made here need its offset too. */
const clockOffset = await watchClock({ sql }, log);

const written = {
  database: { sql },
  log,
  mend: async (error: unknown): Promise<boolean> =>
    isMissingPartition(error) && (await line.ask('makePartitions', undefined)).value,
  onKept: () => line.tell('kept'),
};
const directory = new ReceiverDirectory(sql, new SecretBox(secretKey));
const tally = new Tally(written);
const receipts = new Receipts({ ...written, bell: { ring: (rings) => line.tell('ring', rings) } });
const sandbox: Pick<Sandbox, 'evaluateAll'> = {
  evaluateAll: async (...given) => (await line.ask('evaluateAll', given)).value,
};
const reception = new Reception({ directory, receipts, tally, sandbox, hopsHeader, log });
const patience = new Patience(databaseProbe(databaseUrl));

const elapsedOf =
  ({ startedAt }: Arrival) =>
  (): number =>
    steadyMs() - startedAt;

const receive = async (arrival: Arrival, body: Buffer): Promise<Received> => {
  try {
    const request = inboundRequestOf(arrival, body);
    return await patience.unlessAway(reception.receive(arrival.address, request, elapsedOf(arrival)));
  } catch (error) {
    if (isDatabaseOutage(error)) log.warn({ err: error }, 'a request could not be kept: the database is away');
    else if (error instanceof SandboxUnavailableError) log.warn({ err: error }, 'a request could not be read now');
    else log.error({ err: error }, 'a request could not be received');
    return { answer: UNAVAILABLE, outcome: 'unavailable' };
  }
};

const line = new Line<MainThreadServices, ReceptionThreadServices>(port, {
  receive: async (arrival, body) => {
    const { answer, outcome, afterwards } = await receive(arrival, body!);
    return new Cargo({ answer, outcome }, null, afterwards);
  },
  refuseUnread: ({ arrival, cause, status }) => {
    const request = inboundRequestOf(arrival, Buffer.alloc(0));
    reception.refusedUnread(arrival.address, request, cause, status, elapsedOf(arrival)());
  },
  forget: () => directory.forget(),
  written: async () => {
    await Promise.race([reception.counted(), delay(LONGEST_COUNT_MS, undefined, { ref: false })]);
    await tally.written();
  },
  ping: () => undefined,
  close: async () => {
    clockOffset.stop();
    await reception.counted();
    await tally.close();
    await statements.close();
    // Behind the last answers.
    setImmediate(() => port.close());
  },
});
line.tell('started');

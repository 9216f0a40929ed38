/* The thread behind a threaded reception. */
import { parentPort, workerData } from 'node:worker_threads';
import { ReceiverDirectory } from '../domain/inbound/directory.ts';
import { Receipts } from '../domain/inbound/receipts.ts';
import { Tally } from '../domain/inbound/tally.ts';
import { isMissingPartition } from '../domain/retention/partitions.ts';
import { watchClock } from '../platform/clockOffset.ts';
import { createLogger } from '../platform/logs.ts';
import { databaseProbe, isDatabaseOutage, Patience } from '../platform/outage.ts';
import { SandboxUnavailableError } from '../platform/sandbox/sandbox.ts';
import { SecretBox } from '../platform/secrets.ts';
import { openStatements } from '../platform/statements.ts';
import { Line, reply } from '../platform/threads/line.ts';
import { UNAVAILABLE } from './answer.ts';
import { Reception } from './reception.ts';
import type { Received } from './reception.ts';
import { inboundRequestOf, steadyMs } from './request.ts';
import type { Arrival, HouseServices, ReceptionServices, ReceptionThreadData } from './threadedReception.ts';

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
    isMissingPartition(error) && (await line.ask('makePartitions', null)).value,
  onKept: () => line.tell('kept', null),
};
const directory = new ReceiverDirectory(sql, new SecretBox(secretKey));
const tally = new Tally(written);
const receipts = new Receipts({ ...written, bell: { ring: (rings) => line.tell('ring', rings) } });
const sandbox = {
  evaluateAll: async (tenantId: string, expressions: readonly string[], input: string, holder?: string) => [
    ...(await line.ask('evaluateAll', { tenantId, expressions, input, holder })).value,
  ],
};
const reception = new Reception({ directory, receipts, tally, sandbox, hopsHeader });
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

const line = new Line<HouseServices, ReceptionServices>(port, {
  receive: async ({ value, bytes }) => {
    const { answer, outcome, afterwards } = await receive(value, bytes!);
    return { value: { answer, outcome }, bytes: null, ...(afterwards && { afterwards }) };
  },
  refuseUnread: ({ value: { arrival, cause, status } }) => {
    const request = inboundRequestOf(arrival, Buffer.alloc(0));
    void reception
      .refusedUnread(arrival.address, request, cause, status, elapsedOf(arrival)())
      .catch((error: unknown) => log.debug({ err: error }, 'a refused request could not be counted'));
    return reply(null);
  },
  forget: () => {
    directory.forget();
    return reply(null);
  },
  written: async () => {
    await tally.written();
    return reply(null);
  },
  close: async () => {
    clockOffset.stop();
    await tally.close();
    await statements.close();
    port.close();
    return reply(null);
  },
});
line.tell('started', null);

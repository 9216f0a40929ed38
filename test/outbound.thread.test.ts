import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { AddressPolicy, parseCidrs } from '../src/platform/outbound/addresses.ts';
import type { Cidr } from '../src/platform/outbound/addresses.ts';
import type { OutboundRequest } from '../src/platform/outbound/exchange.ts';
import { createSender, type Sender } from '../src/platform/outbound/sender.ts';
import { createThreadedSender } from '../src/platform/outbound/threadedSender.ts';
import { eventually } from './harness/eventually.ts';
import { type RawServer, startRawServer } from './harness/rawServer.ts';

const LOOPBACK = (parseCidrs('127.0.0.0/8') as { cidrs: readonly Cidr[] }).cidrs;

const senders: Sender[] = [];
const unexpected: unknown[] = [];
const ownPorts = new Set<number>();

afterEach(async () => {
  await Promise.all(senders.splice(0).map((sender) => sender.close()));
  ownPorts.clear();
  expect(unexpected.splice(0)).toEqual([]);
});

const threaded = (allow = LOOPBACK): Sender => {
  const made = createThreadedSender({ allow, ownPorts: () => ownPorts, report: (error) => unexpected.push(error) });
  senders.push(made);
  return made;
};

const post = (port: number, more: Partial<OutboundRequest> = {}): OutboundRequest => ({
  url: `http://127.0.0.1:${port}/hook`,
  headers: ['content-type', 'application/json', 'X-Name', 'of a test'],
  body: Buffer.from('{"a":1}'),
  timeoutMs: 5_000,
  verifySsl: true,
  ...more,
});

const ANSWERS: Readonly<Record<string, string>> = {
  '/ok': 'HTTP/1.1 200 OK\r\nX-One: 1\r\nx-one: zwei \xfc\r\ncontent-length: 5\r\n\r\na\0\xff\xfeb',
  '/empty': 'HTTP/1.1 204 No Content\r\n\r\n',
  '/busy': 'HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n',
  '/moved': 'HTTP/1.1 302 Found\r\nlocation: /ok\r\ncontent-length: 0\r\n\r\n',
  '/long': `HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n${'x'.repeat(20_000)}`,
  '/nonsense': 'hello\r\n\r\n',
};

const startAnswering = async (): Promise<RawServer> => {
  const server: RawServer = await startRawServer((socket, { ofServer }) => {
    const path = server.requests[ofServer - 1]!.head.split(' ')[1]!;
    if (path === '/hang') return;
    socket.write(ANSWERS[path]!, 'latin1');
  });
  return server;
};

describe('a sender with a thread of its own', () => {
  it('sends the same bytes and tells the same of it as one without', async () => {
    await using server = await startAnswering();
    const local = createSender({
      policy: new AddressPolicy({ allow: LOOPBACK, ownPorts: () => ownPorts }),
      report: (error) => unexpected.push(error),
    });
    senders.push(local);
    const tell = async (via: Sender, path: string): Promise<unknown> => {
      const { startedAt, durationMs, ...exchange } = await via.send(
        post(server.port, {
          url: `http://127.0.0.1:${server.port}${path}`,
          body: Buffer.from([0, 255, 13, 10]),
          timeoutMs: 300,
        }),
      );
      expect(Math.abs(Date.now() - startedAt - durationMs)).toBeLessThan(2_000);
      return { ...exchange, request: server.requests.at(-1) && { ...server.requests.at(-1)!, connection: null } };
    };
    const via = threaded();
    for (const path of [...Object.keys(ANSWERS), '/hang'])
      expect(await tell(via, path)).toEqual(await tell(local, path));
    const nowhere = post(1, { method: 'PATCH' });
    expect((await via.send(nowhere)).error).toEqual((await local.send(nowhere)).error);
  });

  it('gives each of many at once its own answer', async () => {
    await using server = await startRawServer((socket, { ofServer }) => {
      const digest = createHash('sha256')
        .update(server.requests[ofServer - 1]!.body, 'latin1')
        .digest('hex');
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${digest.length}\r\n\r\n${digest}`);
    });
    const via = threaded();
    const bodies = Array.from({ length: 400 }, (_, n) => Buffer.alloc(n * 7, `body ${n} `));
    const answers = await Promise.all(bodies.map((body) => via.send(post(server.port, { body }))));
    expect(answers.map(({ responseBody }) => responseBody?.toString())).toEqual(
      bodies.map((body) => createHash('sha256').update(body).digest('hex')),
    );
  });

  it('refuses addresses that are not public, and ports that this process has come to listen on', async () => {
    await using server = await startAnswering();
    expect((await threaded([]).send(post(server.port))).error).toMatchObject({ code: 'BLOCKED_ADDRESS' });
    const via = threaded();
    expect((await via.send(post(server.port, { url: `http://127.0.0.1:${server.port}/ok` }))).error).toBeNull();
    ownPorts.add(server.port);
    // A connection that is open already was checked when it was opened.
    const elsewhere = post(server.port, { url: `http://127.0.0.2:${server.port}/ok` });
    expect((await via.send(elsewhere)).error).toMatchObject({ code: 'BLOCKED_ADDRESS' });
    expect(server.requests).toHaveLength(1);
  });

  it('ends what is under way when it is closed, and sends nothing after', async () => {
    await using server = await startRawServer(() => undefined);
    const via = threaded();
    const running = [via.send(post(server.port)), via.send(post(server.port))];
    await eventually(() => expect(server.requests).toHaveLength(2));
    const late = via.send(post(server.port));
    await Promise.all([via.close(), via.close()]);
    for (const exchange of await Promise.all([...running, late]))
      expect(exchange.error).toMatchObject({ code: 'UNKNOWN' });
    expect((await via.send(post(server.port))).error).toMatchObject({ code: 'UNKNOWN' });
    await eventually(() => expect(server.sockets.every((socket) => socket.destroyed)).toBe(true));
  });
});

import { createServer } from 'node:net';
import { getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AddressPolicy, parseCidrs } from '../src/platform/outbound/addresses.ts';
import type { OutboundRequest } from '../src/platform/outbound/exchange.ts';
import { createSender, type LocalSender } from '../src/platform/outbound/sender.ts';
import { selfSigned } from './harness/certificate.ts';
import { eventually } from './harness/eventually.ts';
import { startRawServer } from './harness/rawServer.ts';

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
const CLOSING = 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n';

const trusted = selfSigned({ dns: ['hook.test'], ipv4: ['127.0.0.1'] });
const expired = selfSigned({ dns: ['hook.test'] }, { from: new Date('2024-01-01'), to: new Date('2024-02-01') });
const untrusted = selfSigned({ dns: ['hook.test'], ipv4: ['127.0.0.1'] });

const before = getCACertificates('default');
beforeAll(() => setDefaultCACertificates([trusted.cert, expired.cert]));
afterAll(() => setDefaultCACertificates(before));

const senders: LocalSender[] = [];
const unexpected: unknown[] = [];
afterEach(async () => {
  await Promise.all(senders.splice(0).map((sender) => sender.close()));
  expect(unexpected).toEqual([]);
});

function sender(): LocalSender {
  const read = parseCidrs('127.0.0.0/8');
  if ('error' in read) throw new Error(read.error);
  const made = createSender({
    policy: new AddressPolicy({ allow: read.cidrs, ownPorts: () => new Set() }),
    resolve: () => Promise.resolve(['127.0.0.1']),
    report: (error) => unexpected.push(error),
  });
  senders.push(made);
  return made;
}

function post(url: string, verifySsl = true, timeoutMs = 5_000): OutboundRequest {
  return { url, headers: [], body: Buffer.from('{}'), timeoutMs, verifySsl };
}

describe('an https endpoint', () => {
  it('is connected to by address, while its name stays for SNI, the certificate and the Host header', async () => {
    await using server = await startRawServer((socket) => socket.write(OK), { tls: trusted });
    const via = sender();
    for (const host of ['hook.test', 'HOOK.test', 'hook.test.']) {
      expect((await via.send(post(`https://${host}:${server.port}/`))).error).toBeNull();
    }
    expect((server.sockets[0] as TLSSocket).servername).toBe('hook.test');
    expect(server.requests[0]?.head).toContain(`host: hook.test:${server.port}`);
  });

  it('may be an address that its certificate names', async () => {
    await using server = await startRawServer((socket) => socket.write(OK), { tls: trusted });
    expect((await sender().send(post(`https://127.0.0.1:${server.port}/`))).error).toBeNull();
    expect((server.sockets[0] as TLSSocket).servername).toBe(false);
  });

  it('gets no request where its certificate is for another name, out of date or from nobody known', async () => {
    await using other = await startRawServer((socket) => socket.write(OK), { tls: trusted });
    await using old = await startRawServer((socket) => socket.write(OK), { tls: expired });
    await using unknown = await startRawServer((socket) => socket.write(OK), { tls: untrusted });
    const via = sender();
    const messages = [];
    for (const url of [
      `https://else.test:${other.port}`,
      `https://hook.test:${old.port}`,
      `https://hook.test:${unknown.port}`,
    ]) {
      const { error, responseStatus } = await via.send(post(url));
      expect(responseStatus).toBeNull();
      expect(error?.code).toBe('TLS');
      messages.push(error?.message);
    }
    expect(messages).toEqual([
      expect.stringContaining('another host name'),
      expect.stringContaining('expired'),
      expect.stringContaining('self-signed'),
    ]);
    for (const server of [other, old, unknown]) expect(server.requests).toHaveLength(0);
  });

  it('that is not verified is spoken to, but never over its connection for a webhook that verifies', async () => {
    await using server = await startRawServer((socket) => socket.write(OK), { tls: untrusted });
    const via = sender();
    const url = `https://hook.test:${server.port}/`;
    expect((await via.send(post(url, false))).error).toBeNull();
    expect(via.idle).toEqual({ verifying: 0, unverifying: 1 });
    expect((await via.send(post(url))).error).toMatchObject({ code: 'TLS' });
    expect((await via.send(post(url, false))).error).toBeNull();
    expect(server.requests).toHaveLength(2);
  });

  it('is reconnected to with the session of before, within its own kind only', async () => {
    await using server = await startRawServer((socket) => socket.end(CLOSING), { tls: trusted });
    const via = sender();
    const url = `https://hook.test:${server.port}/`;
    const resumed: boolean[] = [];
    for (const verify of [false, true, false, true]) {
      expect((await via.send(post(url, verify))).error).toBeNull();
      resumed.push((server.sockets.at(-1) as TLSSocket).isSessionReused());
    }
    expect(resumed).toEqual([false, false, true, true]);
  });

  it('that speaks something else than TLS is a TLS failure', async () => {
    const server = createServer((socket) => {
      // Read to its end, or the server would wait for a connection that is gone.
      socket.on('error', () => socket.destroy()).resume();
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    expect((await sender().send(post(`https://hook.test:${port}/`))).error).toMatchObject({ code: 'TLS' });
    await new Promise((resolve) => server.close(resolve));
  });

  it('that never finishes the handshake is a timeout, and its connection is cut', async () => {
    await using server = await startRawServer(() => {});
    const exchange = await sender().send(post(`https://hook.test:${server.port}/`, true, 200));
    expect(exchange.error).toEqual({ code: 'TIMEOUT', message: expect.stringContaining('No connection') });
    await eventually(() => expect(server.sockets[0]?.destroyed).toBe(true));
  });
});

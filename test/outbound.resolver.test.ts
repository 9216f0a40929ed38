import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseHosts } from '../src/platform/outbound/hosts.ts';
import { Resolver } from '../src/platform/outbound/resolver.ts';
import { startNameServer, type Zone } from './harness/nameServer.ts';

let directory: string;
let hostsFile: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hookgraph-hosts-'));
  hostsFile = join(directory, 'hosts');
  await writeFile(hostsFile, '# nothing\n');
});

afterAll(() => rm(directory, { recursive: true }));

/** A resolver on a name server of its own and a clock that stands still until it is moved. */
async function start(zone: Zone) {
  const server = await startNameServer(zone);
  const clock = { now: 1_000 };
  const resolver = new Resolver({ servers: [server.address], hostsFile, now: () => clock.now });
  return {
    zone,
    clock,
    resolver,
    asked: (key: string) => server.questions.get(key) ?? 0,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

describe('a name', () => {
  it('has all addresses of both families, IPv4 first, in any case and with or without the dot', async () => {
    await using dns = await start({ 'a.test': { addresses: ['2606:4700::1111', '8.8.8.8', '1.1.1.1'] } });
    expect(await dns.resolver.resolve('A.test.')).toEqual(['8.8.8.8', '1.1.1.1', '2606:4700::1111']);
  });

  it('of one family only is complete', async () => {
    await using dns = await start({
      'six.test': { addresses: ['2606:4700::1111'] },
      'four.test': { addresses: ['8.8.8.8'] },
    });
    expect(await dns.resolver.resolve('six.test')).toEqual(['2606:4700::1111']);
    expect(await dns.resolver.resolve('four.test')).toEqual(['8.8.8.8']);
  });

  it('is asked for once by many at the same time, and again only after its TTL, but within 5 to 60 s', async () => {
    await using dns = await start({
      'short.test': { addresses: ['8.8.8.8'], ttl: 0 },
      'some.test': { addresses: ['8.8.8.8'], ttl: 20 },
      'long.test': { addresses: ['8.8.8.8'], ttl: 86_400 },
    });
    for (const [name, seconds] of [
      ['short.test', 5],
      ['some.test', 20],
      ['long.test', 60],
    ] as const) {
      await Promise.all(Array.from({ length: 50 }, () => dns.resolver.resolve(name)));
      dns.clock.now += seconds * 1_000 - 1;
      await dns.resolver.resolve(name);
      expect(dns.asked(`A ${name}`)).toBe(1);
      dns.clock.now += 1;
      await dns.resolver.resolve(name);
      expect(dns.asked(`A ${name}`)).toBe(2);
    }
  });

  it('that does not exist, has no address, or fails is a DNS error, remembered for 5 s', async () => {
    await using dns = await start({ 'empty.test': { addresses: [] }, 'broken.test': 'SERVFAIL' });
    await expect(dns.resolver.resolve('none.test')).rejects.toMatchObject({
      code: 'DNS',
      message: expect.stringContaining('does not exist'),
    });
    await expect(dns.resolver.resolve('empty.test')).rejects.toMatchObject({
      code: 'DNS',
      message: expect.stringContaining('no addresses'),
    });
    await expect(dns.resolver.resolve('broken.test')).rejects.toMatchObject({ code: 'DNS' });
    await expect(dns.resolver.resolve('x'.repeat(70))).rejects.toMatchObject({ code: 'DNS' });
    dns.zone['none.test'] = { addresses: ['8.8.8.8'] };
    dns.clock.now += 4_999;
    await expect(dns.resolver.resolve('none.test')).rejects.toMatchObject({ code: 'DNS' });
    dns.clock.now += 1;
    expect(await dns.resolver.resolve('none.test')).toEqual(['8.8.8.8']);
  });

  it('that hangs fails within its budget and holds up nobody else', async () => {
    await using dns = await start({ 'fast.test': { addresses: ['8.8.8.8'] } });
    const hanging = Array.from({ length: 100 }, (_, i) => {
      dns.zone[`hang${i}.test`] = 'silence';
      return dns.resolver.resolve(`hang${i}.test`).then(
        () => 'resolved',
        (error: Error) => error.message,
      );
    });
    const since = performance.now();
    const first = await Promise.race([dns.resolver.resolve('fast.test'), ...hanging]);
    expect(first).toEqual(['8.8.8.8']);
    for (const message of await Promise.all(hanging)) expect(message).toContain('in time');
    expect(performance.now() - since).toBeLessThan(5_000);
  });
});

describe('the hosts file', () => {
  it('goes before DNS and is followed when it changes', async () => {
    await using dns = await start({ 'db.internal': { addresses: ['8.8.8.8'] } });
    await writeFile(hostsFile, '10.0.0.5 db.internal\n');
    expect(await dns.resolver.resolve('DB.internal')).toEqual(['10.0.0.5']);
    await writeFile(hostsFile, '10.0.0.66 db.internal\n::1 db.internal # and so on\n');
    await utimes(hostsFile, new Date(), new Date(Date.now() + 5_000));
    dns.clock.now += 1_000;
    expect(await dns.resolver.resolve('db.internal')).toEqual(['10.0.0.66', '::1']);
    await rm(hostsFile);
    dns.clock.now += 1_000;
    expect(await dns.resolver.resolve('db.internal')).toEqual(['8.8.8.8']);
  });

  it('is read as hosts(5) says, passing over what is no address', () => {
    const hosts = parseHosts(
      '\ufeff\n127.0.0.1\tlocalhost  Box.\n# 1.2.3.4 not\n::1 localhost\n999.0.0.1 bad\n10.0.0.1 # none\n10.0.0.2 box box\r\n',
    );
    expect(Object.fromEntries(hosts)).toEqual({ localhost: ['127.0.0.1', '::1'], box: ['127.0.0.1', '10.0.0.2'] });
  });

  it('is not needed for localhost and what is below it, which DNS is never asked for', async () => {
    await using dns = await start({ localhost: { addresses: ['8.8.8.8'] } });
    expect(await dns.resolver.resolve('localhost')).toEqual(['127.0.0.1', '::1']);
    expect(await dns.resolver.resolve('a.LOCALHOST.')).toEqual(['127.0.0.1', '::1']);
    expect(dns.asked('A localhost')).toBe(0);
  });
});

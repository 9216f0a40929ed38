import type { IncomingMessage } from 'node:http';
import * as fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { clientAddresses } from '../src/platform/clientAddress.ts';
import { inboundOf, post } from './harness/inbound.ts';
import { startTestProgram } from './harness/program.ts';
import { useScene } from './harness/scene.ts';

const scene = useScene();
let inbound: ReturnType<typeof inboundOf>;
beforeAll(() => {
  inbound = inboundOf(scene.tenant);
});

const LISTED = '203.0.113.7';
const ALLOW_LIST = { auth: { type: 'IP_ALLOWLIST', config: { cidrs: ['203.0.113.0/24', '2001:db8::/32'] } } };

it('an allow-list goes by who connects, whatever X-Forwarded-For says', async () => {
  const { id, slugUrl } = await inbound.create(ALLOW_LIST);
  for (const forwardedFor of [LISTED, `${LISTED}, ${LISTED}`, '2001:db8::1', '', 'unknown']) {
    const headers = { 'x-forwarded-for': forwardedFor, 'x-real-ip': LISTED, forwarded: `for=${LISTED}` };
    expect(await post(slugUrl, '{}', headers)).toMatchObject({ status: 401, text: '' });
  }
  const [refused] = await inbound.reached(id, 'REJECTED');
  expect(refused).toMatchObject({ authStatus: 'REJECTED_IP', sourceIp: '127.0.0.1' });
});

it('an allow-list goes by the last address that is no proxy of ours, where a declared proxy forwards', async () => {
  const { id, slugUrl } = await inbound.create(ALLOW_LIST);
  const program = await startTestProgram(scene.database.url, { HOOKGRAPH_TRUSTED_PROXIES: '127.0.0.0/8,10.0.0.0/8' });
  try {
    const url = `${program.url}${new URL(slugUrl).pathname}`;
    const statusFor = async (forwardedFor: string) =>
      (await post(url, '{}', { 'x-forwarded-for': forwardedFor })).status;
    for (const taken of [
      LISTED,
      `198.51.100.1, ${LISTED}`,
      `${LISTED}, 10.1.2.3`,
      ` ${LISTED}:4711 ,10.0.0.1`,
      '2001:db8::1',
      `::ffff:${LISTED}`,
    ]) {
      expect(await statusFor(taken), taken).toBe(200);
    }
    // What stands before the client is what the client says; what is unreadable is nobody on the list.
    for (const refused of [
      `::${LISTED}`,
      `${LISTED}, 198.51.100.1`,
      `${LISTED}, 198.51.100.1, 10.0.0.1`,
      '198.51.100.1',
      `${LISTED}, unknown`,
      '',
    ]) {
      expect(await statusFor(refused), refused).toBe(401);
    }
    const taken = await inbound.deliveries({ inboundWebhookId: id, authStatus: ['VERIFIED'] });
    expect(new Set(taken.map(({ sourceIp }) => sourceIp as string))).toEqual(new Set([LISTED, '2001:db8::1']));
  } finally {
    await program.stop();
  }
});

it('an address that ends like an IPv4 address is one only where it is IPv4-mapped', () => {
  const clientOf = clientAddresses(['10.0.0.0/8']);
  const ipOf = (forwardedFor: string) =>
    clientOf({
      socket: { remoteAddress: '::ffff:10.1.1.1' },
      headers: { 'x-forwarded-for': forwardedFor },
    } as unknown as IncomingMessage).ip;
  expect(ipOf(`::ffff:${LISTED}`)).toBe(LISTED);
  expect(ipOf(`[::FFFF:${LISTED}]:443`)).toBe(LISTED);
  for (const [text, meant] of [
    [`::${LISTED}`, '::cb00:7107'],
    [`[::${LISTED}]:443`, '::cb00:7107'],
    [`64:ff9b::${LISTED}`, '64:ff9b::cb00:7107'],
    [`::ffff:0:${LISTED}`, '::ffff:0:cb00:7107'],
    // It is no proxy either.
    [`${LISTED}, ::10.0.0.1`, '::a00:1'],
  ] as const) {
    expect(ipOf(text), text).toBe(meant);
  }
  // Spellings that readers take differently are nobody: the proxy is the last that is known.
  for (const text of ['0xcb.0.113.7', '203.113.7', '0313.0.113.7']) expect(ipOf(text), text).toBe('10.1.1.1');
});

it('nobody changes who connects by headers, unless they come through a declared proxy', () => {
  const requestOf = (remoteAddress: string, forwardedFor: string) =>
    ({ socket: { remoteAddress }, headers: { 'x-forwarded-for': forwardedFor } }) as unknown as IncomingMessage;
  const clientOf = clientAddresses(['10.0.0.0/8', 'fd00::/8']);
  const list = fc.oneof(
    fc.string(),
    fc.array(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string()), { maxLength: 40 }).map((all) => all.join(',')),
  );
  const outside = fc.ipV4().filter((address) => !address.startsWith('10.'));
  fc.assert(
    fc.property(outside, list, (address, forwardedFor) => {
      expect(clientOf(requestOf(address, forwardedFor)).ip).toBe(address);
      // And through one, the last outsider counts, whatever stands before it.
      expect(clientOf(requestOf('10.1.1.1', `${forwardedFor},${address}, 10.2.2.2`)).ip).toBe(address);
    }),
  );
});

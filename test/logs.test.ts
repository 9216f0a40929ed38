import { expect, test } from 'vitest';
import { createLogger, terminal } from '../src/platform/logs.ts';

/** What a logger writes, line by line. */
function collector(): { lines: string[]; write(line: string): void } {
  const lines: string[] = [];
  return { lines, write: (line) => void lines.push(line) };
}

test('a line is JSON with time, level, message and details', () => {
  const out = collector();
  createLogger({ logLevel: 'info' }, out).warn({ webhook: 'wh_1' }, 'Disabled.');
  expect(out.lines).toHaveLength(1);
  expect(JSON.parse(out.lines[0]!)).toEqual({
    level: 'warn',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) as string,
    pid: process.pid,
    webhook: 'wh_1',
    msg: 'Disabled.',
  });
});

test('what is less severe than the level is not written', () => {
  const out = collector();
  createLogger({ logLevel: 'warn' }, out).info('quiet');
  expect(out.lines).toEqual([]);
});

test('secrets are never written, at any depth, by any of their names', () => {
  const out = collector();
  const log = createLogger({ logLevel: 'info' }, out);
  for (const key of ['authorization', 'x-api-key', 'X-API-Key', 'secret', 'password', 'apiKey', 'cookie', 'token']) {
    log.info({ [key]: 'hunter2' });
    log.info({ request: { [key]: { nested: 'hunter2' } } });
    log.info({ request: { headers: { [key]: 'hunter2' } } });
    log.info({ a: { request: { headers: { [key]: ['hunter2'] } } } });
    log.error(Object.assign(new Error('failed'), { config: { headers: { [key]: 'hunter2' } } }));
  }
  expect(out.lines).toHaveLength(40);
  for (const line of out.lines) {
    expect(line).toContain('***');
    expect(line).not.toContain('hunter2');
  }
});

test('the password in an URL is hidden in messages, values and stacks, and the rest stays readable', () => {
  const out = collector();
  const log = createLogger({ logLevel: 'info' }, out);
  const url = 'postgres://user:hun@ter2@db.example:5432/name';
  log.info(`connecting to ${url}`);
  log.info({ url, list: [url] });
  log.error(new Error(`no route to ${url}`));
  for (const line of out.lines) {
    expect(line).not.toContain('ter2');
    expect(line).toContain('postgres://user:***@db.example:5432/name');
    expect(() => JSON.parse(line) as unknown).not.toThrow();
  }
});

test('addresses without a password are left as they are', () => {
  const out = collector();
  const message = 'http://[::1]:4000/a:b@c and "https://x.example:8443/", me@example.com';
  createLogger({ logLevel: 'info' }, out).info(message);
  expect((JSON.parse(out.lines[0]!) as { msg: string }).msg).toBe(message);
});

test('on a terminal a line is short, and an error shows its stack', () => {
  const out = collector();
  const log = createLogger({ logLevel: 'info' }, terminal(out));
  log.info({ port: 4000, host: 'x' }, 'Listening.');
  log.error({ err: new Error('broken') }, 'Failed.');
  expect(out.lines[0]).toMatch(/^\d\d:\d\d:\d\d info Listening\. port=4000 host=x\n$/);
  expect(out.lines[1]).toMatch(/^\d\d:\d\d:\d\d error Failed\.\n {2}Error: broken\n {6}at /);
});

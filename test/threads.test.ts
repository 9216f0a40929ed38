import { MessageChannel } from 'node:worker_threads';
import * as fc from 'fast-check';
import { afterEach, expect, it, vi } from 'vitest';
import { Cargo, Line } from '../src/platform/threads/line.ts';
import { eventually } from './harness/eventually.ts';

type Echo = {
  readonly echo: (n: number) => number;
  readonly note: (text: string) => void;
};

const channels: MessageChannel[] = [];

afterEach(() => {
  for (const { port1, port2 } of channels.splice(0)) {
    port1.close();
    port2.close();
  }
});

/** Two ends that answer what they are given, with the bytes turned around. */
const ends = (echo?: (n: number) => Promise<void>) => {
  const channel = new MessageChannel();
  channels.push(channel);
  const heard: string[] = [];
  const doors = {
    echo: async (n: number, bytes: Buffer | null) => {
      if (echo) await echo(n);
      heard.push(`echo ${n}`);
      return new Cargo(n, bytes && Buffer.from(bytes.toReversed()));
    },
    note: (text: string) => void heard.push(text),
  };
  const here = new Line<Echo, Echo>(channel.port1, doors);
  const there = new Line<Echo, Echo>(channel.port2, doors);
  return { here, there, heard, channel };
};

it('each end gives each of many that ask at once its own answer, with bytes that are nobody else’s', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({ isHere: fc.boolean(), bytes: fc.option(fc.uint8Array({ maxLength: 20_000 })), ms: fc.nat(3) }),
        {
          maxLength: 40,
        },
      ),
      async (asked) => {
        const { here, there } = ends((n) => new Promise((resolve) => setTimeout(resolve, asked[n]!.ms)));
        const answers = await Promise.all(
          asked.map(({ isHere, bytes }, n) => (isHere ? here : there).ask('echo', n, bytes && Buffer.from(bytes))),
        );
        expect(answers.map(({ value, bytes }) => [value, bytes && [...bytes]])).toEqual(
          asked.map(({ bytes }, n) => [n, bytes && [...bytes].toReversed()]),
        );
      },
    ),
    { numRuns: 40 },
  );
});

it('what is said within a turn is one message, and is heard in its order', async () => {
  const { here, heard, channel } = ends();
  let messages = 0;
  channel.port2.on('message', () => messages++);
  here.tell('note', 'first');
  const asked = here.ask('echo', 1);
  here.tell('note', 'second');
  await asked;
  expect(heard).toEqual(['first', 'echo 1', 'second']);
  expect(messages).toBe(1);
});

it('what comes after a reply is done once the reply is on its way', async () => {
  const channel = new MessageChannel();
  channels.push(channel);
  const posted = vi.spyOn(channel.port2, 'postMessage');
  const postedByThen: number[] = [];
  void new Line<Echo, Pick<Echo, 'note'>>(channel.port2, {
    note: () => new Cargo(undefined, null, () => postedByThen.push(posted.mock.calls.length)),
  });
  const here = new Line<Pick<Echo, 'note'>, Echo>(channel.port1, {
    echo: (n) => n,
    note: () => undefined,
  });
  await here.ask('note', 'x');
  await eventually(() => expect(postedByThen).toEqual([1]));
});

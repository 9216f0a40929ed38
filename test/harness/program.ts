import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { GraphQLClient } from 'graphql-request';
import { loadConfig } from '../../src/config.ts';
import { startProgram } from '../../src/program.ts';

export const API_KEY = 'the-key-of-the-first-tenant-0123456789';
const SECRET_KEY = Buffer.alloc(32, 9).toString('base64');

/** Variables of a program on this database that may deliver to loopback. */
export const environment = (databaseUrl: string, more: Record<string, string> = {}): Record<string, string> => ({
  DATABASE_URL: databaseUrl,
  PORT: '0',
  HOOKGRAPH_SECRET_KEY: SECRET_KEY,
  HOOKGRAPH_API_KEY: API_KEY,
  HOOKGRAPH_ALLOW_TARGETS: '127.0.0.1/32',
  HOOKGRAPH_LOG_LEVEL: 'error',
  ...more,
});

export interface TestProgram {
  readonly url: string;
  readonly client: GraphQLClient;
  /** Sends an operation with the first tenant's key, or another. Rejects for top-level errors. */
  // oxlint-disable-next-line typescript/no-explicit-any -- whatever the query asked for
  graphql(query: string, variables?: Record<string, unknown>, key?: string): Promise<any>;
  stop(): Promise<void>;
}

/** The whole program, in this process, on a real port and a real database. */
export const startTestProgram = async (
  databaseUrl: string,
  more: Record<string, string> = {},
): Promise<TestProgram> => {
  const program = await startProgram(loadConfig(environment(databaseUrl, more)));
  program.ready();
  return { ...clientOf(program.address.url), stop: () => program.stop() };
};

export interface ProgramProcess extends TestProgram {
  readonly child: ChildProcess;
  /** Resolves with the exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  /** What it wrote so far, to both of its streams. */
  output(): string;
}

/** A program that neither starts nor fails is killed after this long. */
const START_MS = 30_000;

/** `node src/main.ts` as a process of its own; resolves when it has told its address, rejects with its output when it ended before. */
export const spawnProgram = async (databaseUrl: string, more: Record<string, string> = {}): Promise<ProgramProcess> => {
  const child = spawn(process.execPath, ['src/main.ts'], {
    cwd: new URL('../..', import.meta.url),
    env: { PATH: process.env['PATH'], ...environment(databaseUrl, more) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.on('exit', (code, signal) => resolve(code ?? signal)),
  );
  const deadline = setTimeout(() => child.kill('SIGKILL'), START_MS);
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const address = /(http:\S+)\/graphql/.exec(output)?.[1];
      if (address) resolve(address);
    });
    void ended.then((how) => reject(new Error(`ended with ${how}: ${output}`)));
  }).finally(() => clearTimeout(deadline));
  return {
    ...clientOf(url),
    child,
    ended,
    output: () => output,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
};

const clientOf = (url: string): Pick<TestProgram, 'url' | 'client' | 'graphql'> => {
  const client = new GraphQLClient(`${url}/graphql`, { headers: { 'X-API-Key': API_KEY } });
  return {
    url,
    client,
    graphql: (query, variables = {}, key = API_KEY) => client.request(query, variables, { 'X-API-Key': key }),
  };
};

const POLL_MS = 15;

/** Waits until `check` answers something truthy, and gives it back; fails with `what` at the deadline. */
export const until = async <T>(
  what: string,
  check: () => T | Promise<T>,
  limitMs = 15_000,
): Promise<NonNullable<T>> => {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited ${limitMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
};

import { afterEach, beforeEach } from 'vitest';
import { createTestDatabase } from './database.ts';
import type { TestDatabase } from './database.ts';
import { spawnProgram, startTestProgram } from './program.ts';
import type { ProgramProcess, TestProgram } from './program.ts';
import { startReceiver } from './receiver.ts';
import type { Receiver } from './receiver.ts';

/** For tests of several programs, which share a database. Its parts are there while a test runs, new ones for each. */
export interface Programs {
  readonly database: TestDatabase;
  readonly receiver: Receiver;
  /** In this process. */
  start(variables?: Record<string, string>): Promise<TestProgram>;
  /** In a process of its own. */
  spawn(variables?: Record<string, string>): Promise<ProgramProcess>;
}

/** After each test nothing of it is left. */
export const usePrograms = (): Programs => {
  const running: TestProgram[] = [];
  const kept = <Kind extends TestProgram>(program: Kind): Kind => {
    running.push(program);
    return program;
  };
  const programs = {
    start: async (variables) => kept(await startTestProgram(programs.database.url, variables)),
    spawn: async (variables) => kept(await spawnProgram(programs.database.url, variables)),
  } as { -readonly [Part in keyof Programs]: Programs[Part] };
  beforeEach(async () => {
    programs.database = await createTestDatabase();
    programs.receiver = await startReceiver();
  });
  afterEach(async () => {
    for (const program of running.splice(0).reverse()) await program.stop();
    await programs.receiver.close();
    await programs.database.drop();
  });
  return programs;
};

import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { createTestDatabase } from './database.ts';
import type { TestDatabase } from './database.ts';
import { startTestProgram } from './program.ts';
import type { TestProgram } from './program.ts';
import { startReceiver } from './receiver.ts';
import type { Receiver } from './receiver.ts';
import { tenantOf } from './tenant.ts';
import type { TestTenant } from './tenant.ts';

/** What most tests need. Its parts are there while a test runs. */
export interface Scene {
  readonly database: TestDatabase;
  readonly program: TestProgram;
  /** The first tenant. */
  readonly tenant: TestTenant;
  /** A new one for each test. */
  readonly receiver: Receiver;
}

/** Sets up one program on one database for the tests of a file, and a receiver for each test, and takes them down again. */
export const useScene = (variables: Record<string, string> = {}): Scene => {
  const scene = {} as { -readonly [Part in keyof Scene]: Scene[Part] };
  beforeAll(async () => {
    scene.database = await createTestDatabase();
    scene.program = await startTestProgram(scene.database.url, variables);
    scene.tenant = tenantOf(scene.program);
  });
  beforeEach(async () => {
    scene.receiver = await startReceiver();
  });
  afterEach(async () => {
    await scene.receiver.close();
  });
  afterAll(async () => {
    await scene.program.stop();
    await scene.database.drop();
  });
  return scene;
};

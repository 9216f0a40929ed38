import { vi } from 'vitest';

const PATIENCE_MS = 15_000;

/** Resolves when an assertion holds, however busy the machine is; rejects with why it doesn't after 15 s. */
export const eventually = <T>(check: () => T | Promise<T>): Promise<T> => vi.waitFor(check, { timeout: PATIENCE_MS });

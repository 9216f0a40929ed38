import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Vite would take graphql's ES module where Node, and with it every library, takes the other: two copies do not mix.
  resolve: { alias: [{ find: /^graphql$/, replacement: 'graphql/index.js' }] },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/harness/database.ts'],
    pool: 'forks',
    // Each starts programs of its own, and PostgreSQL wants to run too.
    maxWorkers: 3,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});

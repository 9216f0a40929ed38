import { pino } from 'pino';
import { createMetrics } from '../../src/platform/metrics.ts';
import { createSandbox } from '../../src/platform/sandbox/sandbox.ts';

/** A process with two children of which one hangs in the expression that it is given; it is there to be killed. */
const sandbox = createSandbox({ log: pino({ level: 'silent' }), metrics: createMetrics(), deadlineMs: 600_000 });
await Promise.all(['a', 'b'].map((tenant) => sandbox.evaluateAll(tenant, ['1 + 1'], '{}')));
void sandbox.evaluateAll('a', [process.argv[2]!], '{}');
process.send!('busy');

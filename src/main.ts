import { loadConfig } from './config.ts';
import { startProgram } from './program.ts';
import type { Program } from './program.ts';
import { StartupError } from './platform/startupError.ts';

/** Beyond the drain, for what has to end after it. */
const STOP_GRACE_MS = 10_000;

// Whoever reads this may go, and takes nothing with them.
process.stdout.on('error', () => undefined);

const say = (line: string): void => void process.stdout.write(`${line}\n`);

const failToStart = (error: unknown): never => {
  const lines = error instanceof StartupError ? error.lines : [`hookgraph could not start: ${(error as Error).stack}`];
  for (const line of lines) process.stderr.write(`${line}\n`);
  process.exit(1);
};

/** The address and, once, the key: what a newcomer needs next. */
const greet = ({ address, generatedKey }: Program): void => {
  say(`hookgraph listens. GraphQL and playground: ${address.url}/graphql`);
  if (generatedKey === null) return;
  say('');
  say(`  Your API key, shown this once:  ${generatedKey}`);
  say('');
};

try {
  const config = loadConfig(process.env);
  let stopping = false;
  let starting: Promise<Program> | null = null;
  const stop = (signal: NodeJS.Signals): void => {
    // npm may pass a signal on that the terminal sent to both of us: the second doesn't cut the drain.
    if (stopping) return;
    stopping = true;
    say(`${signal}: finishing what is under way, at most ${config.drainSeconds} s`);
    setTimeout(() => process.exit(1), config.drainSeconds * 1000 + STOP_GRACE_MS).unref();
    void starting?.then((program) => program.stop()).finally(() => process.exit(0));
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  starting = startProgram(config);
  const program = await starting;
  greet(program);
  program.ready();
} catch (error) {
  failToStart(error);
}

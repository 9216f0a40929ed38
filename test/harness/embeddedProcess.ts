/** A process that does nothing but use the embedded PostgreSQL of `argv[2]`, until it is told to stop, or killed. */
import { startEmbeddedPostgres } from '../../src/platform/embedded/index.ts';

const [dataDir, settings] = process.argv.slice(2) as [string, string];
const log = { info: () => undefined, warn: (line: string) => void process.stderr.write(`${line}\n`) };
const server = await startEmbeddedPostgres({
  dataDir,
  log,
  settings: JSON.parse(settings) as Record<string, string>,
});
process.send!({ url: server.url });
process.once('message', () => {
  void server.stop().then(() => process.disconnect!());
});

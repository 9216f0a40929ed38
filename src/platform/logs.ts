import { isatty } from 'node:tty';
import pino, { type DestinationStream, type LevelWithSilent, type Logger } from 'pino';

export type { Logger } from 'pino';

/** Keys whose values are never written, wherever they are up to three levels deep, in errors too. */
const secretKeys = [
  'authorization',
  'Authorization',
  'cookie',
  'password',
  'secret',
  'secretKey',
  'signingSecret',
  'token',
  'apiKey',
  '"x-api-key"',
  '"X-API-Key"',
  '"set-cookie"',
];

const secretPaths = secretKeys.flatMap((key) => {
  const below = key.startsWith('"') ? `[${key}]` : `.${key}`;
  return [key.startsWith('"') ? `[${key}]` : key, `*${below}`, `*.*${below}`, `*.*.*${below}`];
});

/**
 * The log: a JSON line each, or on a terminal a short line for people. What is known to be secret is replaced by `***`:
 * values by their key, and passwords inside of URLs wherever they are, messages and stacks included.
 */
export function createLogger(
  config: { readonly logLevel: LevelWithSilent },
  destination: DestinationStream = isatty(1) ? terminal(process.stdout) : pino.destination(1),
): Logger {
  return pino(
    {
      level: config.logLevel,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretPaths, censor: '***' },
      hooks: { streamWrite: hideUrlPasswords },
    },
    destination,
  );
}

/** A password may hold an `@`, so everything up to the last one before the host's end is hidden. */
function hideUrlPasswords(line: string): string {
  return line.replaceAll(/(:\/\/[^\s:/@"\\]*):[^\s/"\\]+@/g, '$1:***@');
}

/** Writes `12:34:56 warn message key=value`, and an error's stack below, as people read it. */
export function terminal(out: { write(text: string): unknown }): DestinationStream {
  return {
    write(line: string): void {
      const { level, time, msg, pid: _pid, err, ...rest } = JSON.parse(line) as Record<string, unknown>;
      const clock = typeof time === 'string' ? time.slice(11, 19) : '';
      const details = Object.entries(rest).map(([key, value]) => `${key}=${shown(value)}`);
      const error = err as { stack?: string; message?: string } | undefined;
      const words = [clock, String(level), shown(msg), ...details].filter((word) => word !== '');
      const below = error === undefined ? '' : `\n  ${(error.stack ?? error.message ?? '').replaceAll('\n', '\n  ')}`;
      out.write(`${words.join(' ')}${below}\n`);
    },
  };
}

function shown(value: unknown): string {
  if (value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

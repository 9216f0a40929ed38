import { styleText } from 'node:util';
import type { DeliveryRow, InboundRow } from './feeds.ts';

type Style = Parameters<typeof styleText>[0];

export const paint = (style: Style, text: string): string => styleText(style, text, { stream: process.stdout });
export const say = (text = ''): void => void process.stdout.write(`${text}\n`);
export const step = (text: string): void => say(`${paint('cyan', '▸')} ${text}`);

const COLOURS: Readonly<Record<string, Style>> = {
  DELIVERED: 'green',
  DISPATCHED: 'green',
  PENDING: 'cyan',
  RETRYING: 'yellow',
  ABANDONED: 'red',
  FAILED: 'red',
  HELD: 'blue',
  CANCELLED: 'gray',
};

const row = (at: string, arrow: string, type: string, status: string, rest: string): string =>
  [
    paint('gray', at.slice(11, 23)),
    arrow,
    type.padEnd(22),
    paint(COLOURS[status] ?? 'white', status.padEnd(10)),
    rest,
  ].join('  ');

/** What went out. `latencyMs`: since it was published, where that is known. */
export const deliveryRow = (event: DeliveryRow, latencyMs: number | null): string => {
  const answer = `attempt ${event.attemptNumber}  ${String(event.responseStatus ?? '–').padStart(4)}  ${`${event.durationMs ?? '–'} ms`.padStart(7)}`;
  const seen = latencyMs === null ? '' : paint('gray', `  seen here after ${Math.round(latencyMs)} ms`);
  return row(event.at, '→', event.eventType, event.status, answer + seen);
};

/** What came in, and what became of it. */
export const inboundRow = (event: InboundRow): string => {
  const outcome = event.inboundDelivery?.handlerOutcome;
  const what =
    event.dispatchStatus === 'DISPATCHED' && outcome
      ? `${outcome.action}: ${outcome.entityId}, which publishes ${outcome.events?.length ?? 0} event(s)`
      : `${event.authStatus.toLowerCase()}, answered ${event.responseStatus} in ${event.durationMs} ms`;
  return row(event.at, '←', event.eventType ?? '–', event.dispatchStatus, what);
};

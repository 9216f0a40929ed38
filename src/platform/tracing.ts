import { randomBytes } from 'node:crypto';
import type { Logger } from './logs.ts';

/** Something that took time, told when it is over. */
export interface Span {
  readonly name: string;
  readonly kind: 'SERVER' | 'CLIENT';
  /** 32 hexadecimal digits; what shares them is one trace. */
  readonly traceId: string;
  /** The span that it is a part of, 16 hexadecimal digits; null for the first of its trace. */
  readonly parentId: string | null;
  /** ms since the epoch. */
  readonly startedAt: number;
  readonly durationMs: number;
  /** By the names of OpenTelemetry's semantic conventions where there is one; null is left out. */
  readonly attributes: Readonly<Record<string, string | number | boolean | null>>;
  /** Why it failed; null where it did not. */
  readonly error: string | null;
}

export interface Tracing {
  /** Never throws and never waits; drops the span where too many wait already. */
  record(span: Span): void;
  /** Sends what waits, for at most five seconds. */
  close(): Promise<void>;
}

export interface TracingOptions {
  /** Where the collector takes traces (`…/v1/traces`). */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string;
  readonly serviceVersion: string;
  readonly log: Logger;
}

const MOST_WAITING = 8_192;
const MOST_AT_ONCE = 512;
const EVERY_MS = 2_000;
const TIMEOUT_MS = 5_000;
const SILENCE_MS = 60_000;

const KINDS = { SERVER: 2, CLIENT: 3 } as const;
const STATUS_ERROR = 2;

/**
 * Sends spans to an OpenTelemetry collector: OTLP over HTTP with JSON (https://opentelemetry.io/docs/specs/otlp/), up to 512
 * in a request, one request at a time. Observing must never hurt what is observed: what the collector does not take is gone,
 * and said once a minute.
 */
export const createTracing = (options: TracingOptions): Tracing => {
  const { url, log } = options;
  const waiting: Span[] = [];
  let dropped = 0;
  let sending: Promise<void> | null = null;
  let saidAt = 0;
  let isClosing = false;

  const complain = (error: unknown): void => {
    if (Date.now() - saidAt < SILENCE_MS) return;
    saidAt = Date.now();
    log.warn({ err: error, dropped }, 'the OpenTelemetry collector takes no traces');
    dropped = 0;
  };

  const send = async (spans: readonly Span[]): Promise<void> => {
    try {
      const answer = await fetch(url, {
        method: 'POST',
        headers: { ...options.headers, 'content-type': 'application/json' },
        body: JSON.stringify(exported(options, spans)),
        redirect: 'error',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      await answer.arrayBuffer();
      if (!answer.ok) throw new Error(`the collector answered ${answer.status}`);
    } catch (error) {
      dropped += spans.length;
      complain(error);
    }
  };

  const drain = async (): Promise<void> => {
    while (waiting.length > 0) await send(waiting.splice(0, MOST_AT_ONCE));
  };

  const flush = (): Promise<void> =>
    (sending ??= drain().finally(() => {
      sending = null;
    }));

  const timer = setInterval(() => void flush(), EVERY_MS).unref();

  return {
    record(span) {
      if (isClosing || waiting.length >= MOST_WAITING) {
        dropped++;
        return;
      }
      waiting.push(span);
      if (waiting.length >= MOST_AT_ONCE) void flush();
    },
    async close() {
      isClosing = true;
      clearInterval(timer);
      let limit: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        limit = setTimeout(resolve, TIMEOUT_MS);
      });
      await Promise.race([flush(), late]);
      clearTimeout(limit);
    },
  };
};

/**
 * The trace that a request belongs to by its `traceparent` (https://www.w3.org/TR/trace-context/): a new one where it has
 * none that is valid, null where its sender chose not to have it recorded.
 */
export const traceOf = (traceparent: string | undefined): { traceId: string; parentId: string | null } | null => {
  const match = /^(?!ff)[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(?:-.*)?$/.exec(traceparent ?? '');
  const [, traceId, parentId, flags] = match ?? [];
  if (!traceId || !parentId || /^0+$/.test(traceId) || /^0+$/.test(parentId)) {
    return { traceId: randomBytes(16).toString('hex'), parentId: null };
  }
  return (Number.parseInt(flags!, 16) & 1) === 1 ? { traceId, parentId } : null;
};

const exported = ({ serviceName, serviceVersion }: TracingOptions, spans: readonly Span[]): object => ({
  resourceSpans: [
    {
      resource: { attributes: attributesOf({ 'service.name': serviceName, 'service.version': serviceVersion }) },
      scopeSpans: [{ scope: { name: 'hookgraph', version: serviceVersion }, spans: spans.map(exportedSpan) }],
    },
  ],
});

const exportedSpan = (span: Span): object => ({
  traceId: span.traceId,
  spanId: randomBytes(8).toString('hex'),
  ...(span.parentId !== null && { parentSpanId: span.parentId }),
  name: span.name,
  kind: KINDS[span.kind],
  startTimeUnixNano: nanos(span.startedAt),
  endTimeUnixNano: nanos(span.startedAt + span.durationMs),
  attributes: attributesOf(span.attributes),
  status: span.error === null ? {} : { code: STATUS_ERROR, message: span.error },
});

/** 64-bit integers are text in OTLP's JSON. */
const nanos = (ms: number): string => String(BigInt(Math.round(ms * 1_000)) * 1_000n);

const attributesOf = (attributes: Span['attributes']): object[] =>
  Object.entries(attributes).flatMap(([key, value]) => (value === null ? [] : [{ key, value: valueOf(value) }]));

const valueOf = (value: string | number | boolean): object => {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
};

import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';

const TOLERANCE_SECONDS = 300;

export interface DemoReceiver {
  readonly url: string;
  readonly counts: { requests: number; verified: number; refused: number; repeated: number };
  /** What to answer instead of 200, for the next request that gets it. */
  fail(status: number): void;
  trust(secret: { value: string; standardWebhooks: string }): void;
  close(): void;
}

/**
 * A receiver as a customer would write one: it takes the raw body, verifies it by `X-Alga-Signature` and by the
 * Standard Webhooks library, refuses with 401 what fails either, and handles each event once.
 */
export const startReceiver = async (): Promise<DemoReceiver> => {
  const counts = { requests: 0, verified: 0, refused: 0, repeated: 0 };
  const seen = new Set<string>();
  let secret = { value: '', standardWebhooks: '' };
  let failure: number | null = null;

  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      counts.requests++;
      const body = Buffer.concat(chunks).toString('utf8');
      const isOurs =
        isSigned(body, String(request.headers['x-alga-signature']), secret.value) &&
        isStandard(body, request.headers as Record<string, string>, secret.standardWebhooks);
      if (!isOurs) {
        counts.refused++;
        response.writeHead(401).end('bad signature');
        return;
      }
      counts.verified++;
      if (failure !== null) {
        response.writeHead(failure).end('not now');
        failure = null;
        return;
      }
      const eventId = String(request.headers['x-alga-event-id']);
      if (seen.has(eventId)) counts.repeated++;
      seen.add(eventId);
      response.end('ok');
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/webhooks`,
    counts,
    fail: (status) => {
      failure = status;
    },
    trust: (given) => {
      secret = given;
    },
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
};

/** `t=<unix>,v1=<hex>`: HMAC-SHA256 of `<t>.<body>`, keyed by the secret's text. */
const isSigned = (body: string, header: string, key: string): boolean => {
  const parts = new Map(header.split(',').map((part) => part.split('=', 2) as [string, string]));
  const t = Number(parts.get('t'));
  if (!t || Math.abs(Date.now() / 1000 - t) > TOLERANCE_SECONDS) return false;
  const expected = createHmac('sha256', key).update(`${t}.${body}`).digest();
  const given = Buffer.from(parts.get('v1') ?? '', 'hex');
  return given.length === expected.length && timingSafeEqual(given, expected);
};

const isStandard = (body: string, headers: Record<string, string>, key: string): boolean => {
  try {
    new Webhook(key).verify(body, headers);
    return true;
  } catch {
    return false; // the library says no by throwing
  }
};

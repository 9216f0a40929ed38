import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PLAIN_END } from '../src/domain/deliveries/settlement.ts';
import type { Settlement } from '../src/domain/deliveries/settlement.ts';
import { Settlers } from '../src/jobs/lanes/settlers.ts';
import type { Database } from '../src/platform/database.ts';
import { newId } from '../src/platform/ids.ts';
import { createLogger } from '../src/platform/logs.ts';

interface Statement {
  readonly ids: readonly string[];
  readonly webhooks: ReadonlySet<string>;
  finish(): void;
}

/** Statements that end when they are told to: which of them overlap is what this is about. */
const heldUp = (webhookOf: ReadonlyMap<string, string>): { database: Database; open: Statement[] } => {
  const open: Statement[] = [];
  const query = (_text: string, [input]: [string]): Promise<object[]> => {
    // Rows as `linesOf` makes them, the id first.
    const ids = input.split('\x1e').map((row) => row.split('\x1f', 1)[0]!);
    return new Promise((resolve) => {
      const statement = {
        ids,
        webhooks: new Set(ids.map((id) => webhookOf.get(id)!)),
        finish: () => {
          open.splice(open.indexOf(statement), 1);
          resolve(ids.map((id) => ({ id, tenant_id: '', what: 'applied' })));
        },
      };
      open.push(statement);
    });
  };
  return { database: { sql: { query } } as unknown as Database, open };
};

const settlementOf = (webhookId: string): Settlement => ({
  deliveryId: newId(),
  webhookId,
  webhookName: 'of a test',
  eventId: newId(),
  eventType: 'ticket.created',
  isTest: false,
  isForward: false,
  attemptsBefore: 0,
  status: 'FILTERED',
  ...PLAIN_END,
  attempt: null,
  error: null,
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('settlers', () => {
  it('write results of different webhooks side by side, those of one webhook in their order and never at once', async () => {
    const step = fc.oneof(fc.record({ webhook: fc.integer({ min: 0, max: 5 }) }), fc.record({ finish: fc.nat() }));
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60 }), async (steps) => {
        const webhookOf = new Map<string, string>();
        const { database, open } = heldUp(webhookOf);
        const settled: string[] = [];
        const settlers = new Settlers({
          database,
          log: createLogger({ logLevel: 'silent' }),
          mend: async () => false,
          onSettled: () => undefined,
        });
        const given: string[] = [];
        for (const one of steps) {
          if ('webhook' in one) {
            const settlement = settlementOf(`webhook-${one.webhook}`);
            webhookOf.set(settlement.deliveryId, settlement.webhookId);
            given.push(settlement.deliveryId);
            settlers.add(settlement, () => settled.push(settlement.deliveryId));
          } else if (open.length > 0) open[one.finish % open.length]!.finish();
          await turn();
          expect(open.length).toBeLessThanOrEqual(2);
          if (open.length === 2) expect(open[0]!.webhooks.isDisjointFrom(open[1]!.webhooks)).toBe(true);
        }
        const drained = settlers.drain();
        while (open.length > 0) {
          open[0]!.finish();
          await turn();
        }
        await drained;
        const ofWebhook = (ids: readonly string[], webhook: string): string[] =>
          ids.filter((id) => webhookOf.get(id) === webhook);
        for (const webhook of new Set(webhookOf.values()))
          expect(ofWebhook(settled, webhook)).toEqual(ofWebhook(given, webhook));
      }),
      { numRuns: 100 },
    );
  });

  it('have two webhooks under way at once', async () => {
    const webhookOf = new Map<string, string>();
    const { database, open } = heldUp(webhookOf);
    const settlers = new Settlers({
      database,
      log: createLogger({ logLevel: 'silent' }),
      mend: async () => false,
      onSettled: () => undefined,
    });
    for (const webhook of ['a', 'b']) settlers.add(settlementOf(webhook), () => undefined);
    await turn();
    expect(open).toHaveLength(2);
    while (open.length > 0) open[0]!.finish();
    await settlers.drain();
  });
});

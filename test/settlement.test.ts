import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { findAttempts } from '../src/domain/deliveries/attemptLog.ts';
import { PLAIN_END, settle } from '../src/domain/deliveries/settlement.ts';
import type { Settlement } from '../src/domain/deliveries/settlement.ts';
import { newId } from '../src/platform/ids.ts';
import { useDatabase } from './harness/ownDatabase.ts';

const own = useDatabase(2);

/** Any text, and much of what separates fields, lines and nulls here or elsewhere. */
const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom('~', '\x1e', '\x1f', '\0', '\n', '"', '\\', '\\N', '{', ',', 'ü', '\ud800') }),
);
const bytes = fc.uint8Array({ maxLength: 40 }).map((of) => Buffer.from(of));
const result = fc.record({
  name: hostile,
  value: hostile,
  status: fc.option(fc.integer({ min: 100, max: 599 })),
  body: fc.option(bytes),
  message: fc.option(hostile),
});

it('whatever others wrote is recorded as it came, beside whatever else is settled with it', async () => {
  const tenantId = newId();
  await fc.assert(
    fc.asyncProperty(fc.array(result, { minLength: 1, maxLength: 4 }), async (results) => {
      const batch = results.map(({ name, value, status, body, message }): Settlement => ({
        deliveryId: newId(),
        webhookId: newId(),
        webhookName: name,
        eventId: newId(),
        eventType: 'ticket.created',
        isTest: false,
        isForward: false,
        attemptsBefore: 0,
        status: message === null ? 'DELIVERED' : 'ABANDONED',
        ...PLAIN_END,
        attempt: {
          trigger: 'INITIAL',
          startedAt: Date.now(),
          durationMs: 7,
          requestHeaders: ['x-one', value],
          responseStatus: status,
          responseHeaders: status === null ? null : [['x-two', value]],
          responseBody: body,
          responseTruncated: false,
        },
        error: message === null ? null : { code: 'UNKNOWN', message },
      }));
      const ids = batch.map(({ deliveryId }) => deliveryId);
      await own.database.sql.query(
        `insert into delivery_open (id, tenant_id, webhook_id, event_id, event_type, next_at, created_at, expires_at)
         select id, $2, id, id, 'ticket.created', now(), now(), now() from unnest($1::uuid[]) as t (id)`,
        [ids, tenantId],
      );
      // The last one has no row: it changes nothing, and neither does a repetition.
      const stranger = { ...batch[0]!, deliveryId: newId() };
      expect((await settle(own.database.sql, [...batch, stranger])).applied).toEqual(new Set(ids));
      expect((await settle(own.database.sql, batch)).applied).toEqual(new Set());

      const storable = (text: string): string => text.replaceAll('\0', '').toWellFormed();
      const attempts = await findAttempts(
        own.database.sql,
        tenantId,
        ids.map((id) => ({ id, attemptCount: 2 })),
      );
      for (const [index, { value, status, body, message }] of results.entries()) {
        const [attempt, ...others] = attempts.get(ids[index]!)!;
        expect(others).toEqual([]);
        expect(attempt!.requestHeaders).toEqual({ 'x-one': value });
        expect(attempt!.responseHeaders).toEqual(status === null ? null : { 'x-two': value });
        expect(attempt!.responseStatus).toBe(status);
        expect(attempt!.responseBody).toBe(body?.toString('utf8') ?? null);
        expect(attempt!.error).toEqual(message === null ? null : { code: 'UNKNOWN', message: storable(message) });
      }
    }),
    { numRuns: 60 },
  );
});

import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { outcomeOf } from '../src/domain/deliveries/outcome.ts';
import { nextAttemptAt, retryAfterUntil } from '../src/domain/deliveries/schedule.ts';
import { coveringPatterns } from '../src/domain/events/patterns.ts';

const NOW = 1_800_000_000_000;
const schedule = fc.array(fc.integer({ min: 1, max: 86_400 }), { maxLength: 20 });
const random = fc.double({ min: 0, max: 0.999_999, noNaN: true });

it('an attempt follows its wait by ±10 %, and none follows the last', () => {
  fc.assert(
    fc.property(schedule, fc.integer({ min: 1, max: 25 }), random, (waits, failures, share) => {
      const at = nextAttemptAt(waits, failures, NOW, share);
      const wait = waits[failures - 1];
      if (wait === undefined) expect(at).toBeNull();
      else {
        expect(at! - NOW).toBeGreaterThanOrEqual(wait * 900 - 1);
        expect(at! - NOW).toBeLessThanOrEqual(wait * 1_100 + 1);
      }
    }),
  );
});

it('Retry-After is read as seconds or a date, kept within 1 s and 1 h, and anything else is nothing', () => {
  expect(retryAfterUntil('120', NOW)).toBe(NOW + 120_000);
  expect(retryAfterUntil(' 0 ', NOW)).toBe(NOW + 1_000);
  expect(retryAfterUntil('99999', NOW)).toBe(NOW + 3_600_000);
  expect(retryAfterUntil(new Date(NOW + 60_000).toUTCString(), NOW)).toBe(NOW + 60_000);
  expect(retryAfterUntil(new Date(NOW - 60_000).toUTCString(), NOW)).toBe(NOW + 1_000);
  for (const nonsense of ['', 'soon', '-5', '1.5', 'Mon']) expect(retryAfterUntil(nonsense, NOW)).toBeNull();
  fc.assert(
    fc.property(fc.string(), (text) => {
      const until = retryAfterUntil(text, NOW);
      return until === null || (until >= NOW + 1_000 && until <= NOW + 3_600_000);
    }),
  );
});

it('an outcome is final exactly when it succeeded, was refused for good, or has no wait left', () => {
  fc.assert(
    fc.property(
      schedule,
      fc.nat({ max: 25 }),
      fc.constantFrom(200, 301, 404, 410, 429, 500, 503, null),
      fc.constantFrom(null, '30', 'soon'),
      fc.boolean(),
      random,
      (retrySchedule, failuresBefore, responseStatus, retryAfter, isOpen, share) => {
        const isSuccess = responseStatus === 200;
        const error = isSuccess ? null : ({ code: 'HTTP_STATUS', message: '' } as const);
        const answer = { responseStatus, retryAfter, error };
        const outcome = outcomeOf({ answer, retrySchedule, failuresBefore, isOpen, now: NOW, random: share });
        const isHeld = (responseStatus === 429 || responseStatus === 503) && retryAfter === '30';
        if (isSuccess) expect(outcome).toEqual({ status: 'DELIVERED' });
        else if (responseStatus === 410) expect(outcome).toEqual({ status: 'ABANDONED', isGone: true });
        else if (!isOpen) expect(outcome).toEqual({ status: 'CANCELLED' });
        else if (isHeld) expect(outcome).toEqual({ status: 'RETRYING', nextAt: NOW + 30_000, heldUntil: NOW + 30_000 });
        else expect(outcome.status).toBe(failuresBefore < retrySchedule.length ? 'RETRYING' : 'ABANDONED');
      },
    ),
  );
});

it('a type is covered by itself and by a star in place of any of its ends', () => {
  expect(coveringPatterns('ticket.comment.added')).toEqual([
    'ticket.comment.added',
    'ticket.comment.*',
    'ticket.*',
    '*',
  ]);
});

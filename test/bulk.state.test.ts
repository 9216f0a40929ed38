import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parametersOf, workOf } from '../src/domain/bulk/bulkOperation.ts';
import type { BulkRow, BulkTask } from '../src/domain/bulk/bulkOperation.ts';
import type { Slice } from '../src/domain/bulk/slice.ts';
import { afterSlice } from '../src/domain/bulk/turn.ts';
import type { BulkState } from '../src/domain/bulk/turn.ts';
import { LOWEST_ID } from '../src/platform/ids.ts';

const START: BulkState = {
  status: 'RUNNING',
  isCounted: false,
  scanAfter: LOWEST_ID,
  total: 0,
  succeeded: 0,
  failed: 0,
  error: null,
};

const id = fc.uuid({ version: 7 });
const few = fc.nat(1_000);
const slice: fc.Arbitrary<Slice> = fc.record({
  scannedTo: fc.option(id, { freq: 4 }),
  counted: few,
  succeeded: few,
  failed: few,
  rings: fc.constant([]),
  cancelledOf: fc.constant([]),
  obstacle: fc.option(fc.constant('The webhook was deleted.'), { freq: 1 }),
});

describe('an operation, slice by slice,', () => {
  it('never loses count: what is processed grows, never past the total, and is the total at the end', () => {
    fc.assert(
      fc.property(fc.array(slice, { maxLength: 30 }), (slices) => {
        let state = START;
        for (const next of slices) {
          if (state.status !== 'RUNNING') return;
          const after = afterSlice(state, next);
          const processed = after.succeeded + after.failed;
          expect(processed).toBeGreaterThanOrEqual(state.succeeded + state.failed);
          expect(after.total).toBeGreaterThanOrEqual(processed);
          expect(after.status === 'FAILED').toBe(next.obstacle !== null);
          expect(after.error).toBe(next.obstacle);
          if (after.status === 'COMPLETED') expect(after.total).toBe(processed);
          if (!state.isCounted) expect(processed).toBe(0);
          state = after;
        }
      }),
    );
  });

  it('walks twice from the start, to count and to work, and goes on from where the last slice came to', () => {
    fc.assert(
      fc.property(slice, id, fc.boolean(), (next, at, isCounted) => {
        const after = afterSlice({ ...START, isCounted, scanAfter: at, total: 1 }, { ...next, obstacle: null });
        if (next.scannedTo !== null) expect(after).toMatchObject({ isCounted, scanAfter: next.scannedTo });
        else if (isCounted) expect(after.status).toBe('COMPLETED');
        else expect(after).toMatchObject({ status: 'RUNNING', isCounted: true, scanAfter: LOWEST_ID });
      }),
    );
  });

  it('is asked of the database again as it was asked for', () => {
    const date = fc.date({ noInvalidDate: true });
    const filter = fc.record(
      {
        webhookId: id,
        eventId: id,
        status: fc.array(fc.constantFrom('ABANDONED' as const, 'CANCELLED' as const)),
        eventTypes: fc.array(fc.string()),
        isTest: fc.boolean(),
        responseStatus: fc.nat(),
        from: date,
        to: date,
      },
      { requiredKeys: [] },
    );
    const task: fc.Arbitrary<BulkTask> = fc.oneof(
      fc.record({ kind: fc.constantFrom('RETRY' as const, 'CANCEL' as const), filter }),
      fc.record({ kind: fc.constant('RECOVER' as const), webhookId: id, since: date }),
    );
    const row: Omit<BulkRow, 'kind' | 'parameters'> = {
      id: LOWEST_ID,
      tenant_id: LOWEST_ID,
      status: 'RUNNING',
      is_counted: false,
      scan_after: LOWEST_ID,
      total: 0,
      succeeded: 0,
      failed: 0,
      tries: 0,
      started_at: 0,
      completed_at: null,
      error: null,
    };
    fc.assert(
      fc.property(task, (asked) => {
        expect(workOf({ ...row, kind: asked.kind, parameters: parametersOf(asked) }).task).toEqual(asked);
      }),
    );
  });
});

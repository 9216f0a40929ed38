import { encodeId } from '../../../platform/ids.ts';
import type { ActionOutcome } from '../../actions/action.ts';
import type { ActionRegistry } from '../../actions/actionRegistry.ts';
import { openChange } from '../../actions/changes.ts';
import { DomainError } from '../../errors.ts';
import type { Publisher } from '../../events/event.ts';
import type { Database } from '../../../platform/database.ts';
import { parseBody } from '../verification/body.ts';
import { forwardIdOf, holdDispatch, settleDispatches } from './openDispatches.ts';
import type { DispatchSettlement, DispatchTarget, OpenDispatch } from './openDispatches.ts';

/** A field of a mapping that brought no value that its target takes. */
export interface MappingFailure {
  readonly field: string;
  readonly expression: string;
  readonly message: string;
}

/** Applies a mapping to a body. */
export interface Mapper {
  /**
   * `values` is null where a required field failed. Throws where nothing can be evaluated now.
   *
   * @param input JSON
   * @param holder the id of the webhook
   */
  map(
    tenantId: string,
    action: string,
    mapping: Readonly<Record<string, string>>,
    input: string,
    holder: string,
  ): Promise<{
    readonly values: Readonly<Record<string, unknown>> | null;
    readonly errors: readonly MappingFailure[];
  }>;
}

/** What a workflow learns of the request (B9). */
export interface InboundEnvelope {
  readonly source: string;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
  readonly verified: boolean;
  /** TypeIDs. */
  readonly delivery_id: string;
  readonly idempotency_key: string | null;
  /** ISO 8601. */
  readonly received_at: string;
}

export interface WorkflowRequest {
  readonly tenantId: string;
  readonly workflowId: string;
  /** UUID of the inbound delivery: a run belongs to one, and there is one for each. */
  readonly deliveryId: string;
  readonly source: string;
  readonly hops: number;
  readonly envelope: InboundEnvelope;
}

/** Runs workflows. */
export interface WorkflowRunner {
  /**
   * Starts the delivery's run, or goes on with it after the last finished step. Throws where it is to be tried again.
   */
  run(request: WorkflowRequest): Promise<{ readonly runId: string; readonly error: string | null }>;
}

export interface DispatchOptions {
  readonly database: Database;
  readonly publisher: Publisher;
  readonly actions: ActionRegistry;
  readonly mapper: Mapper;
  readonly workflows: WorkflowRunner;
  /** Makes partitions when a commit finds none; true where trying again makes sense. */
  readonly mend: (error: unknown) => Promise<boolean>;
  /** Forwards are queued, by a commit that is over. Neither throws nor waits. */
  readonly onForwarded: (target: DispatchTarget, dueAt: number) => void;
  readonly onUnexpected: (error: unknown, dispatch: OpenDispatch) => void;
  readonly now: () => number;
}

/** Waits after each attempt that failed for want of something: 1 s, 3 s, 9 s, … up to an hour, ±10 %. */
const nextAttemptAt = (attempts: number, now: number): number =>
  now + Math.min(1_000 * 3 ** attempts, 3_600_000) * (0.9 + Math.random() * 0.2);

const DISABLED = { error: 'The inbound webhook was disabled before this was handled.' };
const EXPIRED = { error: 'Not handled within 7 days.' };
const BODY_GONE = { error: 'The body of this request is not stored any more.' };

/**
 * Does what inbound webhooks are set to do with what they receive: runs the action in one transaction with its record, so
 * that it happens once whoever dies; runs the workflow, step by step; queues the forward. What is refused (an unknown
 * external id, a value that isn't allowed) fails for good and frees its idempotency key; whatever else goes wrong is tried
 * again for 7 days.
 */
export class Dispatch {
  readonly #options: DispatchOptions;

  constructor(options: DispatchOptions) {
    this.#options = options;
  }

  /** Handles one request and writes down what came of it. Rejects only where that can't be written: then it is still open. */
  async handle(target: DispatchTarget, dispatch: OpenDispatch): Promise<void> {
    if (dispatch.isExpired) return this.#settle(target, dispatch, failed(EXPIRED));
    if (target.isDisabled && !dispatch.isTest) return this.#settle(target, dispatch, failed(DISABLED));
    if (dispatch.body === null) return this.#settle(target, dispatch, failed(BODY_GONE));
    try {
      switch (target.handlerType) {
        case 'RECORD':
          return await this.#settle(target, dispatch, done(null));
        case 'DIRECT_ACTION':
          return await this.#act(target, dispatch);
        case 'WORKFLOW':
          return await this.#runWorkflow(target, dispatch);
        default:
          return target.handlerType satisfies never;
      }
    } catch (error) {
      await this.#settle(target, dispatch, this.#failure(target, dispatch, error));
    }
  }

  /** Ends what waits for a webhook that is gone. */
  async giveUp(dispatches: readonly OpenDispatch[]): Promise<void> {
    const outcome = { error: 'The inbound webhook was deleted before this was handled.' };
    await settleDispatches(
      this.#options.database.sql,
      dispatches.map((dispatch) => ({
        ...failed(outcome),
        dispatch,
        webhookName: '',
        forwards: false,
      })),
    );
  }

  async #act(target: DispatchTarget, dispatch: OpenDispatch): Promise<void> {
    const { actions, mapper, database, publisher } = this.#options;
    const action = actions.find(target.action ?? '');
    if (!action) {
      const outcome = { action: target.action, error: 'This installation has no such action any more.' };
      return this.#settle(target, dispatch, failed(outcome));
    }
    const input = JSON.stringify(bodyOf(dispatch));
    const { values, errors } = await mapper.map(
      target.tenantId,
      action.name,
      target.fieldMapping,
      input,
      target.webhookId,
    );
    if (values === null) {
      const outcome = { action: action.name, error: 'A required field could not be mapped.', mappingErrors: errors };
      return this.#settle(target, dispatch, failed(outcome));
    }
    const commit = () =>
      database.transaction(async (sql, em) => {
        if (!(await holdDispatch(sql, dispatch))) return null;
        const change = openChange(publisher, sql, em, originOf(target, dispatch));
        const outcome = await action.run(change.context, values);
        const settled = await settleDispatches(sql, [
          this.#settlement(target, dispatch, done(shownOutcome(action.name, outcome, errors))),
        ]);
        return { change, at: settled.at };
      });
    const committed = await commit().catch(async (error: unknown) => {
      if (!(await this.#options.mend(error))) throw error;
      return commit();
    });
    if (committed === null) return;
    committed.change.ring();
    if (this.#forwards(target, dispatch)) this.#options.onForwarded(target, committed.at);
  }

  async #runWorkflow(target: DispatchTarget, dispatch: OpenDispatch): Promise<void> {
    const { runId, error } = await this.#options.workflows.run({
      workflowId: target.workflowId!,
      deliveryId: dispatch.id,
      ...originOf(target, dispatch),
      envelope: {
        source: target.source,
        body: bodyOf(dispatch),
        headers: dispatch.headers,
        verified: dispatch.authStatus === 'VERIFIED',
        delivery_id: encodeId('inboundDelivery', dispatch.id),
        idempotency_key: dispatch.idempotencyKey,
        received_at: new Date(dispatch.receivedAt).toISOString(),
      },
    });
    const outcome = { workflowRun: encodeId('workflowRun', runId), ...(error !== null && { error }) };
    await this.#settle(target, dispatch, {
      ...(error === null ? done(outcome) : failed(outcome)),
      workflowRunId: runId,
    });
  }

  /** What is refused is over; what may pass is tried again. */
  #failure(target: DispatchTarget, dispatch: OpenDispatch, error: unknown): Ending {
    const action = target.action === null ? {} : { action: target.action };
    if (error instanceof DomainError) {
      return failed({ ...action, error: error.message, ...(error.path && { field: error.path.join('.') }) });
    }
    if (isRefusedData(error)) return failed({ ...action, error: 'A value cannot be stored.' });
    this.#options.onUnexpected(error, dispatch);
    return {
      status: 'PENDING',
      nextAt: nextAttemptAt(dispatch.attempts, this.#options.now()),
      outcome: { ...action, error: 'Something failed that may pass: this is tried again.' },
      workflowRunId: null,
    };
  }

  async #settle(target: DispatchTarget, dispatch: OpenDispatch, ending: Ending): Promise<void> {
    const settlement = this.#settlement(target, dispatch, ending);
    const settle = () => settleDispatches(this.#options.database.sql, [settlement]);
    const { applied, at } = await settle().catch(async (error: unknown) => {
      if (!(await this.#options.mend(error))) throw error;
      return settle();
    });
    if (settlement.forwards && applied.has(dispatch.id)) this.#options.onForwarded(target, at);
  }

  #settlement(target: DispatchTarget, dispatch: OpenDispatch, ending: Ending): DispatchSettlement {
    const forwards = this.#forwards(target, dispatch);
    const forwarded = forwards ? { forward: encodeId('delivery', forwardIdOf(dispatch)) } : {};
    return {
      ...ending,
      dispatch,
      webhookName: target.name,
      forwards,
      outcome: ending.outcome === null && !forwards ? null : { ...ending.outcome, ...forwarded },
    };
  }

  #forwards(target: DispatchTarget, dispatch: OpenDispatch): boolean {
    const isOver = dispatch.isExpired || dispatch.body === null || (target.isDisabled && !dispatch.isTest);
    return target.forwards && dispatch.attempts === 0 && !isOver;
  }
}

type Ending = Pick<DispatchSettlement, 'status' | 'nextAt' | 'outcome' | 'workflowRunId'>;

const done = (outcome: Ending['outcome']): Ending => ({
  status: 'DISPATCHED',
  nextAt: null,
  outcome,
  workflowRunId: null,
});
const failed = (outcome: Ending['outcome']): Ending => ({
  status: 'FAILED',
  nextAt: null,
  outcome,
  workflowRunId: null,
});

/** The body as mappings see it. It was parsed before it was accepted. */
const bodyOf = ({ contentType, body }: OpenDispatch): unknown => {
  const parsed = parseBody(contentType, body ?? Buffer.alloc(0));
  return parsed.ok ? parsed.value : null;
};

/** In whose name things change: events that come of it have passed through once more. */
const originOf = (
  { tenantId, slug }: DispatchTarget,
  { hops }: OpenDispatch,
): { tenantId: string; source: string; hops: number } => ({
  tenantId,
  source: `inbound:${slug}`,
  hops: hops + 1,
});

const shownOutcome = (
  action: string,
  { entity, entityId, operation, notes, events }: ActionOutcome,
  errors: readonly MappingFailure[],
): Record<string, unknown> => ({
  action,
  entity,
  entityId,
  operation,
  ...(notes.length > 0 && { notes }),
  ...(events.length > 0 && { events }),
  ...(errors.length > 0 && { mappingErrors: errors }),
});

/** Class 22 (data exception): the same would be refused again. */
const isRefusedData = (error: unknown): boolean => (error as { code?: string }).code?.startsWith('22') ?? false;

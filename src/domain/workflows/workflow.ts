import type { FieldMapping } from '../mapping/mapper.ts';

/** One step: an action with values mapped from `{envelope, steps}`. */
export interface WorkflowStep {
  /** Unique in its workflow: later steps find its output under it. */
  readonly name: string;
  readonly action: string;
  readonly fieldMapping: FieldMapping;
  /** JSONata on the same; the step is skipped where it is falsy. Null: it always runs. */
  readonly when: string | null;
}

/** A workflow as it is now, without its steps, which may be long. */
export interface Workflow {
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  /** Rises by one each time it is saved; runs keep the one that they began with. */
  readonly version: number;
  /** It runs no more; its row is kept for the runs that it had. */
  readonly isDeleted: boolean;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A run fails with its first step that fails; steps after that stay PENDING. */
export const RUN_STATUSES = ['RUNNING', 'COMPLETED', 'FAILED'] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

export const STEP_STATUSES = ['PENDING', 'SKIPPED', 'COMPLETED', 'FAILED'] as const;
export type StepStatus = (typeof STEP_STATUSES)[number];

/** What came of a workflow for one inbound delivery. */
export interface WorkflowRun {
  readonly id: string;
  readonly workflowId: string;
  readonly version: number;
  readonly deliveryId: string;
  readonly status: RunStatus;
  /** Why it failed, with the step's name. */
  readonly error: string | null;
  readonly startedAt: Date;
  readonly completedAt: Date | null;
}

export interface WorkflowRunStep {
  readonly name: string;
  readonly status: StepStatus;
  /** What the action gave for later steps, as JSON text; null until it is COMPLETED. */
  readonly output: string | null;
  /** On a PENDING step: why its last attempt came to nothing. */
  readonly error: string | null;
  readonly attempts: number;
  /** Characters of output and error. */
  readonly size: number;
  readonly startedAt: Date | null;
  readonly completedAt: Date | null;
}

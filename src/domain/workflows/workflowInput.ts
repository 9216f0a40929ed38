import { z } from 'zod';
import { notCompiled } from '../../platform/sandbox/sandbox.ts';
import type { Sandbox } from '../../platform/sandbox/sandbox.ts';
import type { ActionRegistry } from '../actions/actionRegistry.ts';
import { ValidationError } from '../errors.ts';
import { expressionOf } from '../mapping/mapper.ts';
import type { Mapper } from '../mapping/mapper.ts';
import { parseInput, text } from '../text.ts';
import type { WorkflowStep } from './workflow.ts';

export interface WorkflowInput {
  /** UUID of the workflow that gets a new version; left out: a new workflow. */
  readonly id?: string | null | undefined;
  readonly name: string;
  readonly description?: string | null | undefined;
  readonly steps: readonly WorkflowStepInput[];
}

export interface WorkflowStepInput {
  readonly name: string;
  readonly action: string;
  readonly fieldMapping?: unknown;
  readonly when?: string | null | undefined;
}

/** A definition that can run. */
export interface CheckedWorkflow {
  readonly name: string;
  readonly description: string | null;
  readonly steps: readonly WorkflowStep[];
}

const MOST_STEPS = 50;
/** Of all steps as they are kept: each run reads them. */
const LONGEST_STEPS = 262_144;
/** What can be written behind `steps.`, in backticks where it is no plain word. */
const STEP_NAME = /^[\p{L}\p{N}_][\p{L}\p{N}_ .-]{0,63}$/u;

const input = z.object({
  name: text(1, 255, 'The name'),
  description: text(0, 2_000, 'The description').nullish(),
  steps: z
    .array(
      z.object({
        name: text(1, 64, 'The name of a step').regex(
          STEP_NAME,
          'The name of a step has letters, digits, blanks, dots, hyphens and underscores.',
        ),
        action: z.string(),
        fieldMapping: z.unknown(),
        when: z.string().nullish(),
      }),
    )
    .min(1, 'A workflow needs a step.')
    .max(MOST_STEPS, `A workflow has at most ${MOST_STEPS} steps.`),
});

/** What judges the parts of a definition. */
export interface WorkflowChecks {
  readonly actions: ActionRegistry;
  readonly mapper: Pick<Mapper, 'check'>;
  readonly sandbox: Pick<Sandbox, 'check'>;
}

/** Throws ValidationError with the path of the first thing that is wrong, and SandboxUnavailableError where that can't be told now. */
export const checkWorkflow = async (
  { actions, mapper, sandbox }: WorkflowChecks,
  tenantId: string,
  given: WorkflowInput,
): Promise<CheckedWorkflow> => {
  const { name, description, steps } = parseInput(input, given);
  const checked: WorkflowStep[] = [];
  for (const [index, step] of steps.entries()) {
    const at = ['input', 'steps', String(index)];
    if (checked.some((one) => one.name === step.name)) {
      throw new ValidationError('An earlier step has this name: each needs its own.', [...at, 'name']);
    }
    const { action } = step;
    if (!actions.find(action)) {
      throw new ValidationError('There is no such action: inboundActions lists them.', [...at, 'action']);
    }
    checked.push({
      name: step.name,
      action,
      fieldMapping: await mapper.check(tenantId, action, step.fieldMapping, [...at, 'fieldMapping']),
      when: step.when == null || step.when.trim() === '' ? null : await checkWhen(sandbox, tenantId, step.when, at),
    });
  }
  if (JSON.stringify(checked).length > LONGEST_STEPS) {
    throw new ValidationError('All steps together may have 256 KiB at most.', ['input', 'steps']);
  }
  return { name, description: description || null, steps: checked };
};

const checkWhen = async (
  sandbox: Pick<Sandbox, 'check'>,
  tenantId: string,
  when: string,
  at: readonly string[],
): Promise<string> => {
  const expression = expressionOf(when, [...at, 'when']);
  const problem = await sandbox.check(tenantId, expression);
  if (problem) throw new ValidationError(notCompiled(problem), [...at, 'when']);
  return expression;
};

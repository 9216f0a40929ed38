import type { ActionRegistry } from '../actions/actionRegistry.ts';
import { ValidationError } from '../errors.ts';
import type { InboundHandlerInput } from './inboundInput.ts';
import type { InboundWebhook } from './inboundWebhook.ts';

/** What a handler is, as the row keeps it. */
export type HandlerSettings = Pick<
  InboundWebhook,
  'handlerType' | 'handlerAction' | 'handlerFieldMapping' | 'handlerWorkflowId'
>;

/** Judges a handler that is about to be saved; throws ValidationError with the path of what is wrong. */
export type HandlerCheck = (tenantId: string, handler: InboundHandlerInput) => Promise<HandlerSettings>;

/** Judges a mapping onto an action's target fields; throws ValidationError with a path below the given one. */
export type MappingCheck = (
  tenantId: string,
  action: string,
  mapping: unknown,
  path: readonly string[],
) => Promise<Readonly<Record<string, string>>>;

export interface HandlerCheckOptions {
  readonly actions: ActionRegistry;
  readonly checkMapping: MappingCheck;
  /** Whether the tenant has such a workflow. */
  readonly hasWorkflow: (tenantId: string, workflowId: string) => Promise<boolean>;
}

const AT = ['input', 'handler'];
const NOTHING = { handlerAction: null, handlerFieldMapping: null, handlerWorkflowId: null } as const;

export const createHandlerCheck =
  ({ actions, checkMapping, hasWorkflow }: HandlerCheckOptions): HandlerCheck =>
  async (tenantId, { type, action, fieldMapping, workflowId }) => {
    switch (type) {
      case 'RECORD':
        return { handlerType: type, ...NOTHING };
      case 'WORKFLOW':
        if (workflowId == null || !(await hasWorkflow(tenantId, workflowId))) {
          throw new ValidationError('There is no such workflow: save one first.', [...AT, 'workflowId']);
        }
        return { handlerType: type, ...NOTHING, handlerWorkflowId: workflowId };
      case 'DIRECT_ACTION': {
        if (action == null || actions.find(action) === undefined) {
          throw new ValidationError('There is no such action: inboundActions lists them.', [...AT, 'action']);
        }
        const mapping = await checkMapping(tenantId, action, fieldMapping, [...AT, 'fieldMapping']);
        return { handlerType: type, ...NOTHING, handlerAction: action, handlerFieldMapping: mapping };
      }
      default:
        return type satisfies never;
    }
  };

/**
 * What holds of a mapping whatever its expressions mean: an object of texts, for fields that the action has, with all that
 * it requires. Throws ValidationError.
 */
export const checkMappingShape = (
  actions: ActionRegistry,
  action: string,
  mapping: unknown,
  path: readonly string[],
): Readonly<Record<string, string>> => {
  if (typeof mapping !== 'object' || mapping === null || Array.isArray(mapping)) {
    throw new ValidationError('A mapping is an object: target field to JSONata on the body.', path);
  }
  const fields = actions.find(action)?.targetFields ?? [];
  for (const [name, expression] of Object.entries(mapping)) {
    if (!fields.some((field) => field.name === name)) {
      throw new ValidationError(`${action} has no target field ${name.slice(0, 60)}.`, [...path, name]);
    }
    if (typeof expression !== 'string' || expression.length > LONGEST_EXPRESSION || expression.includes('\0')) {
      throw new ValidationError(`An expression is a text of at most ${LONGEST_EXPRESSION} characters.`, [
        ...path,
        name,
      ]);
    }
  }
  const missing = fields.find((field) => field.required && !Object.hasOwn(mapping, field.name));
  if (missing) throw new ValidationError(`${action} needs the target field ${missing.name}.`, [...path, missing.name]);
  return mapping as Readonly<Record<string, string>>;
};

const LONGEST_EXPRESSION = 4_096;

/** Stands in where nothing runs workflows: handlers that need it are refused when they are saved. */
export const NO_HANDLERS: Pick<HandlerCheckOptions, 'hasWorkflow'> = {
  hasWorkflow: async () => {
    throw new ValidationError('Workflows of inbound webhooks are not available yet.', ['input', 'handler', 'type']);
  },
};

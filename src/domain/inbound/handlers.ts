import type { Sql } from '../../platform/database.ts';
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

const noWorkflow = (): ValidationError =>
  new ValidationError('WORKFLOW needs the id of a workflow: workflowSave makes one.', [...AT, 'workflowId']);

/**
 * Keeps the workflow of a handler that is being saved from being deleted until this transaction ends: who deletes it waits,
 * and finds its user. Throws ValidationError where it is deleted already.
 */
export const holdWorkflow = async (
  sql: Sql,
  tenantId: string,
  { handlerWorkflowId }: Pick<HandlerSettings, 'handlerWorkflowId'>,
): Promise<void> => {
  if (handlerWorkflowId == null) return;
  const held = await sql.query(
    `select id from workflow where tenant_id = $1 and id = $2 and deleted_at is null for share`,
    [tenantId, handlerWorkflowId],
  );
  if (held.length === 0) throw noWorkflow();
};

export const createHandlerCheck =
  ({ actions, checkMapping, hasWorkflow }: HandlerCheckOptions): HandlerCheck =>
  async (tenantId, { type, action, fieldMapping, workflowId }) => {
    switch (type) {
      case 'RECORD':
        return { handlerType: type, ...NOTHING };
      case 'WORKFLOW':
        if (workflowId == null || !(await hasWorkflow(tenantId, workflowId))) throw noWorkflow();
        return { handlerType: type, ...NOTHING, handlerWorkflowId: workflowId };
      case 'DIRECT_ACTION': {
        if (action == null) throw new ValidationError('DIRECT_ACTION needs an action.', [...AT, 'action']);
        if (actions.find(action) === undefined) {
          throw new ValidationError('There is no such action: inboundActions lists them.', [...AT, 'action']);
        }
        const mapping = await checkMapping(tenantId, action, fieldMapping, [...AT, 'fieldMapping']);
        return { handlerType: type, ...NOTHING, handlerAction: action, handlerFieldMapping: mapping };
      }
      default:
        return type satisfies never;
    }
  };

import { ValidationError } from '../errors.ts';
import type { HandlerCheckOptions } from './handlers.ts';
import type { Expressions } from './requestValues.ts';
import { NOT_PLAIN, parsePath, readPath } from './verification/path.ts';

/** Stands in where nothing evaluates JSONata: plain paths work, everything else is refused when it is saved. */
export const PLAIN_EXPRESSIONS: Expressions = {
  check: async (_tenantId, expression) =>
    parsePath(expression) === null
      ? { message: 'Expressions other than plain paths, such as `event.id`, are not available yet.' }
      : null,
  evaluateAll: async () => {
    throw new Error('there is nothing that evaluates expressions');
  },
  parseSimplePath: (expression) => {
    const path = parsePath(expression);
    if (path === null) return null;
    return (input) => {
      const found = readPath(path, input);
      return found === NOT_PLAIN ? undefined : found;
    };
  },
};

/** Stand in where nothing maps, and nothing runs workflows: handlers that need it are refused when they are saved. */
export const NO_HANDLERS: Pick<HandlerCheckOptions, 'checkMapping' | 'hasWorkflow'> = {
  checkMapping: async (_tenantId, _action, _mapping, path) => {
    throw new ValidationError('Actions of inbound webhooks are not available yet.', path);
  },
  hasWorkflow: async () => {
    throw new ValidationError('Workflows of inbound webhooks are not available yet.', ['input', 'handler', 'type']);
  },
};

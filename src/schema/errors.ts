import { ConflictError, NotFoundError, ValidationError } from '../domain/errors.ts';
import type { DomainError, DomainErrorCode } from '../domain/errors.ts';
import { builder } from './builder.ts';

const ErrorCode = builder.enumType('ErrorCode', {
  description: 'Why something was refused. A code never changes its meaning.',
  values: {
    UNAUTHORIZED: { description: 'No API key, or none that is valid.' },
    FORBIDDEN: { description: 'The API key lacks the scope.' },
    BAD_REQUEST: { description: 'The input is missing, malformed, too large or not allowed.' },
    NOT_FOUND: { description: 'There is no such object in this tenant.' },
    CONFLICT: { description: 'The name is taken, or the state of the object forbids this.' },
    RATE_LIMITED: { description: 'Too much at once: try again later.' },
  } satisfies Record<DomainErrorCode, { description: string }>,
});

const ErrorInterface = builder.interfaceRef<DomainError>('Error').implement({
  description: 'An expected failure of a mutation. Nothing was changed.',
  fields: (t) => ({
    message: t.exposeString('message', { description: 'What is wrong and what to do about it, in a sentence.' }),
    code: t.expose('code', { type: ErrorCode, description: 'The same for programs.' }),
    path: t.stringList({
      nullable: true,
      description: 'Where in the arguments, such as `["input", "url"]`; null where no part of them is to blame.',
      resolve: ({ path }) => path,
    }),
  }),
});

builder.objectType(ValidationError, {
  name: 'ValidationError',
  description: 'Something in the input is missing, malformed, too large or not allowed.',
  interfaces: [ErrorInterface],
});
builder.objectType(NotFoundError, {
  name: 'NotFoundError',
  description: 'The id is malformed, of another kind, or of nothing that this tenant has.',
  interfaces: [ErrorInterface],
});
builder.objectType(ConflictError, {
  name: 'ConflictError',
  description: 'A name, slug or key is taken, or the object is in a state that forbids this.',
  interfaces: [ErrorInterface],
});

/** The codes of expected failures; a code never changes its meaning. */
export type DomainErrorCode = 'UNAUTHORIZED' | 'FORBIDDEN' | 'BAD_REQUEST' | 'NOT_FOUND' | 'CONFLICT' | 'RATE_LIMITED';

/** An expected failure: told to the caller as it is. `path` points into the input, such as `['input', 'url']`. */
export abstract class DomainError extends Error {
  abstract readonly code: DomainErrorCode;
  readonly path: readonly string[] | null;

  constructor(message: string, path: readonly string[] | null = null) {
    super(message);
    this.name = new.target.name;
    this.path = path;
  }
}

/** Missing, oversized or malformed input; the message names the remedy. */
export class ValidationError extends DomainError {
  readonly code: DomainErrorCode = 'BAD_REQUEST';
}

/** The object does not exist for this tenant. */
export class NotFoundError extends DomainError {
  readonly code: DomainErrorCode = 'NOT_FOUND';
}

/** The name, slug, key or id is taken, or the object is in a state that forbids this. */
export class ConflictError extends DomainError {
  readonly code: DomainErrorCode = 'CONFLICT';
}

import { MAX_EXPRESSION_CHARACTERS, notCompiled, SandboxUnavailableError } from '../../platform/sandbox/sandbox.ts';
import type { Sandbox } from '../../platform/sandbox/sandbox.ts';
import type { Action, TargetField } from '../actions/action.ts';
import type { ActionRegistry } from '../actions/actionRegistry.ts';
import { ValidationError } from '../errors.ts';
import { coerce } from './coercion.ts';

/** Target field to JSONata. */
export type FieldMapping = Readonly<Record<string, string>>;

/** A field that brought no value, and why. */
export interface MappingError {
  readonly field: string;
  /** Empty where the mapping has none for the field. */
  readonly expression: string;
  readonly message: string;
}

export interface Mapped {
  /**
   * Fields that brought a value, coerced to their types; a null or a blank text empties the field, what found nothing is left
   * out. Null where a required field brought nothing, null, a blank text, or a value that it doesn't take.
   */
  readonly values: Readonly<Record<string, unknown>> | null;
  /** In the order of the mapping. Those of optional fields stand in nobody's way: the field is left as it is. */
  readonly errors: readonly MappingError[];
}

/** Turns a JSON document into values for an action, by expressions of users. */
export interface Mapper {
  /**
   * Judges a mapping that is about to be saved, and answers it as it is to be kept. Throws ValidationError with a path below the
   * given one, and SandboxUnavailableError where nothing can be compiled now.
   */
  check(tenantId: string, action: string, mapping: unknown, path: readonly string[]): Promise<FieldMapping>;
  /**
   * Rejects with SandboxUnavailableError where nothing can be evaluated now; trying again makes sense. `input` is JSON,
   * `holder` the id of what has the mapping.
   */
  map(tenantId: string, action: string, mapping: FieldMapping, input: string, holder: string): Promise<Mapped>;
  /**
   * The same for a mapping that nobody has judged: what is wrong with its fields and expressions is among the errors. Throws
   * ValidationError where it is no mapping, or of no action: with a path below `['input']`.
   */
  preview(tenantId: string, action: string, mapping: unknown, input: string): Promise<Mapped>;
}

export interface MapperOptions {
  readonly sandbox: Pick<Sandbox, 'check' | 'evaluateAll'>;
  readonly actions: ActionRegistry;
}

const MOST_FIELDS = 100;
const LONGEST_SHOWN_NAME = 60;

export const createMapper = ({ sandbox, actions }: MapperOptions): Mapper => {
  const actionOf = (name: string, path: readonly string[]): Action => {
    const action = actions.find(name);
    if (action) return action;
    throw new ValidationError('There is no such action: inboundActions lists them.', path);
  };

  const check: Mapper['check'] = async (tenantId, actionName, mapping, path) => {
    const action = actionOf(actionName, path);
    const normalised = shapeOf(mapping, path);
    assertFits(action, normalised, path);
    for (const [name, expression] of Object.entries(normalised)) {
      const problem = await sandbox.check(tenantId, expression);
      if (problem) throw new ValidationError(notCompiled(problem), [...path, name]);
    }
    return normalised;
  };

  const map: Mapper['map'] = async (tenantId, actionName, mapping, input, holder) => {
    const fields = new Map((actions.find(actionName)?.targetFields ?? []).map((field) => [field.name, field]));
    const entries = Object.entries(mapping);
    const results = await sandbox.evaluateAll(
      tenantId,
      entries.map(([, expression]) => expression),
      input,
      holder,
    );
    const values: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
    const errors: MappingError[] = [];
    for (const [index, [name, expression]] of entries.entries()) {
      const result = results[index]!;
      if (!result.ok && result.code === 'UNAVAILABLE') throw new SandboxUnavailableError();
      const field = fields.get(name);
      const found = field && result.ok ? taken(field, result.value) : null;
      if (found?.ok) {
        if (found.value !== undefined) values[name] = found.value;
        continue;
      }
      const message = field ? ((found ?? result) as { message: string }).message : `${actionName} has no such field.`;
      errors.push({ field: name, expression, message });
    }
    const missing = [...fields.values()].filter(({ name, required }) => required && !(name in values));
    for (const { name } of missing) {
      if (Object.hasOwn(mapping, name)) continue;
      errors.push({
        field: name,
        expression: '',
        message: `${actionName} needs this field, and nothing is mapped to it.`,
      });
    }
    return { values: missing.length > 0 ? null : { ...values }, errors };
  };

  const preview: Mapper['preview'] = async (tenantId, actionName, mapping, input) => {
    actionOf(actionName, ['input', 'action']);
    return map(tenantId, actionName, shapeOf(mapping, ['input', 'fieldMapping']), input, 'preview');
  };

  return { check, map, preview };
};

/** A required field has to bring something; any other may find nothing, and keeps what it has then. */
const taken = (field: TargetField, found: unknown): ReturnType<typeof coerce> => {
  const value = isBlank(found) && field.type !== 'JSON' ? null : found;
  if (field.required && value == null)
    return { ok: false, message: 'It is required, and the expression found nothing.' };
  return value === undefined ? { ok: true, value } : coerce(field, value);
};

/** Many senders write an empty text where they mean that there is nothing. */
const isBlank = (value: unknown): boolean => typeof value === 'string' && value.trim() === '';

/** As it is kept: texts, without what surrounds them. A bare number or truth value is what its text means to JSONata. */
const shapeOf = (mapping: unknown, path: readonly string[]): FieldMapping => {
  if (typeof mapping !== 'object' || mapping === null || Array.isArray(mapping)) {
    throw new ValidationError('A mapping is an object: target field to JSONata.', path);
  }
  const entries = Object.entries(mapping);
  if (entries.length > MOST_FIELDS) throw new ValidationError(`A mapping has at most ${MOST_FIELDS} fields.`, path);
  return Object.fromEntries(
    entries.map(([name, given]: [string, unknown]) => {
      const expression = typeof given === 'number' || typeof given === 'boolean' ? String(given) : given;
      return [name, expressionOf(expression, [...path, name.slice(0, LONGEST_SHOWN_NAME).toWellFormed()])];
    }),
  );
};

/** Judges one expression by what it is as a text, and answers it without what surrounds it. Throws ValidationError. */
export const expressionOf = (given: unknown, path: readonly string[]): string => {
  if (typeof given !== 'string' || given.trim() === '') {
    throw new ValidationError('An expression is a text. Leave the field out to map nothing to it.', path);
  }
  if (given.length > MAX_EXPRESSION_CHARACTERS) {
    throw new ValidationError(`An expression has at most ${MAX_EXPRESSION_CHARACTERS} characters.`, path);
  }
  if (given.includes('\0') || !given.isWellFormed()) {
    throw new ValidationError('The expression has characters that cannot be stored.', path);
  }
  return given.trim();
};

const assertFits = (action: Action, mapping: FieldMapping, path: readonly string[]): void => {
  const names = new Set(action.targetFields.map(({ name }) => name));
  const unknown = Object.keys(mapping).find((name) => !names.has(name));
  if (unknown !== undefined) {
    const at = [...path, unknown.slice(0, LONGEST_SHOWN_NAME).toWellFormed()];
    throw new ValidationError(`${action.name} has no target field of this name.`, at);
  }
  const missing = action.targetFields.find(({ name, required }) => required && !Object.hasOwn(mapping, name));
  if (missing)
    throw new ValidationError(`${action.name} needs the target field ${missing.name}.`, [...path, missing.name]);
};

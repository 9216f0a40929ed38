import { Ajv2020 } from 'ajv/dist/2020.js';
import type { ValidateFunction } from 'ajv/dist/2020.js';
import { RE2JS } from 're2js';
import { OVERRAN, withinDeadline } from '../../platform/watchdog.ts';

/**
 * JSON Schemas (2020-12) come from tenants, and so does the data that they judge. Patterns run on RE2, in linear time. What
 * else can explode (references that fan out, `uniqueItems` over large objects) runs under V8's own watchdog, and a
 * schema that once overran is refused without running for a while.
 */
const MAX_SCHEMA_BYTES = 65_536;
/** Of a schema or of data: deeper text would exhaust the stack of whoever walks it. */
export const MAX_JSON_DEPTH = 100;
const CHECK_MS = 250;
/** Compiling happens once, when a type is registered; the first one of a process on a busy machine takes its time. */
const COMPILE_MS = 2_000;
const REFUSED_AFTER_OVERRUN_MS = 60_000;
const DIALECT = 'https://json-schema.org/draft/2020-12/schema';

/** A schema that cannot be used; the message tells its author why. */
export class UnusableSchemaError extends Error {
  override readonly name = 'UnusableSchemaError';
}

/** Tells what is wrong with `data` (of so many bytes), in a sentence; null where it fits. Never runs past the deadline. */
export type PayloadCheck = (data: unknown, bytes: number) => string | null;

/**
 * Without these (or a key that escapes hide them in), checking takes at most schema times data; below this product it
 * needs no watchdog, which costs 175 µs a call.
 */
const CAN_EXPLODE =
  /"(?:\$ref|\$dynamicRef|uniqueItems|pattern|patternProperties|(?:[^"\\]|\\.)*\\u(?:[^"\\]|\\.)*)"\s*:/;
const HARMLESS_PRODUCT = 4_000_000;

const pattern = (source: string): { test(text: string): boolean } => {
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(RE2JS.translateRegExp(source));
  } catch (error) {
    throw new UnusableSchemaError(
      `the pattern ${JSON.stringify(source.slice(0, 80))} is not one of RE2, which has no look-around and no ` +
        `back-references (${(error as Error).message})`,
      { cause: error },
    );
  }
  return { test: (text) => compiled.matcher(text).find() };
};
// Ajv would write this text where it generates stand-alone code, which is never done here.
pattern.code = 'pattern';

const meta = new Ajv2020({ strict: false, validateFormats: false });

/** Compiles a schema, given as JSON text. Throws UnusableSchemaError. */
export const compileSchema = (text: string): PayloadCheck => {
  if (Buffer.byteLength(text) > MAX_SCHEMA_BYTES) throw new UnusableSchemaError('it is larger than 64 KiB');
  const schema: unknown = JSON.parse(text);
  if (typeof schema !== 'boolean' && (typeof schema !== 'object' || schema === null || Array.isArray(schema))) {
    throw new UnusableSchemaError('it is neither an object nor a boolean');
  }
  if (isDeeperThan(schema, MAX_JSON_DEPTH)) throw new UnusableSchemaError(`it is deeper than ${MAX_JSON_DEPTH} levels`);
  const dialect = typeof schema === 'object' ? (schema as { $schema?: unknown }).$schema : undefined;
  if (dialect !== undefined && dialect !== DIALECT && dialect !== `${DIALECT}#`) {
    throw new UnusableSchemaError(`its $schema is not ${DIALECT}`);
  }
  const validate = runGuarded(COMPILE_MS, () => {
    if (meta.validateSchema(schema) !== true)
      throw new UnusableSchemaError(meta.errorsText(meta.errors, { dataVar: 'schema' }));
    // An instance of its own: an $id of one schema is never seen by another, and nothing is ever fetched.
    return new Ajv2020({
      strict: false,
      validateFormats: false,
      meta: false,
      validateSchema: false,
      addUsedSchema: false,
      inlineRefs: false,
      logger: false,
      ownProperties: true,
      code: { regExp: pattern },
    }).compile(schema);
  });
  if (validate === OVERRAN) throw new UnusableSchemaError('it takes too long to compile');
  return guarded(validate, CAN_EXPLODE.test(text) ? 0 : HARMLESS_PRODUCT / text.length);
};

const guarded = (validate: ValidateFunction, harmlessBytes: number): PayloadCheck => {
  let refusedUntil = 0;
  return (data, bytes) => {
    if (bytes < harmlessBytes) return validate(data) ? null : describe(validate);
    if (Date.now() < refusedUntil) return OVERRUN_MESSAGE;
    const fits = runGuarded(CHECK_MS, () => validate(data));
    if (fits === OVERRAN) {
      refusedUntil = Date.now() + REFUSED_AFTER_OVERRUN_MS;
      return OVERRUN_MESSAGE;
    }
    return fits ? null : describe(validate);
  };
};

const OVERRUN_MESSAGE = 'The type’s schema takes too long to check data: simplify it and register it again.';

const describe = ({ errors }: ValidateFunction): string => {
  const [first] = errors ?? [];
  const at = (first?.instancePath ?? '').slice(0, 200);
  return `The data does not fit the type’s schema: data${at} ${first?.message ?? 'is refused'}.`;
};

/** As `withinDeadline`, for code that Ajv made, or makes: it throws plain errors for keywords and references that it refuses. */
const runGuarded = <T>(deadlineMs: number, work: () => T): T | typeof OVERRAN => {
  try {
    return withinDeadline(deadlineMs, work);
  } catch (error) {
    if (error instanceof UnusableSchemaError) throw error;
    // Code that nests too deep throws a RangeError.
    throw new UnusableSchemaError((error as Error).message.slice(0, 300), { cause: error });
  }
};

/** Whether more than `depth` objects and lists are nested. Without recursion, so that asking exhausts no stack. */
export const isDeeperThan = (value: unknown, depth: number): boolean => {
  let level = [value].filter(isNest);
  for (let reached = 1; level.length > 0; reached++) {
    if (reached > depth) return true;
    level = level.flatMap((nest) => Object.values(nest)).filter(isNest);
  }
  return false;
};

const isNest = (value: unknown): value is object => typeof value === 'object' && value !== null;

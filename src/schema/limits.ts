import { ComplexityErrorKind } from '@pothos/plugin-complexity';
import type { ComplexityErrorFn } from '@pothos/plugin-complexity';
import { GraphQLError, Kind, parse, specifiedRules, validate, ValuesOfCorrectTypeRule } from 'graphql';
import type {
  DocumentNode,
  FragmentDefinitionNode,
  GraphQLSchema,
  SelectionSetNode,
  ValidationContext,
  ValidationRule,
} from 'graphql';
import { topLevelError } from './topLevelErrors.ts';

/**
 * What one operation may ask for. A page of 100 with every scalar costs some 3,000, a page of 50 with a full nested page
 * each up to 151,000.
 */
export const MAX_COST = 200_000;

/** Of a document, before anything is validated: validating is itself quadratic in places. */
const MAX_TOKENS = 10_000;
const MAX_DEPTH = 20;
/** With fragments expanded as often as they are spread. */
const MAX_FIELDS = 3_000;
const MAX_ALIASES = 100;
const MAX_DIRECTIVES = 50;

const tooComplex = (message: string): GraphQLError =>
  topLevelError('QUERY_TOO_COMPLEX', message, { http: { status: 400, spec: true } });

/** Told by the complexity plugin, before the first resolver runs. */
export const complexityError: ComplexityErrorFn = (kind, { complexity, maxComplexity }) =>
  kind === ComplexityErrorKind.Complexity
    ? tooComplex(`This costs ${complexity}, at most ${maxComplexity}: ask for smaller pages or fewer nested lists.`)
    : tooComplex('This document is too large.');

/** Parses a document; throws GRAPHQL_PARSE_FAILED, or QUERY_TOO_COMPLEX for one that is too long. */
export const parseDocument = (source: Parameters<typeof parse>[0]): DocumentNode => {
  try {
    return parse(source, { maxTokens: MAX_TOKENS });
  } catch (error) {
    if (error instanceof RangeError) throw tooComplex('This document nests too deeply.');
    if (!(error instanceof GraphQLError)) throw error;
    if (/tokens/.test(error.message) && error.message.includes(String(MAX_TOKENS))) throw tooComplex(error.message);
    throw new GraphQLError(error.message, {
      nodes: error.nodes ?? null,
      source: error.source ?? null,
      positions: error.positions ?? null,
      extensions: { code: 'GRAPHQL_PARSE_FAILED', http: { status: 400, spec: true } },
    });
  }
};

interface Size {
  readonly fields: number;
  readonly aliases: number;
  readonly directives: number;
  readonly depth: number;
}

const EMPTY: Size = { fields: 0, aliases: 0, directives: 0, depth: 0 };

const beside = (a: Size, b: Size): Size => ({
  fields: a.fields + b.fields,
  aliases: a.aliases + b.aliases,
  directives: a.directives + b.directives,
  depth: Math.max(a.depth, b.depth),
});

/** Measures each fragment once, however often it is spread: a bomb of fragments costs nothing to find. */
const sizeOf = (document: DocumentNode): Size => {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const node of document.definitions)
    if (node.kind === Kind.FRAGMENT_DEFINITION) fragments.set(node.name.value, node);
  const measured = new Map<string, Size>();

  const ofFragment = (name: string): Size => {
    const known = measured.get(name);
    if (known) return known;
    measured.set(name, EMPTY); // a cycle ends here; validation reports it
    const fragment = fragments.get(name);
    const size = fragment ? ofSelections(fragment.selectionSet) : EMPTY;
    measured.set(name, size);
    return size;
  };
  const ofSelections = (set: SelectionSetNode | undefined): Size => {
    let total = EMPTY;
    for (const node of set?.selections ?? []) {
      const own = { ...EMPTY, directives: node.directives?.length ?? 0 };
      if (node.kind === Kind.FRAGMENT_SPREAD) total = beside(total, beside(own, ofFragment(node.name.value)));
      else if (node.kind === Kind.INLINE_FRAGMENT) total = beside(total, beside(own, ofSelections(node.selectionSet)));
      else {
        const inner = ofSelections(node.selectionSet);
        total = beside(total, {
          fields: inner.fields + 1,
          aliases: inner.aliases + (node.alias ? 1 : 0),
          directives: inner.directives + own.directives,
          depth: inner.depth + 1,
        });
      }
    }
    return total;
  };

  let size = EMPTY;
  for (const node of document.definitions) {
    if (node.kind === Kind.OPERATION_DEFINITION) {
      size = beside(size, { ...ofSelections(node.selectionSet) });
      size = beside(size, { ...EMPTY, directives: node.directives?.length ?? 0 });
    } else if (node.kind === Kind.FRAGMENT_DEFINITION)
      size = beside(size, { ...EMPTY, depth: ofFragment(node.name.value).depth });
  }
  return size;
};

const sizeErrors = (document: DocumentNode): GraphQLError[] => {
  const { fields, aliases, directives, depth } = sizeOf(document);
  const refusals: GraphQLError[] = [];
  const check = (count: number, most: number, what: string): void => {
    if (count > most) refusals.push(tooComplex(`This document has ${count} ${what}, at most ${most}.`));
  };
  check(fields, MAX_FIELDS, 'fields');
  check(aliases, MAX_ALIASES, 'aliases');
  check(directives, MAX_DIRECTIVES, 'directives');
  check(depth, MAX_DEPTH, 'levels');
  return refusals;
};

const coded = (error: GraphQLError, code: 'BAD_REQUEST' | 'GRAPHQL_VALIDATION_FAILED'): GraphQLError =>
  new GraphQLError(error.message, {
    nodes: error.nodes ?? null,
    source: error.source ?? null,
    positions: error.positions ?? null,
    extensions: { code, http: { status: 400, spec: true } },
  });

/** A rule whose reports have a code. */
const withCode =
  (rule: ValidationRule, code: 'BAD_REQUEST' | 'GRAPHQL_VALIDATION_FAILED'): ValidationRule =>
  (context: ValidationContext) =>
    rule(
      Object.create(context, {
        reportError: { value: (error: GraphQLError) => context.reportError(coded(error, code)) },
      }) as ValidationContext,
    );

const RULES = specifiedRules.map((rule) =>
  withCode(rule, rule === ValuesOfCorrectTypeRule ? 'BAD_REQUEST' : 'GRAPHQL_VALIDATION_FAILED'),
);

/**
 * Validates a document: its size first, then by the specification. A literal that does not fit is BAD_REQUEST.
 * `hideSuggestions` keeps names that nobody asked about out of the messages.
 */
export const validateDocument =
  (hideSuggestions: boolean) =>
  (schema: GraphQLSchema, document: DocumentNode): readonly GraphQLError[] => {
    const refusals = sizeErrors(document);
    if (refusals.length > 0) return refusals;
    return validate(schema, document, RULES, { maxErrors: 20, hideSuggestions });
  };

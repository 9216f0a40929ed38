/** Event type patterns, split for an index: whole names, and prefixes that end in a dot (or are empty, for `*`). */
export interface TypePatterns {
  readonly names: readonly string[];
  readonly prefixes: readonly string[];
}

/** `ticket.*` stands for everything below `ticket.`, however deep; `*` for every type; anything else for itself. */
export const splitTypePatterns = (patterns: readonly string[]): TypePatterns => ({
  names: patterns.filter((pattern) => !isWildcard(pattern)),
  prefixes: patterns.filter(isWildcard).map((pattern) => pattern.slice(0, -1)),
});

const isWildcard = (pattern: string): boolean => pattern === '*' || pattern.endsWith('.*');

/** Whether a type is meant by one of the patterns; none means none. */
export const typeMatcher = (patterns: readonly string[]): ((type: string) => boolean) => {
  const { names, prefixes } = splitTypePatterns(patterns);
  const known = new Set(names);
  return (type) => known.has(type) || prefixes.some((prefix) => type.startsWith(prefix));
};

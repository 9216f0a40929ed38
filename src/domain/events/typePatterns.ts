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

/** Whether a type stands among patterns, itself or by a wildcard; asks the set first, which knows most. */
export const isAmong = (patterns: ReadonlySet<string>, type: string): boolean => {
  if (patterns.has(type)) return true;
  for (const pattern of patterns) if (isWildcard(pattern) && type.startsWith(pattern.slice(0, -1))) return true;
  return false;
};

const isWildcard = (pattern: string): boolean => pattern === '*' || pattern.endsWith('.*');

/** Whether a type is meant by one of the patterns; none means none. */
export const typeMatcher = (patterns: readonly string[]): ((type: string) => boolean) => {
  const { names, prefixes } = splitTypePatterns(patterns);
  const known = new Set(names);
  return (type) => known.has(type) || prefixes.some((prefix) => type.startsWith(prefix));
};

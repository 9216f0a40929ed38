import { ValidationError } from '../domain/errors.ts';
import type { Page, PageRequest } from '../domain/page.ts';
import { decodeId, encodeId } from '../platform/ids.ts';
import type { IdKind } from '../platform/ids.ts';
import { builder } from './builder.ts';

export const DEFAULT_PAGE = 25;
const MAX_PAGE = 100;

builder.globalConnectionField('totalCount', (t) =>
  t.int({
    description: 'How many items the whole list has. Counted only where it is asked for.',
    complexity: 5,
    resolve: ({ totalCount }) => totalCount(),
  }),
);

/** Arguments of a list that is read from its start. */
export const forwardArgs = builder.args((t) => ({
  first: t.int({ description: `How many items, at most ${MAX_PAGE}; ${DEFAULT_PAGE} where it is left out.` }),
  after: t.string({ description: 'The cursor of the item before the page.' }),
}));

/** What a page multiplies its fields by. */
export const pageCost = ({ first, last }: PageArgs) => ({
  field: 1,
  // A negative size, refused later, must not make the rest cheaper.
  multiplier: Math.max(1, Math.min(first ?? last ?? DEFAULT_PAGE, MAX_PAGE)),
});

export interface PageArgs {
  readonly first?: number | null | undefined;
  readonly after?: string | null | undefined;
  readonly last?: number | null | undefined;
  readonly before?: string | null | undefined;
}

/** Reads page arguments; throws ValidationError for a size out of bounds and for a cursor that `parse` does not know. */
export const pageRequest = <Key>(args: PageArgs, parse: (cursor: string) => Key | null): PageRequest<Key> => {
  const backward = args.last != null || (args.before != null && args.first == null);
  if (backward && (args.first != null || args.after != null)) {
    throw new ValidationError('Page forward with first and after, or backward with last and before, not both.', [
      'last',
    ]);
  }
  if (!backward && args.before != null) {
    throw new ValidationError('before goes with last: page backward with both.', ['before']);
  }
  const [limit, cursor] = backward ? [args.last, args.before] : [args.first, args.after];
  if (limit != null && (limit < 0 || limit > MAX_PAGE)) {
    throw new ValidationError(`A page has from 0 to ${MAX_PAGE} items.`, [backward ? 'last' : 'first']);
  }
  const from = cursor == null ? null : parse(cursor);
  if (cursor != null && from === null) {
    throw new ValidationError('This cursor is malformed: pass one exactly as a page gave it.', [
      backward ? 'before' : 'after',
    ]);
  }
  return { limit: limit ?? DEFAULT_PAGE, from, backward };
};

/** The cursor of lists that are ordered by id is the id. */
export const idCursor = (kind: IdKind) => (cursor: string) => decodeId(kind, cursor);

/** A page as a connection. `count` runs only where totalCount is asked for. */
export const connectionOf = <Item, Node>(
  { items, hasMore }: Page<Item>,
  { from, backward }: PageRequest<unknown>,
  node: (item: Item) => Node,
  cursor: (item: Item) => string,
  count: () => Promise<number>,
) => {
  const edges = items.map((item) => ({ cursor: cursor(item), node: node(item) }));
  return {
    edges,
    nodes: edges.map((edge) => edge.node),
    totalCount: count,
    pageInfo: {
      // Whoever pages away from a cursor has seen that there is something on its other side.
      hasNextPage: backward ? from !== null : hasMore,
      hasPreviousPage: backward ? hasMore : from !== null,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
  };
};

/** A page of what is ordered by id. */
export const idConnection = <Node extends { readonly id: string }>(
  kind: IdKind,
  page: Page<Node>,
  request: PageRequest,
  count: () => Promise<number>,
) =>
  connectionOf(
    page,
    request,
    (node) => node,
    ({ id }) => encodeId(kind, id),
    count,
  );

/** A slice of a list that is ordered by a key: at most `limit` items beyond `from`, in the list's order or against it. */
export interface PageRequest<Key = string> {
  readonly limit: number;
  /** Exclusive; null: from the very start, or going backward from the very end. */
  readonly from: Key | null;
  readonly backward: boolean;
}

/** Items always in the list's order. */
export interface Page<Item> {
  readonly items: readonly Item[];
  /** There are more beyond, in the direction of reading. */
  readonly hasMore: boolean;
}

/** Makes a page of rows that were read one more than the limit, in the direction of reading. */
export const pageOf = <Item>(rows: readonly Item[], { limit, backward }: PageRequest<unknown>): Page<Item> => {
  const items = rows.slice(0, limit);
  return { items: backward ? items.reverse() : items, hasMore: rows.length > limit };
};

/** Lists are counted up to here, and this stands for more, so that counting never takes long. */
export const COUNT_LIMIT = 100_000;

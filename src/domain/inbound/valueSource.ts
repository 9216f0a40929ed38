/** Where a value stands in a request. */
export const VALUE_SOURCE_TYPES = ['HEADER', 'JSONATA'] as const;
export type ValueSourceType = (typeof VALUE_SOURCE_TYPES)[number];

export interface ValueSource {
  readonly type: ValueSourceType;
  /** A header's name in any case, or an expression on the body. */
  readonly value: string;
}

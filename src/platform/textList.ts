import { Type } from '@mikro-orm/core';

/**
 * A `text[]` column of an entity. MikroORM's own array type leaves `NULL`, white space and line ends unquoted, so that
 * some texts come back as others; this one quotes everything.
 */
export class TextList extends Type<readonly string[] | null, string | null> {
  override convertToDatabaseValue(value: readonly string[] | null): string | null {
    return value === null || value === undefined
      ? null
      : `{${value.map((text) => `"${text.replaceAll(/[\\"]/g, String.raw`\$&`)}"`).join(',')}}`;
  }

  /** `pg` has parsed the array already. */
  override convertToJSValue(value: unknown): readonly string[] | null {
    return (value as readonly string[] | null | undefined) ?? null;
  }

  override compareAsType(): string {
    return 'string';
  }

  override getColumnType(): string {
    return 'text[]';
  }
}

/** An `integer[]` column of an entity. */
export class IntegerList extends Type<readonly number[], string> {
  override convertToDatabaseValue(value: readonly number[]): string {
    return `{${value.join(',')}}`;
  }

  override convertToJSValue(value: unknown): readonly number[] {
    return value as readonly number[];
  }

  override compareAsType(): string {
    return 'string';
  }

  override getColumnType(): string {
    return 'integer[]';
  }
}

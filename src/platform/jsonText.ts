import { Type } from '@mikro-orm/core';

/**
 * A JSON value kept as text. Not as jsonb, which refuses a NUL within a string, loses the order of keys and reads numbers
 * its own way.
 */
export class JsonText extends Type<unknown, string | null> {
  override convertToDatabaseValue(value: unknown): string | null {
    return value === null || value === undefined ? null : JSON.stringify(value);
  }

  override convertToJSValue(value: unknown): unknown {
    return typeof value === 'string' ? (JSON.parse(value) as unknown) : null;
  }

  override compareAsType(): string {
    return 'string';
  }

  override getColumnType(): string {
    return 'text';
  }
}

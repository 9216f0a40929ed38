import { readFile } from 'node:fs/promises';
import {
  getNamedType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  lexicographicSortSchema,
  printSchema,
} from 'graphql';
import { expect, test } from 'vitest';
import { buildSchema } from '../src/schema/index.ts';

const schema = await buildSchema({ desk: true });

test('the committed schema.graphql is what the code says', async () => {
  const committed = await readFile(new URL('../schema.graphql', import.meta.url), 'utf8');
  expect(`${printSchema(lexicographicSortSchema(schema))}\n`, 'run `npm run schema`').toBe(committed);
});

test('every type, field, argument and value of the schema has a description', () => {
  const bare: string[] = [];
  const check = (at: string, { description }: { description?: string | null | undefined }): void => {
    if (!description) bare.push(at);
  };
  for (const type of Object.values(schema.getTypeMap())) {
    if (type.name.startsWith('__')) continue;
    check(type.name, type);
    if (isEnumType(type)) for (const value of type.getValues()) check(`${type.name}.${value.name}`, value);
    if (!isObjectType(type) && !isInterfaceType(type) && !isInputObjectType(type)) continue;
    for (const field of Object.values(type.getFields())) {
      check(`${type.name}.${field.name}`, field);
      if ('args' in field) for (const arg of field.args) check(`${type.name}.${field.name}(${arg.name}:)`, arg);
    }
  }
  expect(bare).toEqual([]);
});

test('every mutation answers a union of its success and of errors', () => {
  for (const field of Object.values(schema.getMutationType()!.getFields())) {
    const union = getNamedType(field.type);
    // Its own, or one that several mutations of a noun share.
    const [, name] = /^(\w+)Result$/.exec(union.name) ?? [];
    expect(name, field.name).toBeDefined();
    const members = 'getTypes' in union ? union.getTypes().map((member) => member.name) : [];
    expect(members).toContain(`${name}Success`);
    expect(members.filter((member) => !member.endsWith('Error'))).toEqual([`${name}Success`]);
  }
});

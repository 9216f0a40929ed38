import { readFileSync } from 'node:fs';
import { buildSchema, parse, validate } from 'graphql';
import { expect, it } from 'vitest';
import * as z from 'zod';
import type { ValueSource } from '../src/domain/inbound/presets/presetRow.ts';
import { PRESETS } from '../src/domain/inbound/presets/presets.ts';
import { parseAuth } from '../src/domain/inbound/verification/auth.ts';
import { INBOUND_AUTH_TYPES } from '../src/domain/inbound/verification/authType.ts';
import { CONFIG_SCHEMAS } from '../src/domain/inbound/verification/config.ts';
import { parseSignedContent } from '../src/domain/inbound/verification/signedContent.ts';

const page = readFileSync(new URL('../docs/presets.md', import.meta.url), 'utf8');

/** The cells of the table whose header begins with this column. */
const tableOf = (column: string): string[][] => {
  const lines = page.split('\n');
  const start = lines.findIndex((line) => new RegExp(`^\\| ${column} +\\|`).test(line));
  const rest = lines.slice(start + 2);
  return rest
    .slice(
      0,
      rest.findIndex((line) => !line.startsWith('|')),
    )
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
};

const codesIn = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);

const sourceText = (source: ValueSource | null): string => {
  if (source === null) return '–';
  if (source.type === 'HEADER') return `\`${source.value}\``;
  return source.value.includes('`') ? `body: \`\` ${source.value} \`\`` : `body: \`${source.value}\``;
};

it('the page lists every preset as it is', () => {
  const config: Record<string, object> = {
    discord: { publicKey: 'ab'.repeat(32) },
    sendgrid: {
      publicKey:
        'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==',
    },
    meta: { verifyToken: 'abc' },
    'generic-hmac': { header: 'X-Signature' },
  };
  const rows = tableOf('preset');
  const expected = PRESETS.map((preset) => {
    const { settings } = parseAuth({ preset: preset.name, config: config[preset.name] }, null);
    const window = settings.config['toleranceSeconds'];
    return [
      `\`${preset.name}\` [${preset.displayName}](${preset.docsUrl})`,
      { SENDER: 'sender', YOU: 'you', NONE: 'none' }[preset.secretFrom],
      sourceText(preset.eventTypeSource),
      sourceText(preset.idempotencySource),
      typeof window === 'number' ? `${window} s` : '–',
      preset.handshake !== null,
    ];
  });
  expect(
    rows.map(([name, , secret, type, key, window, shake]) => [name, secret, type, key, window, shake !== '–']),
  ).toEqual(expected);
  // What only the owner knows is told beside what to do at the sender.
  for (const [index, { requiredConfig }] of PRESETS.entries()) {
    expect(codesIn(rows[index]![1]!)).toEqual(expect.arrayContaining([...requiredConfig]));
    expect(rows[index]![1]!.length).toBeGreaterThan(10);
  }
});

it('the page lists every type, and every key of its config', () => {
  expect(tableOf('type').map(([type]) => codesIn(type!)[0])).toEqual([...INBOUND_AUTH_TYPES]);
  const known = INBOUND_AUTH_TYPES.flatMap((type) => {
    const { properties = {} } = z.toJSONSchema(CONFIG_SCHEMAS[type], { io: 'input' });
    // Read before the rest: a short form, and a secret.
    const before = type === 'HMAC' || type === 'ASYMMETRIC' ? ['timestampHeader', 'verifyToken'] : ['verifyToken'];
    return [...Object.keys(properties), ...before].map((key) => `${key} of ${type}`);
  });
  const told = tableOf('key').flatMap(([key, types]) =>
    (types === 'all' ? INBOUND_AUTH_TYPES : codesIn(types!)).map((type) => `${codesIn(key!)[0]!} of ${type}`),
  );
  expect(told.sort()).toEqual(known.sort());
});

it('the page lists every part of a signed content', () => {
  const told = tableOf('part').flatMap(([part]) => codesIn(part!));
  for (const part of told) {
    const example = part.replace('NAME', 'X-Own').replace('PATH', 'a.b');
    expect(parseSignedContent(example), part).toEqual([
      expect.objectContaining({ kind: expect.any(String) as string }),
    ]);
  }
  expect(told.sort()).toEqual(
    ['body', 'form', 'header.NAME', 'id', 'json.PATH', 'method', 'path', 'query', 'timestamp', 'url'].map(
      (name) => `{${name}}`,
    ),
  );
});

it("the page's operations fit the schema", () => {
  const schema = buildSchema(readFileSync(new URL('../schema.graphql', import.meta.url), 'utf8'));
  const operations = [...page.matchAll(/```graphql\n([\s\S]*?)```/g)].map((match) => match[1]!);
  expect(operations.length).toBeGreaterThan(1);
  for (const operation of operations) expect(validate(schema, parse(operation))).toEqual([]);
});

it("the page's example of an own sender is one", () => {
  const [, text] = /config: (\{[\s\S]*?\n {8}\})/.exec(page)!;
  const json = text!
    .replaceAll(/(\w+): /g, '"$1": ')
    .replaceAll(/\n\s*"/g, ', "')
    .replace('{, ', '{');
  const { settings } = parseAuth({ type: 'HMAC', config: JSON.parse(json) as object }, null);
  expect(settings.config).toMatchObject({ field: 'v1', toleranceSeconds: 120 });
});

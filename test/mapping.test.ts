// oxlint-disable typescript/no-explicit-any -- answers are whatever the queries ask for
import { readFile } from 'node:fs/promises';
import * as fc from 'fast-check';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Action, TargetField } from '../src/domain/actions/action.ts';
import { ActionRegistry } from '../src/domain/actions/actionRegistry.ts';
import { ValidationError } from '../src/domain/errors.ts';
import { coerce } from '../src/domain/mapping/coercion.ts';
import { createMapper } from '../src/domain/mapping/mapper.ts';
import type { Mapper } from '../src/domain/mapping/mapper.ts';
import { createMetrics } from '../src/platform/metrics.ts';
import { createSandbox } from '../src/platform/sandbox/sandbox.ts';
import type { Sandbox } from '../src/platform/sandbox/sandbox.ts';
import { inboundOf, post } from './harness/inbound.ts';
import { useScene } from './harness/scene.ts';

const field = (name: string, type: TargetField['type'], more: Partial<TargetField> = {}): TargetField => ({
  name,
  type,
  required: false,
  description: '',
  ...more,
});

const probe: Action = {
  name: 'probe',
  entity: 'probe',
  displayName: '',
  description: '',
  targetFields: [
    field('text', 'STRING', { required: true }),
    field('whole', 'INT'),
    field('number', 'NUMBER'),
    field('flag', 'BOOLEAN'),
    field('kind', 'ENUM', { allowedValues: ['low', 'High'] }),
    field('any', 'JSON'),
    field('ref', 'REF', { refEntity: 'client' }),
  ],
  run: () => Promise.reject(new Error('not run here')),
};

describe('a value', () => {
  const as = (type: TargetField['type'], value: unknown): unknown => {
    const coerced = coerce(field('it', type, { allowedValues: ['low', 'High'] }), value);
    return coerced.ok ? coerced.value : coerced.message;
  };

  it.each<[TargetField['type'], unknown, unknown]>([
    ['STRING', 'a', 'a'],
    ['STRING', '', ''],
    ['STRING', 12.5, '12.5'],
    ['STRING', true, 'true'],
    ['STRING', 'a\0b\uD800', 'ab\uFFFD'],
    ['REF', ' cli_1 ', 'cli_1'],
    ['INT', 3, 3],
    ['INT', ' -3 ', -3],
    ['INT', '3.0', 3],
    ['NUMBER', '1.5e3', 1500],
    ['NUMBER', 0.1, 0.1],
    ['BOOLEAN', true, true],
    ['BOOLEAN', 'FALSE', false],
    ['BOOLEAN', 1, true],
    ['BOOLEAN', 0, false],
    ['BOOLEAN', '1', true],
    ['ENUM', 'LOW', 'low'],
    ['ENUM', ' high ', 'High'],
    ['JSON', { a: [1] }, { a: [1] }],
    ['JSON', [], []],
  ])('becomes what a field of type %s takes: %j', (type, value, expected) => {
    expect(as(type, value)).toEqual(expected);
  });

  it.each<[TargetField['type'], unknown]>([
    ['STRING', { a: 1 }],
    ['STRING', ['a']],
    ['REF', []],
    ['INT', 1.5],
    ['INT', '1e30'],
    ['INT', ''],
    ['INT', '0x10'],
    ['INT', true],
    ['NUMBER', 'NaN'],
    ['NUMBER', 'Infinity'],
    ['NUMBER', '1e999'],
    ['NUMBER', '1,5'],
    ['BOOLEAN', 'yes'],
    ['BOOLEAN', 2],
    ['ENUM', 'medium'],
    ['ENUM', ['low']],
  ])('that a field of type %s does not take is refused: %j', (type, value) => {
    expect(as(type, value)).toMatch(/^It takes /);
  });

  it('that is null empties a field of any type', () => {
    for (const { type } of probe.targetFields) expect(as(type, null)).toBeNull();
  });

  it('is text that can be stored, whatever it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const value = as('STRING', text + String.fromCharCode(0xd800)) as string;
        expect(value.isWellFormed() && !value.includes('\0')).toBe(true);
      }),
    );
  });
});

describe('a mapping', () => {
  let sandbox: Sandbox;
  let mapper: Mapper;
  beforeAll(() => {
    sandbox = createSandbox({ log: pino({ level: 'silent' }), metrics: createMetrics() });
    mapper = createMapper({ sandbox, actions: new ActionRegistry([probe]) });
  });
  afterAll(() => sandbox.close());

  const map = (mapping: Record<string, string>, body: unknown) =>
    mapper.map('t', 'probe', mapping, JSON.stringify(body), 'w');
  const refusal = async (mapping: unknown): Promise<unknown> => {
    const error: unknown = await mapper
      .check('t', 'probe', mapping, ['input', 'fieldMapping'])
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ValidationError);
    return { path: (error as ValidationError).path!.slice(2), message: (error as Error).message };
  };

  it('brings values of the fields’ types; what finds nothing is left out, null stays', async () => {
    const mapping = {
      text: 'a.id',
      whole: '$number(a.n) + 1',
      kind: "'HIGH'",
      any: '$',
      flag: 'a.gone',
      ref: 'a.none',
    };
    const body = { a: { id: 7, n: '41', none: null } };
    expect(await map(mapping, body)).toEqual({
      values: { text: '7', whole: 42, kind: 'High', any: body, ref: null },
      errors: [],
    });
  });

  it('leaves out an optional field that fails, and says why', async () => {
    expect(await map({ text: 'id', whole: 'n', flag: '$error("no")', kind: 'k' }, { id: 'x', n: [1], k: 'x' })).toEqual(
      {
        values: { text: 'x' },
        errors: [
          { field: 'whole', expression: 'n', message: 'It takes a whole number, and got a list of 1.' },
          { field: 'flag', expression: '$error("no")', message: expect.stringContaining('no') },
          { field: 'kind', expression: 'k', message: 'It takes one of low, High, and got "x".' },
        ],
      },
    );
  });

  it('takes a blank text for null, except where any value is welcome', async () => {
    const mapping = { text: "'x'", whole: 'b', kind: 'b', flag: 'b', ref: 'b', any: 'b' };
    expect(await map(mapping, { b: ' ' })).toEqual({
      values: { text: 'x', whole: null, kind: null, flag: null, ref: null, any: ' ' },
      errors: [],
    });
  });

  it('has no values where a required field brings nothing, null, a blank text, or what it does not take', async () => {
    for (const text of ['gone', 'none', 'blank', 'list', '$error("x")']) {
      const { values, errors } = await map({ text, number: '1' }, { none: null, blank: ' ', list: [1] });
      expect(values, text).toBeNull();
      expect(errors, text).toMatchObject([{ field: 'text', expression: text }]);
    }
    expect(await map({ number: '1' }, {})).toMatchObject({ values: null, errors: [{ field: 'text', expression: '' }] });
    expect(await map({ text: "'x'", gone: '1' }, {})).toMatchObject({
      values: { text: 'x' },
      errors: [{ field: 'gone', message: 'probe has no such field.' }],
    });
  });

  it('is tried again later where nothing can be evaluated now', async () => {
    const closed = createSandbox({ log: pino({ level: 'silent' }), metrics: createMetrics() });
    await closed.close();
    const busy = createMapper({ sandbox: closed, actions: new ActionRegistry([probe]) });
    await expect(busy.map('t', 'probe', { text: '1 + 1' }, '{}', 'w')).rejects.toThrow(/Try again/);
    await expect(busy.check('t', 'probe', { text: '1 + 1' }, [])).rejects.toThrow(/Try again/);
  });

  it('is judged before it is kept', async () => {
    expect(await mapper.check('t', 'probe', { text: ' id ', whole: 3, flag: true }, [])).toEqual({
      text: 'id',
      whole: '3',
      flag: 'true',
    });
    expect(await refusal({ text: 'id', gone: '1' })).toEqual({
      path: ['gone'],
      message: 'probe has no target field of this name.',
    });
    expect(await refusal({ whole: '1' })).toMatchObject({
      path: ['text'],
      message: 'probe needs the target field text.',
    });
    expect(await refusal({ text: 'a b' })).toMatchObject({
      path: ['text'],
      message: expect.stringMatching(/^This is no JSONata expression: .*after 3 characters/),
    });
    for (const text of ['', ' ', null, {}, ['id'], 'a\0', '\uD800', 'x'.repeat(4_097)]) {
      expect(await refusal({ text }), JSON.stringify(text)).toMatchObject({ path: ['text'] });
    }
    for (const mapping of [null, 'id', [], 3, undefined]) expect(await refusal(mapping)).toMatchObject({ path: [] });
    const many = Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`f${n}`, '1']));
    expect(await refusal(many)).toMatchObject({ path: [], message: 'A mapping has at most 100 fields.' });
    expect(await refusal(JSON.parse('{"text": "id", "__proto__": "1"}'))).toMatchObject({ path: ['__proto__'] });
    await expect(mapper.check('t', 'gone', {}, ['x'])).rejects.toThrow(/no such action/);
  });
});

describe('through the API', () => {
  const scene = useScene();
  const preview = async (input: object): Promise<any> =>
    (
      await scene.tenant.graphql(
        `query ($input: InboundMappingPreviewInput!) {
          inboundMappingPreview(input: $input) { output errors { field expression message } } }`,
        { input },
      )
    ).inboundMappingPreview;

  it('the actions of this installation can be found, with what their fields take', async () => {
    const { inboundActions } = await scene.tenant.graphql(
      `{ inboundActions { name entity displayName description targetFields { name type required description allowedValues refEntity } } }`,
    );
    expect(inboundActions.map((one: any) => one.name)).toEqual([
      'upsertAssetByExternalId',
      'upsertClientByExternalId',
      'publishEvent',
      'addTicketCommentByExternalId',
      'changeTicketStatusByExternalId',
      'createTicket',
      'updateTicketByExternalId',
    ]);
    const create = inboundActions.find((one: any) => one.name === 'createTicket');
    expect(create.targetFields.find((one: any) => one.name === 'priority')).toMatchObject({
      type: 'ENUM',
      required: false,
      allowedValues: ['low', 'medium', 'high', 'urgent'],
      refEntity: null,
    });
    expect(create.targetFields.find((one: any) => one.name === 'client_id')).toMatchObject({
      type: 'REF',
      refEntity: 'client',
    });
  });

  it('the page on mappings tells every action as the program knows it', async () => {
    const page = await readFile(new URL('../docs/mapping.md', import.meta.url), 'utf8');
    const told = [...page.matchAll(/^\| `([a-z]\w+)`\s*\| (`.*?)\s*\|$/gm)].map(([, name, fields]) => [name, fields]);
    const { inboundActions } = await scene.tenant.graphql(
      `{ inboundActions { name targetFields { name type required allowedValues } } }`,
    );
    const known = inboundActions.map(({ name, targetFields }: any) => [
      name,
      targetFields
        .map((one: any) => {
          const values = one.allowedValues ? ` (${one.allowedValues.join(', ')})` : '';
          return `\`${one.name}\`${one.required ? String.raw`\*` : ''} ${one.type}${values}`;
        })
        .join(', '),
    ]);
    expect(told).toEqual(known);
  });

  it('a mapping can be tried on a body, or on the sample, before it is saved', async () => {
    const fieldMapping = { title: "'Alert: ' & device.name", priority: 'level', external_id: 'id' };
    const body = { id: 9, device: { name: 'db' }, level: 'HIGH' };
    const expected = { output: { title: 'Alert: db', priority: 'high', external_id: '9' }, errors: [] };
    expect(await preview({ action: 'createTicket', fieldMapping, body })).toEqual(expected);

    const inbound = inboundOf(scene.tenant);
    const webhook = await inbound.create();
    const at = { action: 'createTicket', fieldMapping, inboundWebhookId: webhook.id };
    await expect(preview(at)).rejects.toThrow(/no sample yet/);
    await inbound.captureSample(webhook.id);
    expect((await post(webhook.slugUrl, JSON.stringify(body))).status).toBe(200);
    expect(await preview(at)).toEqual(expected);
    expect(await preview({ ...at, body: { id: 1, device: {} } })).toMatchObject({ output: { external_id: '1' } });

    expect(await preview({ action: 'createTicket', fieldMapping: { title: 'a b', gone: '1' }, body })).toMatchObject({
      output: null,
      errors: [
        { field: 'title', expression: 'a b' },
        { field: 'gone', expression: '1' },
      ],
    });
    await expect(preview({ action: 'gone', fieldMapping, body })).rejects.toThrow(/no such action/);
    await expect(preview({ action: 'createTicket', fieldMapping: [], body })).rejects.toThrow(/A mapping is an object/);
    for (const id of ['iwh_00000000000000000000000000', 'nonsense']) {
      expect(await preview({ ...at, inboundWebhookId: id })).toMatchObject({
        output: null,
        errors: [{ field: 'inboundWebhookId' }],
      });
    }
  });

  it('a webhook takes a mapping that compiles, and runs its action with what it brings', async () => {
    const inbound = inboundOf(scene.tenant);
    const handler = (fieldMapping: unknown) => ({ type: 'DIRECT_ACTION', action: 'createTicket', fieldMapping });
    expect(await inbound.tryCreate({ name: 'Bad', handler: handler({ title: 'a +' }) })).toMatchObject({
      code: 'BAD_REQUEST',
      path: ['input', 'handler', 'fieldMapping', 'title'],
    });
    const mapping = {
      title: "$uppercase(alert.name) & ' on ' & alert.host",
      priority: 'alert.level',
      tags: 'alert.tags[tag != "x"].tag',
      external_id: 'alert.id',
      due_date: 'alert.gone',
      board: 'alert',
    };
    const webhook = await inbound.create({ name: 'Alerts', handler: handler(mapping) });
    const body = {
      alert: { id: 'A1', name: 'disk', host: 'db', level: 'Urgent', tags: [{ tag: 'x' }, { tag: 'y' }, { tag: 'z' }] },
    };
    expect((await post(webhook.slugUrl, JSON.stringify(body))).status).toBe(200);
    const [delivery] = await inbound.reached(webhook.id, 'DISPATCHED');
    expect(delivery.handlerOutcome).toMatchObject({
      action: 'createTicket',
      operation: 'created',
      mappingErrors: [{ field: 'board', expression: 'alert', message: 'It takes a text, and got an object.' }],
    });
    const { ticket } = await scene.tenant.graphql(`{ ticket(externalId: "A1") { title priority tags board dueDate } }`);
    expect(ticket).toEqual({ title: 'DISK on db', priority: 'urgent', tags: ['y', 'z'], board: null, dueDate: null });

    await inbound.update(webhook.id, { handler: handler({ title: 'alert.title' }) });
    expect((await post(webhook.slugUrl, JSON.stringify(body))).status).toBe(200);
    const [failed] = await inbound.reached(webhook.id, 'FAILED');
    expect(failed.handlerOutcome).toMatchObject({
      action: 'createTicket',
      mappingErrors: [{ field: 'title', expression: 'alert.title', message: expect.stringContaining('required') }],
    });
  });
});

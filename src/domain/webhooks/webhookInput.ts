import { z } from 'zod';
import { ValidationError } from '../errors.ts';
import { exactText, parseInput, text } from '../text.ts';
import type { Sandbox } from '../../platform/sandbox/sandbox.ts';
import { checkHeaderName, checkHeaderValue, MAX_CUSTOM_HEADERS } from '../../platform/outbound/headers.ts';
import { ORDERINGS, WEBHOOK_STATUSES } from './webhook.ts';
import type { Ordering, WebhookStatus } from './webhook.ts';

/** Judges a URL that is about to be saved: null when it may be, else a sentence with the remedy. */
export type UrlCheck = (url: string) => string | null;

/** What this installation lays down for webhooks. */
export interface WebhookRules {
  readonly checkUrl: UrlCheck;
  readonly checkExpression: Sandbox['check'];
  /** Of the signed headers, which nobody else may set. */
  readonly headerPrefix: string;
}

/** What holds where a setting is left out or reset. */
export const WEBHOOK_DEFAULTS = {
  timeoutSeconds: 10,
  retrySchedule: [60, 300, 1_800, 7_200, 43_200],
  maxConcurrency: 10,
  rateLimitPerMinute: null,
  ordering: 'NONE',
} as const;

/** Words of an event type, dots between them; a wildcard `*` may be the last word, or the only one. */
const SUBSCRIPTION = /^(?:\*|[a-z0-9_]+(?:\.[a-z0-9_]+)*(?:\.\*)?)$/;

const MAX_ENTITY_IDS = 1_000;
const MAX_PAYLOAD_FIELDS = 100;

const unique = <T>(values: readonly T[]): T[] => [...new Set(values)];

const whole = (least: number, most: number, what: string) =>
  z
    .number()
    .int()
    .refine((value) => value >= least && value <= most, `${what} must be from ${least} to ${most}.`);

/** Every webhook has these. */
const required = ({ checkUrl }: WebhookRules) => ({
  name: text(1, 255, 'The name'),
  url: z.string().superRefine((url, context) => {
    const refusal = checkUrl(url);
    if (refusal !== null) context.addIssue(refusal);
  }),
  eventTypes: z
    .array(
      text(1, 128, 'An event type').regex(
        SUBSCRIPTION,
        'An event type is lower-case words joined by dots, with * as the last word for all that follow.',
      ),
    )
    .min(1, 'Name at least one event type.')
    .max(100, 'Name at most 100 event types.')
    .transform(unique),
});

/** What may be left out, or be null: the default. */
const optional = ({ headerPrefix }: WebhookRules) => ({
  isActive: z.boolean().nullish(),
  verifySsl: z.boolean().nullish(),
  description: text(0, 2_000, 'The description').nullish(),
  entityIds: z
    .array(exactText(1, 255, 'An entity id'))
    .max(MAX_ENTITY_IDS, `Name at most ${MAX_ENTITY_IDS} entities.`)
    .transform(unique)
    .nullish(),
  payloadFields: z
    .array(exactText(1, 255, 'A payload field'))
    .max(MAX_PAYLOAD_FIELDS, `Name at most ${MAX_PAYLOAD_FIELDS} payload fields.`)
    .transform(unique)
    .nullish(),
  timeoutSeconds: whole(1, 30, 'The timeout in seconds').nullish(),
  retrySchedule: z
    .array(whole(1, 86_400, 'A wait in seconds'))
    .max(20, 'A schedule has at most 20 waits.')
    .nullish(),
  maxConcurrency: whole(1, 100, 'The concurrency').nullish(),
  rateLimitPerMinute: whole(1, 60_000, 'The rate limit per minute').nullish(),
  ordering: z.enum(ORDERINGS).nullish(),
  condition: exactText(1, 4_096, 'A condition').nullish(),
  headers: z
    .array(
      z.object({
        name: z.string().superRefine((name, context) => {
          const refusal = checkHeaderName(name, headerPrefix);
          if (refusal !== null) context.addIssue(refusal);
        }),
        value: z
          .string()
          .superRefine((value, context) => {
            const refusal = checkHeaderValue(value);
            if (refusal !== null) context.addIssue(refusal);
          })
          .nullish(),
      }),
    )
    .max(MAX_CUSTOM_HEADERS, `Give at most ${MAX_CUSTOM_HEADERS} headers.`)
    .superRefine((headers, context) => {
      const names = headers.map(({ name }) => name.toLowerCase());
      const twice = names.findIndex((name, index) => names.indexOf(name) < index);
      if (twice >= 0)
        context.addIssue({
          code: 'custom',
          message: `The header ${names[twice]} is there twice: leave one out.`,
          path: [twice, 'name'],
        });
    })
    .nullish(),
});

/** A webhook's settings, whole and checked. */
export interface WebhookSettings {
  readonly name: string;
  readonly url: string;
  readonly eventTypes: readonly string[];
  readonly verifySsl: boolean;
  readonly description: string | null;
  readonly entityIds: readonly string[];
  readonly payloadFields: readonly string[] | null;
  readonly timeoutSeconds: number;
  readonly retrySchedule: readonly number[];
  readonly maxConcurrency: number;
  readonly rateLimitPerMinute: number | null;
  readonly ordering: Ordering;
  /** JSONata on the envelope; its syntax is checked apart. */
  readonly condition: string | null;
}

/** A static header; without a value, the one that is stored under its name. */
export interface HeaderInput {
  readonly name: string;
  readonly value?: string | null | undefined;
}

/** As callers give it: anything that may be left out may be null too. */
export interface WebhookCreateInput {
  readonly name: string;
  readonly url: string;
  readonly eventTypes: readonly string[];
  readonly isActive?: boolean | null | undefined;
  readonly verifySsl?: boolean | null | undefined;
  readonly description?: string | null | undefined;
  readonly entityIds?: readonly string[] | null | undefined;
  readonly payloadFields?: readonly string[] | null | undefined;
  readonly timeoutSeconds?: number | null | undefined;
  readonly retrySchedule?: readonly number[] | null | undefined;
  readonly maxConcurrency?: number | null | undefined;
  readonly rateLimitPerMinute?: number | null | undefined;
  readonly ordering?: Ordering | null | undefined;
  readonly condition?: string | null | undefined;
  readonly headers?: readonly HeaderInput[] | null | undefined;
}

/** A field left out stays as it is; null resets it to its default. */
export type WebhookUpdateInput = {
  readonly [Key in keyof WebhookCreateInput]?: WebhookCreateInput[Key] | null | undefined;
} & { readonly status?: WebhookStatus | null | undefined };

/** Throws ValidationError with the path of the first thing that is wrong. */
export const checkCreate = (
  input: WebhookCreateInput,
  rules: WebhookRules,
): WebhookSettings & { readonly isActive: boolean; readonly headers: readonly HeaderInput[] } => {
  const given = parseInput(z.object({ ...required(rules), ...optional(rules) }), input);
  return {
    ...given,
    isActive: given.isActive ?? true,
    verifySsl: given.verifySsl ?? true,
    description: given.description || null,
    entityIds: given.entityIds ?? [],
    payloadFields: given.payloadFields ?? null,
    timeoutSeconds: given.timeoutSeconds ?? WEBHOOK_DEFAULTS.timeoutSeconds,
    retrySchedule: given.retrySchedule ?? WEBHOOK_DEFAULTS.retrySchedule,
    maxConcurrency: given.maxConcurrency ?? WEBHOOK_DEFAULTS.maxConcurrency,
    rateLimitPerMinute: given.rateLimitPerMinute ?? WEBHOOK_DEFAULTS.rateLimitPerMinute,
    ordering: given.ordering ?? WEBHOOK_DEFAULTS.ordering,
    condition: given.condition ?? null,
    headers: given.headers ?? [],
  };
};

/** What an update changes: settings by name, and the status asked for, where one is. */
export interface WebhookChange {
  readonly settings: Partial<WebhookSettings>;
  readonly status: WebhookStatus | null;
  /** The whole list of static headers; null: they stay. */
  readonly headers: readonly HeaderInput[] | null;
}

/** Throws ValidationError with the path of the first thing that is wrong. */
export const checkUpdate = (input: WebhookUpdateInput, rules: WebhookRules): WebhookChange => {
  for (const name of ['name', 'url', 'eventTypes'] as const) {
    if (input[name] === null) {
      throw new ValidationError('This cannot be null: leave it out to keep it.', ['input', name]);
    }
  }
  const schema = z
    .object(required(rules))
    .partial()
    .extend({ ...optional(rules), status: z.enum(WEBHOOK_STATUSES).nullish() });
  const { isActive, status, headers, ...given } = parseInput(schema, input);
  const resets: Partial<WebhookSettings> = {
    ...(given.verifySsl === null && { verifySsl: true }),
    ...(given.description === '' && { description: null }),
    ...(given.entityIds === null && { entityIds: [] }),
    ...(given.timeoutSeconds === null && { timeoutSeconds: WEBHOOK_DEFAULTS.timeoutSeconds }),
    ...(given.retrySchedule === null && { retrySchedule: WEBHOOK_DEFAULTS.retrySchedule }),
    ...(given.maxConcurrency === null && { maxConcurrency: WEBHOOK_DEFAULTS.maxConcurrency }),
    ...(given.ordering === null && { ordering: WEBHOOK_DEFAULTS.ordering }),
  };
  const settings = Object.fromEntries(
    Object.entries({ ...given, ...resets }).filter(([, value]) => value !== undefined),
  );
  return {
    settings,
    status: statusAsked(isActive ?? null, status ?? null),
    headers: headers === undefined ? null : (headers ?? []),
  };
};

/** `isActive: true` means ACTIVE, false PAUSED (DISABLED where `status` says so). Throws where both contradict each other. */
const statusAsked = (isActive: boolean | null, status: WebhookStatus | null): WebhookStatus | null => {
  if (isActive === null || status === null)
    return status ?? (isActive === null ? null : isActive ? 'ACTIVE' : 'PAUSED');
  if (isActive === (status === 'ACTIVE')) return status;
  throw new ValidationError(`isActive: ${isActive} contradicts status: ${status}. Give one of them.`, [
    'input',
    'status',
  ]);
};

import { z } from 'zod';
import { ValidationError } from '../errors.ts';
import { exactText, parseInput, text } from '../text.ts';
import { WEBHOOK_STATUSES } from '../webhooks/webhook.ts';
import type { WebhookStatus } from '../webhooks/webhook.ts';
import type { UrlCheck } from '../webhooks/webhookInput.ts';
import { CREDENTIAL_AS_SOURCE, isCredentialName } from './credentials.ts';
import { INBOUND_HANDLER_TYPES } from './inboundWebhook.ts';
import type { InboundHandlerType } from './inboundWebhook.ts';
import { VALUE_SOURCE_TYPES } from './valueSource.ts';
import type { ValueSource } from './valueSource.ts';

/** What holds where a setting is left out or reset. */
export const INBOUND_DEFAULTS = {
  source: 'custom',
  idempotencyWindowSeconds: 86_400,
  rateLimitPerMinute: 600,
} as const;

const SLUG = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;
const LONGEST_SLUG = 64;
/** A token (RFC 9110, 5.6.2). */
const HEADER_NAME = /^[!#$%&'*+.^_`|~\da-z-]{1,128}$/i;
const LONGEST_EXPRESSION = 4_096;
const MOST_EVENTS = 100;

const whole = (least: number, most: number, what: string) =>
  z
    .number()
    .int()
    .refine((value) => value >= least && value <= most, `${what} must be from ${least} to ${most}.`);

const valueSource = z
  .object({ type: z.enum(VALUE_SOURCE_TYPES), value: exactText(1, LONGEST_EXPRESSION, 'The value') })
  .transform(({ type, value }, context): ValueSource => {
    if (type === 'JSONATA') return { type, value };
    const name = value.trim();
    const refusal = !HEADER_NAME.test(name)
      ? 'This is no name of a header.'
      : isCredentialName(name)
        ? CREDENTIAL_AS_SOURCE
        : null;
    if (refusal !== null) context.addIssue({ code: 'custom', message: refusal, path: ['value'] });
    return { type, value: name };
  });

const handler = z.object({
  type: z.enum(INBOUND_HANDLER_TYPES),
  action: z.string().nullish(),
  fieldMapping: z.unknown().optional(),
  workflowId: z.string().nullish(),
});

const fields = (checkUrl: UrlCheck) => ({
  name: text(1, 120, 'The name'),
  slug: z
    .string()
    .regex(SLUG, 'A slug has 1 to 64 lower-case letters, digits and hyphens, and no hyphen at either end.'),
  description: text(0, 2_000, 'The description'),
  source: text(0, 100, 'The source'),
  events: z
    .array(text(1, 128, 'An event type').transform((event) => event.toLowerCase()))
    .max(MOST_EVENTS, `Name at most ${MOST_EVENTS} event types.`)
    .transform((events) => [...new Set(events)]),
  eventTypeSource: valueSource,
  idempotencySource: valueSource,
  idempotencyWindowSeconds: whole(1, 2_592_000, 'The window in seconds'),
  handler,
  url: z.string().superRefine((url, context) => {
    const refusal = url === '' ? null : checkUrl(url);
    if (refusal !== null) context.addIssue(refusal);
  }),
  rateLimitPerMinute: whole(1, 60_000, 'The limit per minute'),
});

/** As callers give it; `auth` is read by the verification. */
export interface InboundWebhookCreateInput {
  readonly name: string;
  readonly slug?: string | null | undefined;
  readonly description?: string | null | undefined;
  readonly source?: string | null | undefined;
  readonly auth?: unknown;
  readonly events?: readonly string[] | null | undefined;
  readonly eventTypeSource?: ValueSource | null | undefined;
  readonly idempotencySource?: ValueSource | null | undefined;
  readonly idempotencyWindowSeconds?: number | null | undefined;
  readonly handler?: InboundHandlerInput | null | undefined;
  readonly url?: string | null | undefined;
  readonly rateLimitPerMinute?: number | null | undefined;
  readonly isActive?: boolean | null | undefined;
}

export interface InboundHandlerInput {
  readonly type: InboundHandlerType;
  readonly action?: string | null | undefined;
  readonly fieldMapping?: unknown;
  /** UUID. */
  readonly workflowId?: string | null | undefined;
}

/** A field left out stays as it is; null resets it to its default. */
export type InboundWebhookUpdateInput = {
  readonly [Key in keyof InboundWebhookCreateInput]?: InboundWebhookCreateInput[Key] | null | undefined;
} & { readonly status?: WebhookStatus | null | undefined };

/** Settings that need nothing but themselves to be judged, whole and checked. */
export interface PlainSettings {
  readonly name: string;
  readonly description: string | null;
  readonly source: string;
  readonly events: readonly string[];
  readonly idempotencyWindowSeconds: number;
  readonly url: string | null;
  readonly rateLimitPerMinute: number;
}

/** What is judged with help of others: the verification, the sandbox, the registry of actions. */
export interface GivenParts {
  readonly slug: string | undefined;
  /** Null where the caller wants none; undefined where it was left out. */
  readonly eventTypeSource: ValueSource | null | undefined;
  readonly idempotencySource: ValueSource | null | undefined;
  readonly handler: InboundHandlerInput | undefined;
}

export interface CheckedCreate extends GivenParts {
  readonly settings: PlainSettings;
  readonly isActive: boolean;
}

/** Throws ValidationError with the path of the first thing that is wrong. */
export const checkInboundCreate = (input: InboundWebhookCreateInput, checkUrl: UrlCheck): CheckedCreate => {
  const f = fields(checkUrl);
  const given = parseInput(
    z.object({
      name: f.name,
      slug: f.slug.nullish(),
      description: f.description.nullish(),
      source: f.source.nullish(),
      events: f.events.nullish(),
      eventTypeSource: f.eventTypeSource.nullish(),
      idempotencySource: f.idempotencySource.nullish(),
      idempotencyWindowSeconds: f.idempotencyWindowSeconds.nullish(),
      handler: f.handler.nullish(),
      url: f.url.nullish(),
      rateLimitPerMinute: f.rateLimitPerMinute.nullish(),
      isActive: z.boolean().nullish(),
    }),
    input,
  );
  return {
    settings: {
      name: given.name,
      description: given.description || null,
      source: given.source || INBOUND_DEFAULTS.source,
      events: given.events ?? [],
      idempotencyWindowSeconds: given.idempotencyWindowSeconds ?? INBOUND_DEFAULTS.idempotencyWindowSeconds,
      url: given.url || null,
      rateLimitPerMinute: given.rateLimitPerMinute ?? INBOUND_DEFAULTS.rateLimitPerMinute,
    },
    slug: given.slug ?? undefined,
    // Null is what is left out here, except that it can be wished for to have no idempotency.
    eventTypeSource: given.eventTypeSource ?? undefined,
    idempotencySource: given.idempotencySource,
    handler: given.handler ?? undefined,
    isActive: given.isActive ?? true,
  };
};

export interface CheckedUpdate extends GivenParts {
  readonly settings: Partial<PlainSettings>;
  readonly status: WebhookStatus | null;
}

/** Throws ValidationError with the path of the first thing that is wrong. */
export const checkInboundUpdate = (input: InboundWebhookUpdateInput, checkUrl: UrlCheck): CheckedUpdate => {
  for (const required of ['name', 'slug', 'auth', 'handler'] as const) {
    if (input[required] === null) {
      throw new ValidationError('This cannot be null: leave it out to keep it.', ['input', required]);
    }
  }
  const f = fields(checkUrl);
  const given = parseInput(
    z.object({
      name: f.name.optional(),
      slug: f.slug.optional(),
      description: f.description.nullish(),
      source: f.source.nullish(),
      events: f.events.nullish(),
      eventTypeSource: f.eventTypeSource.nullish(),
      idempotencySource: f.idempotencySource.nullish(),
      idempotencyWindowSeconds: f.idempotencyWindowSeconds.nullish(),
      handler: f.handler.optional(),
      url: f.url.nullish(),
      rateLimitPerMinute: f.rateLimitPerMinute.nullish(),
      isActive: z.boolean().nullish(),
      status: z.enum(WEBHOOK_STATUSES).nullish(),
    }),
    input,
  );
  const changed = {
    name: given.name,
    description: given.description === undefined ? undefined : given.description || null,
    source: given.source === undefined ? undefined : given.source || INBOUND_DEFAULTS.source,
    events: given.events === null ? [] : given.events,
    idempotencyWindowSeconds:
      given.idempotencyWindowSeconds === null
        ? INBOUND_DEFAULTS.idempotencyWindowSeconds
        : given.idempotencyWindowSeconds,
    url: given.url === undefined ? undefined : given.url || null,
    rateLimitPerMinute:
      given.rateLimitPerMinute === null ? INBOUND_DEFAULTS.rateLimitPerMinute : given.rateLimitPerMinute,
  };
  return {
    settings: Object.fromEntries(Object.entries(changed).filter(([, value]) => value !== undefined)),
    slug: given.slug,
    eventTypeSource: given.eventTypeSource,
    idempotencySource: given.idempotencySource,
    handler: given.handler,
    status: statusAsked(given.isActive ?? null, given.status ?? null),
  };
};

/** `isActive: true` means ACTIVE, false PAUSED (DISABLED where `status` says so). Throws where both contradict each other. */
const statusAsked = (isActive: boolean | null, status: WebhookStatus | null): WebhookStatus | null => {
  if (isActive === null) return status;
  if (status === null) return isActive ? 'ACTIVE' : 'PAUSED';
  if (isActive === (status === 'ACTIVE')) return status;
  throw new ValidationError(`isActive: ${isActive} contradicts status: ${status}. Give one of them.`, [
    'input',
    'status',
  ]);
};

/** A slug made of a name: what is no ASCII letter or digit becomes a hyphen; a name without any becomes `webhook`. */
export const slugOf = (name: string): string =>
  name
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/\p{M}/gu, '')
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, LONGEST_SLUG)
    .replaceAll(/^-+|-+$/g, '') || 'webhook';

/** The slug with a number behind it, still within its bounds. */
export const numberedSlug = (slug: string, number: number): string => {
  const suffix = `-${number}`;
  return slug.slice(0, LONGEST_SLUG - suffix.length).replace(/-+$/, '') + suffix;
};

import { z } from 'zod';
import { isDeeperThan, MAX_JSON_DEPTH } from '../events/payloadSchema.ts';
import { exactText, text } from '../text.ts';
import { DEFAULT_PRIORITY, TICKET_PRIORITIES, TICKET_STATUSES } from './ticketStatus.ts';

/** Text that may be empty, which then is none. */
const optionalText = (most: number, what: string) =>
  text(0, most, what)
    .transform((value) => (value === '' ? null : value))
    .nullable();

const [EARLIEST, LATEST] = [new Date('1900-01-01T00:00:00Z'), new Date('9999-12-31T23:59:59.999Z')];
const moment = z
  .date('The due date is no date: give one such as 2026-03-02 or 2026-03-02T09:15:00Z.')
  .min(EARLIEST, 'The due date is before 1900.')
  .max(LATEST, 'The due date is after 9999.');

const externalId = exactText(1, 255, 'The external id');
const uniqueTags = z
  .array(text(1, 100, 'A tag'), 'The tags are a list of texts, or one text with commas between them.')
  .max(50, 'A ticket has at most 50 tags.')
  .transform((tags) => [...new Set(tags)]);

/** The rules of each field of the desk, for whoever gives it. Null empties what can be empty. */
export const RULES = {
  title: text(1, 500, 'The title'),
  description: optionalText(20_000, 'The description'),
  status: z.enum(TICKET_STATUSES, `The status is one of ${TICKET_STATUSES.join(', ')}.`),
  priority: z.enum(TICKET_PRIORITIES, `The priority is one of ${TICKET_PRIORITIES.join(', ')}.`),
  contactName: optionalText(255, 'The name of the contact'),
  contactEmail: optionalText(320, 'The address of the contact'),
  assignedTo: optionalText(255, 'The assignee'),
  board: optionalText(100, 'The board'),
  tags: uniqueTags,
  dueDate: moment.nullable(),
  externalId,
  commentText: text(1, 20_000, 'The comment'),
  author: optionalText(255, 'The author'),
  clientName: text(1, 255, 'The name'),
  assetName: text(1, 255, 'The name'),
  assetType: text(1, 100, 'The asset type'),
  assetStatus: text(1, 100, 'The status'),
  serialNumber: optionalText(255, 'The serial number'),
  location: optionalText(500, 'The location'),
} as const;

/** A JSON value as text, for a column that keeps it to the letter. */
export const jsonOf = (what: string, most: number) =>
  z.unknown().transform((value, context): string => {
    if (isDeeperThan(value, MAX_JSON_DEPTH)) context.addIssue(`${what} nest deeper than ${MAX_JSON_DEPTH} levels.`);
    const json = context.issues.length > 0 ? '' : (JSON.stringify(value) ?? 'null');
    if (Buffer.byteLength(json) > most) context.addIssue(`${what} are too large: at most ${most} bytes of JSON.`);
    return json;
  });

/** A JSON object as text. */
export const jsonObjectOf = (what: string, most: number) =>
  z
    .unknown()
    .refine((value) => typeof value === 'object' && value !== null && !Array.isArray(value), {
      error: `${what} are no JSON object.`,
      abort: true,
    })
    .pipe(jsonOf(what, most));

export const MAX_PROPERTIES_BYTES = 65_536;
export const MAX_SNAPSHOT_BYTES = 262_144;

const clientIdText = z.string();

export const ticketCreateInput = z.object({
  title: RULES.title,
  description: RULES.description.nullish(),
  status: RULES.status.nullish(),
  priority: RULES.priority.nullish(),
  clientId: clientIdText.nullish(),
  contactName: RULES.contactName.nullish(),
  contactEmail: RULES.contactEmail.nullish(),
  assignedTo: RULES.assignedTo.nullish(),
  board: RULES.board.nullish(),
  tags: RULES.tags.nullish(),
  dueDate: RULES.dueDate.nullish(),
  externalId: RULES.externalId.nullish(),
});

export const ticketUpdateInput = z.object({
  title: z.preprocess((title) => title ?? (title === null ? '' : undefined), RULES.title.optional()),
  description: RULES.description.optional(),
  priority: RULES.priority.nullish().transform((priority) => (priority === null ? DEFAULT_PRIORITY : priority)),
  clientId: clientIdText.nullish(),
  contactName: RULES.contactName.optional(),
  contactEmail: RULES.contactEmail.optional(),
  board: RULES.board.optional(),
  tags: RULES.tags.nullish().transform((tags) => (tags === null ? [] : tags)),
  dueDate: RULES.dueDate.optional(),
});

export const ticketCommentInput = z.object({
  text: RULES.commentText,
  author: RULES.author.nullish().transform((author) => author ?? null),
  isInternal: z
    .boolean()
    .nullish()
    .transform((isInternal) => isInternal ?? false),
});

export const clientInput = z.object({
  externalId: RULES.externalId,
  name: RULES.clientName,
  isActive: z
    .boolean()
    .nullish()
    .transform((isActive) => (isActive === null ? true : isActive)),
  properties: z
    .preprocess((value) => (value === null ? {} : value), jsonObjectOf('The properties', MAX_PROPERTIES_BYTES))
    .optional(),
});

/** Without what is left out. */
export const given = <T extends object>(value: T): { [Name in keyof T]?: Exclude<T[Name], undefined> } =>
  Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as never;

/** Without what is left out or null. */
export const filled = <T extends object>(value: T): { [Name in keyof T]?: NonNullable<T[Name]> } =>
  Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined && one !== null)) as never;

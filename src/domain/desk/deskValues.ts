import { z } from 'zod';
import type { ActionContext, TargetField } from '../actions/action.ts';
import { ValidationError } from '../errors.ts';
import { decodeId } from '../../platform/ids.ts';
import { Client } from './client.ts';
import { jsonObjectOf, jsonOf, MAX_PROPERTIES_BYTES, MAX_SNAPSHOT_BYTES, RULES } from './deskInput.ts';

/**
 * The values that mappings give to the desk's actions. What was not mapped stays as it is; null empties what can be
 * empty, and counts as not mapped elsewhere.
 */
const keep = <T extends z.ZodType>(rule: T) => z.preprocess((value) => value ?? undefined, rule.optional());

const isoText = z.union([z.iso.date(), z.iso.datetime({ offset: true, local: true })]);

/** ISO 8601, in UTC where no offset is given, a day alone being its first moment; the rest is left to its rule to refuse. */
const dateOf = (value: unknown): unknown => {
  if (typeof value !== 'string') return value;
  const text = value.trim();
  if (!isoText.safeParse(text).success) return value;
  return new Date(/T.*(?:Z|[+-]\d\d:\d\d)$/.test(text) ? text : `${text}${text.includes('T') ? '' : 'T00:00:00'}Z`);
};

/** A list, or one text with commas in it. Numbers and truth values are taken for their text, as fields of texts do. */
const tagsOf = (value: unknown): unknown => {
  if (typeof value === 'string') return value.split(',').filter((tag) => tag.trim() !== '');
  if (Array.isArray(value)) return value.map((tag: unknown) => (isPlain(tag) ? String(tag) : tag));
  return value ?? [];
};

const isPlain = (value: unknown): value is number | boolean => typeof value === 'number' || typeof value === 'boolean';

const externalId = z.object({ external_id: RULES.externalId });

const client = { client_id: z.string().nullish(), client_external_id: RULES.externalId.nullish() };

const ticketFields = {
  description: RULES.description.optional(),
  status: keep(RULES.status),
  priority: keep(RULES.priority),
  ...client,
  contact_name: RULES.contactName.optional(),
  contact_email: RULES.contactEmail.optional(),
  assigned_to: RULES.assignedTo.optional(),
  board: RULES.board.optional(),
  tags: z.preprocess(tagsOf, RULES.tags).optional(),
  due_date: z.preprocess(dateOf, RULES.dueDate).optional(),
};

export const ticketCreateValues = z.object({
  ...ticketFields,
  title: RULES.title,
  external_id: keep(RULES.externalId),
});
export const ticketUpdateValues = externalId.extend({ ...ticketFields, title: keep(RULES.title) });
export const ticketStatusValues = externalId.extend({ status: RULES.status });
export const ticketCommentValues = externalId.extend({
  content: RULES.commentText,
  author: RULES.author.optional(),
  is_internal: keep(z.boolean()),
});
export const clientValues = externalId.extend({
  client_name: RULES.clientName,
  is_inactive: keep(z.boolean()),
  properties: z.preprocess((value) => value ?? {}, jsonObjectOf('The properties', MAX_PROPERTIES_BYTES)).optional(),
});
export const assetValues = externalId.extend({
  name: keep(RULES.assetName),
  asset_type: keep(RULES.assetType),
  status: keep(RULES.assetStatus),
  ...client,
  serial_number: RULES.serialNumber.optional(),
  location: RULES.location.optional(),
  rmm_snapshot: jsonOf('The contents of the snapshot', MAX_SNAPSHOT_BYTES)
    .transform((json) => (json === 'null' ? null : json))
    .optional(),
});

/** The client that values name. */
export interface NamedClient {
  /** Left out where no client was mapped; null where it is emptied, or unknown. */
  readonly clientId?: string | null;
  readonly notes: readonly string[];
}

/** Finds the client: by its TypeID, which must exist, or by its external id, which may be unknown yet. */
export const namedClient = async (
  { em, tenantId }: ActionContext,
  values: { readonly client_id?: string | null | undefined; readonly client_external_id?: string | null | undefined },
): Promise<NamedClient> => {
  const { client_id: typeId, client_external_id: named } = values;
  if (typeId != null) {
    const id = decodeId('client', typeId);
    if (id !== null && (await em.count(Client, { tenantId, id })) > 0) return { clientId: id, notes: [] };
    throw new ValidationError('There is no such client: give the id of one, or its external id instead.', [
      'client_id',
    ]);
  }
  if (named != null) {
    const found = await em.findOne(Client, { tenantId, externalId: named });
    if (found) return { clientId: found.id, notes: [] };
    return {
      clientId: null,
      notes: [`No client has the external id ${JSON.stringify(named)}: the client was left empty.`],
    };
  }
  return typeId === null || named === null ? { clientId: null, notes: [] } : { notes: [] };
};

/** Describes a field; those that are not required say what holds without them. */
export const field = (
  name: string,
  type: TargetField['type'],
  description: string,
  more: Partial<TargetField> = {},
): TargetField => ({ name, type, required: false, description, ...more });

export const CLIENT_FIELDS: readonly TargetField[] = [
  field('client_id', 'REF', 'Whom it is for, by the id `cli_…`.', { refEntity: 'client' }),
  field('client_external_id', 'STRING', 'Whom it is for, by the external id; an unknown one leaves the client empty.'),
];

export const externalIdField = (of: string): TargetField =>
  field('external_id', 'STRING', `What the sender calls the ${of}: 1 to 255 characters.`, { required: true });

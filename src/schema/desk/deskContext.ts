import type DataLoader from 'dataloader';
import type { Client } from '../../domain/desk/client.ts';
import type { Desk } from '../../domain/desk/desk.ts';
import type { DeskReader } from '../../domain/desk/deskReader.ts';
import type { TicketComment } from '../../domain/desk/ticketComment.ts';
import { ValidationError } from '../../domain/errors.ts';
import type { IdKind } from '../../platform/ids.ts';
import { tenantOf } from '../builder.ts';
import type { Context } from '../builder.ts';
import { addNodeKind } from '../node.ts';
import type { NodeKind } from '../node.ts';
import { loaderBy, loadersBeside } from '../loading.ts';

/** What one operation asks of the desk. */
interface DeskLoaders {
  readonly client: DataLoader<string, Client | null>;
  /** The last so many comments of a ticket; null where it has none. */
  comments(last: number): DataLoader<string, TicketComment[] | null>;
}

/** At most 100 comments of 20,000 characters each. */
const TICKETS_AT_ONCE = 10;

/** With the types of the desk in the schema, the desk itself is there. */
const deskOf = ({ services }: Context): { readonly changes: Desk; readonly reader: DeskReader } => {
  if (services.desk === null) throw new Error('the schema has a service desk and the program has none');
  return services.desk;
};

export const deskChanges = (context: Context): Desk => deskOf(context).changes;
export const deskReader = (context: Context): DeskReader => deskOf(context).reader;

/** Makes objects of the desk findable by id, where the desk is on. */
export const addDeskNode = (kind: IdKind, how: Pick<NodeKind, 'type' | 'find'>): void =>
  addNodeKind(kind, { ...how, scope: 'DESK_READ', isOn: ({ services }) => services.desk !== null });

/** Beside the loaders of the operation, so that only the desk knows of them. */
export const deskLoaders = loadersBeside((context): DeskLoaders => {
  const reader = deskReader(context);
  const tenantId = tenantOf(context);
  const comments = new Map<number, DataLoader<string, TicketComment[] | null>>();
  return {
    client: loaderBy(
      async (ids) => new Map((await reader.clients(tenantId, ids)).map((client) => [client.id, client])),
    ),
    comments: (last) => {
      const known = comments.get(last);
      if (known) return known;
      const made = context.loaders.large.loaderBy(
        (ids) => reader.commentsOf(tenantId, ids, last),
        (found) => found.reduce((sum, { text }) => sum + text.length, 0),
        TICKETS_AT_ONCE,
      );
      comments.set(last, made);
      return made;
    },
  };
});

/** One object by its TypeID or by the id of another system, whichever of the two is given. */
export const byEitherId = async <Found>(
  { id, externalId }: { readonly id?: string | null | undefined; readonly externalId?: string | null | undefined },
  decode: (id: string) => string | null,
  find: (uuid: string) => Promise<Found | null | undefined>,
  findExternal: (externalId: string) => Promise<Found | null>,
): Promise<Found | null> => {
  if ((id == null) === (externalId == null)) throw new ValidationError('Give one of id and externalId.', ['id']);
  if (id != null) {
    const uuid = decode(id);
    return uuid === null ? null : ((await find(uuid)) ?? null);
  }
  // No stored text has a NUL in it, and PostgreSQL takes none.
  return externalId!.includes('\0') || externalId!.length > 255 ? null : findExternal(externalId!);
};

import DataLoader from 'dataloader';
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
import type { Loaders } from '../loaders.ts';
import { topLevelError } from '../topLevelErrors.ts';

/** What one operation asks of the desk. */
interface DeskLoaders {
  readonly client: DataLoader<string, Client | null>;
  /** The last so many comments of a ticket. */
  comments(last: number): DataLoader<string, TicketComment[]>;
}

/** Comments are long, there are many, and pages multiply them: this many characters of them in one operation. */
const MAX_COMMENT_LENGTH = 33_554_432;
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
const loadersOf = new WeakMap<Loaders, DeskLoaders>();

export const deskLoaders = (context: Context): DeskLoaders => {
  const known = loadersOf.get(context.loaders);
  if (known) return known;
  const made = createDeskLoaders(deskReader(context), tenantOf(context));
  loadersOf.set(context.loaders, made);
  return made;
};

const createDeskLoaders = (reader: DeskReader, tenantId: string): DeskLoaders => {
  let length = 0;
  let lastRead: Promise<unknown> = Promise.resolve();
  const readComments = async (ids: readonly string[], last: number): Promise<TicketComment[][]> => {
    if (length > MAX_COMMENT_LENGTH) {
      throw topLevelError('QUERY_TOO_COMPLEX', 'These comments are too long for one answer: ask for fewer.');
    }
    const found = await reader.commentsOf(tenantId, [...new Set(ids)], last);
    for (const comments of found.values()) for (const { text } of comments) length += text.length;
    return ids.map((id) => found.get(id) ?? []);
  };
  const comments = new Map<number, DataLoader<string, TicketComment[]>>();

  return {
    client: new DataLoader<string, Client | null>(
      async (ids) => {
        const found = new Map((await reader.clients(tenantId, [...new Set(ids)])).map((one) => [one.id, one]));
        return ids.map((id) => found.get(id) ?? null);
      },
      { cache: false, maxBatchSize: 1_000 },
    ),
    comments: (last) => {
      let loader = comments.get(last);
      if (!loader) {
        loader = new DataLoader<string, TicketComment[]>(
          (ids) => {
            const read = lastRead.then(() => readComments(ids, last));
            lastRead = read.catch(() => undefined); // whoever asked for those hears of it
            return read;
          },
          { cache: false, maxBatchSize: TICKETS_AT_ONCE },
        );
        comments.set(last, loader);
      }
      return loader;
    },
  };
};

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

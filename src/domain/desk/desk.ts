import { z } from 'zod';
import { decodeId } from '../../platform/ids.ts';
import type { ActionContext } from '../actions/action.ts';
import type { Changes } from '../actions/changes.ts';
import { ConflictError, NotFoundError } from '../errors.ts';
import { parseInput } from '../text.ts';
import { Client } from './client.ts';
import { upsertClient } from './clients.ts';
import {
  clientInput,
  filled,
  given,
  RULES,
  ticketCommentInput,
  ticketCreateInput,
  ticketUpdateInput,
} from './deskInput.ts';
import { changeTicket, commentTicket, openTicket } from './tickets.ts';
import type { TicketChange, TicketFields } from './tickets.ts';

/** As callers give it: null is as good as left out. */
export interface TicketCreateInput {
  readonly title: string;
  readonly description?: string | null | undefined;
  readonly status?: string | null | undefined;
  readonly priority?: string | null | undefined;
  /** A TypeID. */
  readonly clientId?: string | null | undefined;
  readonly contactName?: string | null | undefined;
  readonly contactEmail?: string | null | undefined;
  readonly assignedTo?: string | null | undefined;
  readonly board?: string | null | undefined;
  readonly tags?: readonly string[] | null | undefined;
  readonly dueDate?: Date | null | undefined;
  readonly externalId?: string | null | undefined;
}

/** A field left out stays; null empties it, or resets it to its default. */
export type TicketUpdateInput = Partial<
  Omit<TicketCreateInput, 'title' | 'status' | 'assignedTo' | 'externalId'> & {
    readonly title: string | null | undefined;
  }
>;

export interface TicketCommentInput {
  readonly text: string;
  readonly author?: string | null | undefined;
  readonly isInternal?: boolean | null | undefined;
}

export interface ClientInput {
  readonly externalId: string;
  readonly name: string;
  readonly isActive?: boolean | null | undefined;
  readonly properties?: unknown;
}

/**
 * What people do at the desk. Every change is one transaction that locks its ticket, with the events that it publishes in
 * it. Throws ValidationError and NotFoundError with paths into the arguments; ids are TypeIDs.
 */
export class Desk {
  readonly #changes: Changes;

  constructor(changes: Changes) {
    this.#changes = changes;
  }

  /** Throws ConflictError for an external id that another ticket has. */
  async createTicket(tenantId: string, input: TicketCreateInput): Promise<TicketChange> {
    const { title, clientId, ...rest } = parseInput(ticketCreateInput, input);
    return this.#commit(tenantId, async (context) => {
      const client = clientId == null ? {} : { clientId: await existingClient(context, clientId) };
      const change = await openTicket(context, { title, ...filled(rest), ...client });
      if (change === null) {
        throw new ConflictError('Another ticket has this external id: choose another one, or change that ticket.', [
          'input',
          'externalId',
        ]);
      }
      return change;
    });
  }

  async updateTicket(tenantId: string, id: string, input: TicketUpdateInput): Promise<TicketChange> {
    const { clientId, ...rest } = parseInput(ticketUpdateInput, input);
    return this.#change(tenantId, id, async (context) => {
      const client = clientId == null ? clientId : await existingClient(context, clientId);
      return given({ ...rest, clientId: client });
    });
  }

  /** Null takes the ticket away from whoever has it. */
  async assignTicket(tenantId: string, id: string, assignedTo: string | null): Promise<TicketChange> {
    return this.#change(tenantId, id, async () =>
      parseInput(z.object({ assignedTo: RULES.assignedTo }), { assignedTo }, []),
    );
  }

  async changeTicketStatus(tenantId: string, id: string, status: string): Promise<TicketChange> {
    return this.#change(tenantId, id, async () => parseInput(z.object({ status: RULES.status }), { status }, []));
  }

  async commentTicket(tenantId: string, id: string, input: TicketCommentInput): Promise<TicketChange> {
    const comment = parseInput(ticketCommentInput, input);
    const key = ticketKey(id);
    return this.#commit(tenantId, async (context) => found(await commentTicket(context, key, comment)));
  }

  async upsertClient(tenantId: string, input: ClientInput): Promise<Client> {
    const { externalId, name, ...rest } = parseInput(clientInput, input);
    const { client } = await this.#commit(tenantId, (context) =>
      upsertClient(context, externalId, { name, ...given(rest) }),
    );
    return client;
  }

  #commit<T>(tenantId: string, work: (context: ActionContext) => Promise<T>): Promise<T> {
    return this.#changes.commit({ tenantId, source: 'desk' }, work);
  }

  async #change(
    tenantId: string,
    id: string,
    patchOf: (context: ActionContext) => Promise<Partial<TicketFields>>,
  ): Promise<TicketChange> {
    const key = ticketKey(id);
    return this.#commit(tenantId, async (context) => found(await changeTicket(context, key, await patchOf(context))));
  }
}

/** A malformed id, or one of another kind, is simply not the id of a ticket. */
const ticketKey = (text: string): { id: string } => {
  const id = decodeId('ticket', text);
  if (id === null) throw noTicket();
  return { id };
};

const found = <T>(change: T | null): T => {
  if (change === null) throw noTicket();
  return change;
};

const noTicket = (): NotFoundError => new NotFoundError('There is no such ticket.');

const existingClient = async ({ em, tenantId }: ActionContext, text: string): Promise<string> => {
  const id = decodeId('client', text);
  if (id === null || (await em.count(Client, { tenantId, id })) === 0) {
    throw new NotFoundError('There is no such client.', ['input', 'clientId']);
  }
  return id;
};

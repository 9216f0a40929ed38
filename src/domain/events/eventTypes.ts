import { LRUCache } from 'lru-cache';
import type { SqlEntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import type { Database } from '../../platform/database.ts';
import { ConflictError, ValidationError } from '../errors.ts';
import { exactText, parseInput, text } from '../text.ts';
import { TEST_EVENT_TYPE } from './catalogue.ts';
import type { Catalogue, CatalogueEntry, EventTypeStatus } from './catalogue.ts';
import type { NewEvent } from './event.ts';
import { RegisteredEventType } from './eventType.ts';
import { isOperationalType } from './operationalTypes.ts';
import { compileSchema, isDeeperThan, MAX_JSON_DEPTH, UnusableSchemaError } from './payloadSchema.ts';
import type { PayloadCheck } from './payloadSchema.ts';

/** An event type as its tenant sees it. */
export interface EventType {
  readonly name: string;
  readonly description: string;
  readonly status: EventTypeStatus;
  /** JSON Schema of `data`, with its keys in the order in which they were given. */
  readonly schema: unknown;
  readonly example: unknown;
  readonly builtIn: boolean;
}

export interface EventTypeFilter {
  readonly status?: EventTypeStatus | null | undefined;
  /** Part of name or description, in any case. */
  readonly search?: string | null | undefined;
}

export interface EventTypeInput {
  readonly name: string;
  readonly description: string;
  readonly schema?: unknown;
  readonly example?: unknown;
  readonly deprecated?: boolean | null | undefined;
}

export interface EventInput {
  readonly type: string;
  readonly data?: unknown;
  readonly idempotencyKey?: string | null | undefined;
  readonly occurredAt?: Date | null | undefined;
  readonly entityId?: string | null | undefined;
}

const NAME = /^[a-z0-9_]+(?:\.[a-z0-9_]+)*$/;
const MAX_DATA_BYTES = 262_144;
const MAX_EXAMPLE_BYTES = 65_536;
const MAX_TYPES_PER_TENANT = 1_000;
/** In other processes a replaced schema is believed for this long; a new name is seen at once. */
const BELIEVED_MS = 1_000;

/** The vocabulary of events: what is built in, and what a tenant registered. Every method takes the tenant first. */
export class EventTypes {
  readonly #database: Database;
  readonly #catalogue: Catalogue;
  /** By tenant and name. Only what exists is kept, so that a name can be published as soon as it is registered. */
  readonly #registered = new LRUCache<string, RegisteredEventType>({ max: 10_000, ttl: BELIEVED_MS });
  /** By the schema's text: it says all there is to say about the check. */
  readonly #checks = new LRUCache<string, PayloadCheck>({ max: 500 });

  constructor(database: Database, catalogue: Catalogue) {
    this.#database = database;
    this.#catalogue = catalogue;
  }

  /** Built-in ones in the catalogue's order, then the tenant's own by name. */
  async list(tenantId: string, filter: EventTypeFilter): Promise<EventType[]> {
    const rows = await this.#database
      .em()
      .find(RegisteredEventType, { tenantId }, { orderBy: { name: 'asc' }, disableIdentityMap: true });
    const own = new Map(rows.map((row) => [row.name, row]));
    const types = [
      ...this.#catalogue.entries.map((entry) => describe(own.get(entry.name), entry)),
      ...rows.filter((row) => !this.#catalogue.find(row.name)).map((row) => describe(row, undefined)),
    ];
    const search = filter.search?.toLowerCase() ?? '';
    return types.filter(
      ({ status, name, description }) =>
        (filter.status == null || status === filter.status) &&
        (search === '' || name.includes(search) || description.toLowerCase().includes(search)),
    );
  }

  /**
   * Adds a type, replaces one's own of this name, or brings a reserved one to life for this tenant. Throws
   * ConflictError for a built-in type that is live, ValidationError for a schema that cannot be used.
   */
  async register(tenantId: string, input: EventTypeInput): Promise<EventType> {
    const { name, description, deprecated } = parseInput(typeInput, input);
    if (this.#catalogue.find(name)?.status === 'LIVE') {
      throw new ConflictError('This type is built in and live: choose another name.', ['input', 'name']);
    }
    if (name === TEST_EVENT_TYPE) {
      throw new ConflictError('This name is kept for test deliveries: choose another one.', ['input', 'name']);
    }
    const schema = input.schema == null ? null : jsonText(input.schema, 'schema');
    const example = input.example == null ? null : jsonText(input.example, 'example');
    if (example !== null && !isObject(input.example)) {
      throw new ValidationError('The example is not a JSON object, as data is.', ['input', 'example']);
    }
    if (example !== null && Buffer.byteLength(example) > MAX_EXAMPLE_BYTES) {
      throw new ValidationError('The example is larger than 64 KiB.', ['input', 'example']);
    }
    if (schema !== null) this.#proveUsable(schema, example);
    const row = await this.#database.em().transactional(async (em) => {
      const present = await em.findOne(RegisteredEventType, { tenantId, name });
      if (!present) await assertRoom(em, tenantId);
      const now = new Date();
      return em.upsert(RegisteredEventType, {
        tenantId,
        name,
        description,
        schema,
        example,
        deprecated: deprecated ?? false,
        createdAt: present?.createdAt ?? now,
        updatedAt: now,
      });
    });
    this.#registered.delete(cacheKey(tenantId, name));
    return describe(row, this.#catalogue.find(name));
  }

  /** The event as it may be published, or ValidationError with a path below `input`. */
  async checkEvent(tenantId: string, input: EventInput): Promise<NewEvent> {
    const [event] = await this.#check(tenantId, [input], () => ['input']);
    return event!;
  }

  /** The same for many; the path names the index of the first that is refused. */
  async checkEvents(tenantId: string, inputs: readonly EventInput[]): Promise<NewEvent[]> {
    return this.#check(tenantId, inputs, (index) => ['input', String(index)]);
  }

  /** The example of a type, for a test delivery; null where the type has none, undefined for an unknown type. */
  async exampleOf(tenantId: string, name: string): Promise<Record<string, unknown> | null | undefined> {
    const own = isName(name) ? (await this.#find(tenantId, [name])).get(name) : undefined;
    if (!own && !this.#catalogue.find(name)) return undefined;
    const example = own ? parsed(own.example) : this.#catalogue.find(name)?.example;
    return isObject(example) ? example : null;
  }

  async #check(
    tenantId: string,
    inputs: readonly EventInput[],
    pathOf: (index: number) => readonly string[],
  ): Promise<NewEvent[]> {
    const isLive = (type: string): boolean => this.#catalogue.find(type)?.status === 'LIVE';
    const names = new Set(inputs.map(({ type }) => type).filter((type) => !isLive(type)));
    const own = await this.#find(tenantId, [...names].filter(isName));
    return inputs.map((input, index) => {
      const path = pathOf(index);
      if (isOperationalType(input.type)) throw ownType(input.type, path);
      const type = own.get(input.type);
      if (!type && !isLive(input.type)) {
        throw unpublishable(input.type, this.#catalogue.find(input.type) !== undefined, path);
      }
      const { idempotencyKey, entityId } = parseInput(eventInput, input, path);
      const data = this.#checkData(input.data, type, [...path, 'data']);
      return {
        type: input.type,
        data,
        idempotencyKey: idempotencyKey ?? undefined,
        occurredAt: input.occurredAt ?? undefined,
        entityId: entityId ?? undefined,
      };
    });
  }

  #checkData(
    data: unknown,
    type: RegisteredEventType | undefined,
    path: readonly string[],
  ): Readonly<Record<string, unknown>> {
    if (!isObject(data)) throw new ValidationError('The data is not a JSON object.', path);
    if (isDeeperThan(data, MAX_JSON_DEPTH)) {
      throw new ValidationError(`The data is deeper than ${MAX_JSON_DEPTH} levels.`, path);
    }
    const bytes = Buffer.byteLength(JSON.stringify(data));
    if (bytes > MAX_DATA_BYTES) {
      throw new ValidationError(`The data is too large: ${bytes} bytes of JSON, at most ${MAX_DATA_BYTES}.`, path);
    }
    const refusal = type?.schema == null ? null : this.#checkOf(type.schema)(data, bytes);
    if (refusal !== null) throw new ValidationError(refusal, path);
    return data;
  }

  #checkOf(schema: string): PayloadCheck {
    let check = this.#checks.get(schema);
    if (!check) {
      check = compileSchema(schema);
      this.#checks.set(schema, check);
    }
    return check;
  }

  #proveUsable(schema: string, example: string | null): void {
    let check: PayloadCheck;
    try {
      check = this.#checkOf(schema);
    } catch (error) {
      if (!(error instanceof UnusableSchemaError)) throw error;
      throw new ValidationError(`This schema cannot be used: ${error.message}.`, ['input', 'schema']);
    }
    const refusal = example === null ? null : check(JSON.parse(example), Buffer.byteLength(example));
    if (refusal !== null) throw new ValidationError(refusal.replace(/^The data/, 'The example'), ['input', 'example']);
  }

  async #find(tenantId: string, names: readonly string[]): Promise<Map<string, RegisteredEventType>> {
    const found = new Map<string, RegisteredEventType>();
    const missing: string[] = [];
    for (const name of names) {
      const type = this.#registered.get(cacheKey(tenantId, name));
      if (type) found.set(name, type);
      else missing.push(name);
    }
    if (missing.length === 0) return found;
    const rows = await this.#database
      .em()
      .find(RegisteredEventType, { tenantId, name: { $in: missing } }, { disableIdentityMap: true });
    for (const row of rows) {
      this.#registered.set(cacheKey(tenantId, row.name), row);
      found.set(row.name, row);
    }
    return found;
  }
}

const typeInput = z.object({
  name: text(1, 128, 'The name').regex(NAME, 'A name is lower-case words joined by dots, such as order.paid.'),
  description: text(1, 2_000, 'The description'),
  deprecated: z.boolean().nullish(),
});

const eventInput = z.object({
  idempotencyKey: exactText(1, 255, 'The idempotency key').nullish(),
  entityId: exactText(1, 255, 'The entity id').nullish(),
});

/** Whatever is no name is not looked up. */
const isName = (name: string): boolean => name.length <= 128 && NAME.test(name);

const cacheKey = (tenantId: string, name: string): string => `${tenantId} ${name}`;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const parsed = (json: string | null | undefined): unknown => (json == null ? null : JSON.parse(json));

const jsonText = (value: unknown, field: string): string => {
  if (isDeeperThan(value, MAX_JSON_DEPTH)) {
    throw new ValidationError(`This is deeper than ${MAX_JSON_DEPTH} levels.`, ['input', field]);
  }
  return JSON.stringify(value);
};

const describe = (own: RegisteredEventType | undefined, entry: CatalogueEntry | undefined): EventType => ({
  name: (own?.name ?? entry?.name)!,
  description: (own?.description ?? entry?.description)!,
  status: own ? (own.deprecated ? 'DEPRECATED' : 'LIVE') : entry!.status,
  schema: parsed(own?.schema),
  example: own ? parsed(own.example) : (entry?.example ?? null),
  builtIn: own === undefined,
});

const unpublishable = (type: string, isReserved: boolean, path: readonly string[]): ValidationError => {
  const why = isReserved ? 'is reserved' : 'is unknown';
  const shown = JSON.stringify(type.slice(0, 128));
  return new ValidationError(`The event type ${shown} ${why}: register it with eventTypeRegister first.`, [
    ...path,
    'type',
  ]);
};

const ownType = (type: string, path: readonly string[]): ValidationError =>
  new ValidationError(`Events of the type ${type} are published by hookgraph itself, and by nobody else.`, [
    ...path,
    'type',
  ]);

const assertRoom = async (em: SqlEntityManager, tenantId: string): Promise<void> => {
  if ((await em.count(RegisteredEventType, { tenantId })) < MAX_TYPES_PER_TENANT) return;
  throw new ValidationError(`A tenant has at most ${MAX_TYPES_PER_TENANT} event types of its own.`, ['input', 'name']);
};

/** What an API key may do, READ and WRITE by noun. */
export const SCOPES = [
  'WEBHOOKS_READ',
  'WEBHOOKS_WRITE',
  'EVENTS_PUBLISH',
  'DELIVERIES_READ',
  'DELIVERIES_RETRY',
  'INBOUND_READ',
  'INBOUND_WRITE',
  'INBOUND_REPLAY',
  'DESK_READ',
  'DESK_WRITE',
  'KEYS_MANAGE',
  'TENANTS_MANAGE',
] as const;

export type Scope = (typeof SCOPES)[number];

/** What the first key of a further tenant may do: all that concerns its own tenant. */
export const TENANT_SCOPES: readonly Scope[] = SCOPES.filter((scope) => scope !== 'TENANTS_MANAGE');

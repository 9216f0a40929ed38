export const INBOUND_AUTH_TYPES = [
  'HMAC',
  'STANDARD_WEBHOOKS',
  'ASYMMETRIC',
  'BEARER',
  'BASIC',
  'API_KEY',
  'QUERY_TOKEN',
  'IP_ALLOWLIST',
] as const;

/** What proves that a request is its sender's. */
export type InboundAuthType = (typeof INBOUND_AUTH_TYPES)[number];

/** How a webhook's requests are authenticated: what the API shows, and what the row stores as JSON text. No secrets. */
export interface AuthSettings {
  readonly type: InboundAuthType;
  readonly preset: string | null;
  /** Complete, in the grammar of InboundAuthInput, defaults filled in. */
  readonly config: Readonly<Record<string, unknown>>;
}

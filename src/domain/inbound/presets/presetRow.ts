import type { InboundAuthType } from '../verification/authType.ts';

/** Where a value stands in a request. JSONATA is evaluated on the body; a plain path needs no sandbox for that. */
export interface ValueSource {
  readonly type: 'HEADER' | 'JSONATA';
  readonly value: string;
}

/** A sender as data: everything that is needed to receive from it except secrets. */
export interface PresetRow {
  readonly name: string;
  readonly displayName: string;
  readonly type: InboundAuthType;
  /** In the grammar of InboundAuthInput; defaults are left out. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Keys of config that only the owner knows. */
  readonly requiredConfig: readonly string[];
  /** SENDER: the sender makes the secret and shows it. YOU: the owner gives it to the sender. NONE: there is none. */
  readonly secretFrom: 'SENDER' | 'YOU' | 'NONE';
  readonly eventTypeSource: ValueSource | null;
  /** Null where the sender has nothing that is the same for a repetition and for nothing else. */
  readonly idempotencySource: ValueSource | null;
  readonly handshake: string | null;
  /** The sender's page on this scheme. */
  readonly docsUrl: string;
}

export const header = (value: string): ValueSource => ({ type: 'HEADER', value });
export const jsonata = (value: string): ValueSource => ({ type: 'JSONATA', value });

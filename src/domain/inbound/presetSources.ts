import { findPreset } from './presets/presets.ts';
import type { ValueSource } from './valueSource.ts';

/** Where a sender's event type and idempotency key stand. */
export interface Sources {
  eventTypeSource?: ValueSource | null | undefined;
  idempotencySource?: ValueSource | null | undefined;
}

/** Those of a preset; none without one. */
export const presetSources = (name: string | null) => {
  const preset = name === null ? null : findPreset(name);
  return {
    eventTypeSource: preset?.eventTypeSource ?? null,
    idempotencySource: preset?.idempotencySource ?? null,
  };
};

/** Changes sources that came with a preset, and now go with it: another sender has them elsewhere. Others stay. */
export const changeSources = (sources: Sources, before: string | null, after: string | null): void => {
  if (before === after) return;
  const [old, its] = [presetSources(before), presetSources(after)];
  for (const name of ['eventTypeSource', 'idempotencySource'] as const) {
    const present = sources[name];
    if (present?.type === old[name]?.type && present?.value === old[name]?.value) sources[name] = its[name];
  }
};

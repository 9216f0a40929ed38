import { BUSINESS } from './business.ts';
import { DEVELOPER_TOOLS } from './developerTools.ts';
import { GENERIC } from './generic.ts';
import { MESSAGING } from './messaging.ts';
import type { PresetRow } from './presetRow.ts';

/** All presets, by name. */
export const PRESETS: readonly PresetRow[] = [...BUSINESS, ...DEVELOPER_TOOLS, ...GENERIC, ...MESSAGING].sort((a, b) =>
  a.name < b.name ? -1 : 1,
);

const byName = new Map(PRESETS.map((preset) => [preset.name, preset]));

/** Null where there is none of this name. */
export const findPreset = (name: string): PresetRow | null => byName.get(name) ?? null;

import { BUSINESS } from './business.ts';
import { DEVELOPER_TOOLS } from './developerTools.ts';
import { GENERIC } from './generic.ts';
import { MESSAGING } from './messaging.ts';
import type { PresetProof } from './proof.ts';

/** By the preset's name. */
export const PROOFS: Readonly<Record<string, PresetProof>> = {
  ...BUSINESS,
  ...DEVELOPER_TOOLS,
  ...GENERIC,
  ...MESSAGING,
};

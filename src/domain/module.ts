import type { Action } from './actions/action.ts';
import type { CatalogueEntry } from './events/catalogue.ts';

/**
 * What a bundled module adds to an installation; the GraphQL types that it adds stand in a folder of its name in the
 * schema's room. `program.ts` puts modules together: nothing else knows which ones there are.
 */
export interface Module {
  readonly name: string;
  /** Types that it publishes; they take the place of reserved ones of the same name. */
  readonly eventTypes: readonly CatalogueEntry[];
  readonly actions: readonly Action[];
}

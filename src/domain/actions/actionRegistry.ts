import type { Action } from './action.ts';

/** The actions of this installation. */
export class ActionRegistry {
  readonly #byName: ReadonlyMap<string, Action>;

  /** Throws where two actions have one name: a mistake in the program, not in any input. */
  constructor(actions: readonly Action[]) {
    this.#byName = new Map(actions.map((action) => [action.name, action]));
    if (this.#byName.size < actions.length) throw new Error('two actions have the same name');
  }

  /** By entity, then by name. */
  list(): readonly Action[] {
    return [...this.#byName.values()].sort((a, b) => compare(a.entity, b.entity) || compare(a.name, b.name));
  }

  find(name: string): Action | undefined {
    return this.#byName.get(name);
  }
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * What keeps hookgraph from starting, told to whoever runs it: each line names what is wrong and the remedy, and never
 * the value of a secret. `main` prints the lines on stderr and exits with 1; no stack is shown, so anything that is a
 * defect of hookgraph itself must not become a StartupError.
 */
export class StartupError extends Error {
  override readonly name = 'StartupError';
  readonly lines: readonly string[];

  constructor(lines: string | readonly string[], options?: ErrorOptions) {
    const all = typeof lines === 'string' ? [lines] : [...lines];
    super(all.join('\n'), options);
    this.lines = Object.freeze(all);
  }
}

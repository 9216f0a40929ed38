import { scenarios } from './scenarios.ts';
import { progress, Stage } from './stage.ts';

/** A figure of a scenario, and what it should be. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

const wanted = process.argv.slice(2);
const names = wanted.length === 0 ? ['delivery'] : wanted.includes('all') ? Object.keys(scenarios) : wanted;

for (const name of names) {
  const scenario = scenarios[name];
  if (!scenario) {
    progress(`There is no scenario ${name}: choose of ${Object.keys(scenarios).join(', ')}, or all.`);
    process.exit(2);
  }
  progress(`${name} …`);
  const stage = await Stage.open();
  const interrupted = (): void => void stage.close().finally(() => process.exit(130));
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    const figures: Figure[] = await scenario(stage);
    process.stdout.write(`\n${name}\n`);
    for (const figure of figures) process.stdout.write(`${line(figure)}\n`);
  } finally {
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
    await stage.close();
  }
}

function line({ name, value, unit, atLeast, atMost }: Figure): string {
  const bounds = [...(atLeast === undefined ? [] : [`≥ ${atLeast}`]), ...(atMost === undefined ? [] : [`≤ ${atMost}`])];
  const isMet = value >= (atLeast ?? -Infinity) && value <= (atMost ?? Infinity);
  const target = bounds.length === 0 ? '' : `  ${isMet ? 'met' : 'MISSED'} (${bounds.join(', ')})`;
  const text = unit === 'ratio' ? value.toFixed(2) : unit === 'ms' ? value.toFixed(1) : String(Math.round(value));
  return `  ${name.padEnd(56)} ${text.padStart(9)} ${unit.padEnd(6)}${target}`;
}

import { styleText } from 'node:util';

// Whoever watched has gone, as `head` does.
process.stdout.on('error', () => process.exit(0));

const colourful = process.stdout.isTTY && process.env['NO_COLOR'] === undefined;

type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow' | 'cyan';

/** In colour where the terminal can, plain elsewhere. */
export function paint(style: Style, text: string): string {
  return colourful ? styleText(style, text) : text;
}

export function say(text = ''): void {
  process.stdout.write(`${text}\n`);
}

/** `1234567` as `12,345.67`. */
export function money(cents: number): string {
  return (cents / 100).toLocaleString('en-US', {
    minimumFractionDigits: 2,
    maximumFractionDigits: 2,
  });
}

export function count(number: number): string {
  return number.toLocaleString('en-US');
}

export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

import { UsageError } from './exit-codes.ts';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  ms: 1,
  s: 1_000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
};

/**
 * `1500`, `1500ms`, `30s`, `5m` or `1h` in ms.
 *
 * @throws UsageError
 */
export function parseDuration(option: string): (text: string) => number {
  return (text) => {
    const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)([a-z]*)$/.exec(text) ?? [];
    const factor = UNITS[unit];
    if (number === '' || factor === undefined) {
      throw new UsageError(`${option}: '${text}' is not a duration, such as 500ms, 30s, 5m or 1h.`);
    }
    return Number(number) * factor;
  };
}

/** In two units at most: `850 ms`, `12 s`, `3 m 20 s`, `2 d 4 h`. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const [units, sizes] = [
    ['d', 'h', 'm', 's'],
    [86_400, 3_600, 60, 1],
  ] as const;
  const at = sizes.findIndex((size) => seconds >= size);
  const size = sizes[at] as number;
  const big = `${Math.floor(seconds / size)} ${units[at]}`;
  const rest = Math.floor((seconds % size) / (sizes[at + 1] as number));
  return rest === 0 ? big : `${big} ${rest} ${units[at + 1]}`;
}

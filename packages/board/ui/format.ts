import type { LockRow } from '../src/protocol.ts';

/** In two units at most: `850 ms`, `12 s`, `3 m 20 s`, `2 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return pair(seconds, 60, 'm', 's');
  if (seconds < 86_400) return pair(Math.floor(seconds / 60), 60, 'h', 'm');
  return pair(Math.floor(seconds / 3_600), 24, 'd', 'h');
}

function pair(value: number, size: number, big: string, small: string): string {
  const rest = value % size;
  const first = `${Math.floor(value / size)} ${big}`;
  return rest === 0 ? first : `${first} ${rest} ${small}`;
}

export function count(value: number, one: string, many = `${one}s`): string {
  return `${value.toLocaleString('en-US')} ${value === 1 ? one : many}`;
}

/** Who holds a lock: one, or the first of several and how many more. */
export function heldBy({ label, holders = 1 }: LockRow): string {
  return holders === 1 ? label : `${label} and ${count(holders - 1, 'other')}`;
}

export function clock(at: number): string {
  return new Date(at).toLocaleTimeString('en-GB');
}

/** How bad it is that somebody waits for a lock that is held for so long. */
export function severity(heldFor: number): 'calm' | 'slow' | 'stuck' {
  if (heldFor >= 60_000) return 'stuck';
  return heldFor >= 10_000 ? 'slow' : 'calm';
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Whether rough figures will do: `pnpm bench … --quick`. */
export const quick = process.argv.includes('--quick');

/** The middle of some numbers. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/**
 * Measures variants in turns, so that whatever else the machine does hits all of them alike.
 *
 * @returns the median of each
 */
export async function inTurns<V extends string>(
  variants: readonly V[],
  rounds: number,
  measure: (variant: V) => Promise<number>,
): Promise<Record<V, number>> {
  const all = new Map(variants.map((variant) => [variant, [] as number[]]));
  for (let round = 0; round < rounds; round++) {
    for (const variant of variants) all.get(variant)?.push(await measure(variant));
  }
  return Object.fromEntries(
    variants.map((variant) => [variant, median(all.get(variant) ?? [])]),
  ) as Record<V, number>;
}

/** A file of this package that runs in processes of its own: compiled, as users' programs run. */
export const compiled = (name: string): string =>
  fileURLToPath(new URL(`../dist/${name}.js`, import.meta.url));

/** A process that measures whenever it is asked to. */
export interface Measurer {
  readonly measure: () => Promise<number>;
  readonly end: () => Promise<void>;
}

/** Runs a file of this package in a process of its own; it answers each message with a number. */
export function openChild(name: string, args: readonly string[]): Measurer {
  const child = spawn(process.execPath, [compiled(name), ...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const closed = once(child, 'close');
  const failed = closed.then(() => Promise.reject(new Error(`${args.join(' ')} has ended.`)));
  failed.catch(() => {});
  return {
    measure: async () => {
      child.send('measure');
      const [answer] = (await Promise.race([once(child, 'message'), failed])) as [number];
      return answer;
    },
    end: async () => {
      child.kill();
      await closed;
    },
  };
}

/** Runs a file of this package in a process of its own; it answers with a line of JSON. */
export async function inChild<T>(
  name: string,
  args: readonly string[],
  flags: readonly string[] = ['--expose-gc'],
): Promise<T> {
  const child = spawn(process.execPath, [...flags, compiled(name), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number];
  const answer = output.trim().split('\n').at(-1);
  if (code !== 0 || answer === undefined) throw new Error(`${args.join(' ')} ended with ${code}`);
  return JSON.parse(answer) as T;
}

/**
 * What a process measures, and how many requests it sends: these are counted in another run, as to
 * count costs those most who send most.
 */
export async function timedAndCounted<T extends { readonly requests: number }>(
  name: string,
  args: readonly string[],
): Promise<T> {
  const timed = await inChild<T>(name, args);
  const { requests } = await inChild<T>(name, [...args, '--count']);
  return { ...timed, requests };
}

/** `1.234` as `1.23 ×`. */
export const times = (ratio: number): string => `${ratio.toFixed(2)} ×`;

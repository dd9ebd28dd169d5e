import { variants } from '../alone/variants.ts';
import { holders } from '../redis/holders.ts';

/** Of one library at one size: each figure by its name. */
export interface Point {
  readonly library: string;
  readonly size: number;
  readonly figures: Readonly<Record<string, number>>;
}

/** One plot of a picture. */
interface Panel {
  readonly figure: string;
  /** With its unit. */
  readonly label: string;
}

/** How much a figure of ours may grow between two sizes. */
interface Limit {
  readonly figure: string;
  readonly from: number;
  readonly to: number;
  readonly atMost: number;
}

/** What grows, and what is measured against it: a picture. */
export interface Axis {
  /** What should be flat, for its readers. */
  readonly title: string;
  /** What grows. */
  readonly sizes: string;
  readonly largest: number;
  /** How long each size is measured, in ms. */
  readonly ms: number;
  readonly libraries: readonly string[];
  readonly panels: readonly Panel[];
  readonly limits: readonly Limit[];
}

/** As their users start them: without faster retries than they have by default. */
const ON_REDIS = [
  'holdfast',
  'redlock 5',
  'redlock-universal',
  'redis-semaphore',
  'verrou',
  'simple-redis-mutex',
] as const;

const HEAP = { figure: 'heap', label: 'client heap, MB' };

export const axes = {
  waiters: {
    title: 'More waiters on a held key: commands and CPU should be flat',
    sizes: 'waiters of one process',
    largest: 10_000,
    // Whole rounds of simple-redis-mutex too, which asks every 10 s.
    ms: 20_000,
    libraries: ON_REDIS,
    panels: [
      { figure: 'commands', label: 'server commands a second' },
      { figure: 'cpu', label: 'client CPU, ms a second' },
      HEAP,
    ],
    limits: [
      { figure: 'commands', from: 100, to: 10_000, atMost: 1.5 },
      { figure: 'cpu', from: 100, to: 10_000, atMost: 1.5 },
    ],
  },
  held: {
    title: 'More held locks, renewed: the cost of each should be flat, or fall',
    sizes: 'locks that one process holds',
    largest: 100_000,
    ms: 24_000,
    libraries: Object.keys(holders),
    panels: [
      { figure: 'commands', label: 'server commands a second, per lock' },
      { figure: 'cpu', label: 'client CPU, µs a second, per lock' },
      HEAP,
    ],
    limits: [
      { figure: 'commands', from: 1_000, to: 100_000, atMost: 1.2 },
      { figure: 'cpu', from: 1_000, to: 100_000, atMost: 1.5 },
    ],
  },
  keys: {
    title: 'More keys at once, a task for each: the cost of a lock should be flat, or fall',
    sizes: 'keys, each locked and released again and again',
    largest: 10_000,
    ms: 4_000,
    libraries: ON_REDIS,
    panels: [
      { figure: 'commands', label: 'server commands, per lock' },
      { figure: 'cpu', label: 'client CPU, µs per lock' },
      HEAP,
    ],
    limits: [
      { figure: 'commands', from: 1, to: 10_000, atMost: 1.2 },
      { figure: 'cpu', from: 1, to: 10_000, atMost: 1.2 },
    ],
  },
  processes: {
    title: 'More processes on one key that is held for 5 ms: the cost of a hand-off should be flat',
    sizes: 'processes, a task in each',
    largest: 32,
    ms: 4_000,
    libraries: ON_REDIS,
    panels: [
      { figure: 'commands', label: 'server commands, per hand-off' },
      { figure: 'cpu', label: 'client CPU of all, µs per hand-off' },
      { figure: 'rate', label: 'hand-offs a second of all' },
      { figure: 'heap', label: 'client heap of each, MB' },
    ],
    limits: [
      { figure: 'commands', from: 2, to: 32, atMost: 2 },
      { figure: 'cpu', from: 2, to: 32, atMost: 2 },
    ],
  },
  memory: {
    title: 'In memory, without a server: the CPU of a lock should be flat',
    sizes: 'waiters on one key, or locks held',
    largest: 100_000,
    ms: 0,
    libraries: Object.keys(variants.memory).filter((name) =>
      /^(?:holdfast \(CJS\)|async-mutex \(CJS\)|async-lock)$/.test(name),
    ),
    panels: [
      { figure: 'waiting', label: 'CPU, µs per hand-off to a waiter' },
      { figure: 'waitingHeap', label: 'heap with all waiting, MB' },
      { figure: 'held', label: 'CPU, µs of one more lock beside those held' },
      { figure: 'heldHeap', label: 'heap with all held, MB' },
    ],
    limits: [
      { figure: 'waiting', from: 100, to: 10_000, atMost: 2 },
      { figure: 'held', from: 1_000, to: 100_000, atMost: 1.5 },
    ],
  },
} satisfies Record<string, Axis>;

export type AxisName = keyof typeof axes;
export const AXES = Object.keys(axes) as AxisName[];

/** The sizes up to the largest, from 1 on: powers of ten, or of two where these are few. */
export function sizesOf({ largest }: Axis): number[] {
  const factor = largest > 100 ? 10 : 2;
  const sizes: number[] = [];
  for (let size = 1; size <= largest; size *= factor) sizes.push(size);
  return sizes;
}

import type { Dice } from './dice.ts';
import type { World } from './world.ts';

/** Beside whom a caller wants to hold its keys. */
interface Wish {
  readonly shared: boolean;
  /** For each of the keys. */
  readonly limits: readonly number[];
  readonly weight: number;
}

/** One call for a lock, and what its caller does with it. */
export interface Task {
  readonly kind: 'task';
  readonly at: number;
  readonly process: number;
  readonly callback: boolean;
  readonly keys: readonly string[];
  readonly sharing: Wish;
  readonly wait: number;
  readonly ttl: number;
  readonly owner: string | undefined;
  readonly renew: boolean;
  readonly maxHold: number;
  readonly holdAtLeast: number;
  /** ms that the caller works under the lock. */
  readonly hold: number;
  /** ms after the call when it changes its mind. */
  readonly abortAfter: number | undefined;
  /** To which ttl it extends the lock halfway. */
  readonly extendTo: number | undefined;
  /** It crashes as soon as it has its lock, and gives nothing back. */
  readonly crashes: boolean;
}

/** One who campaigns for the leadership, for so many ms. */
export interface Election {
  readonly at: number;
  readonly process: number;
  readonly ms: number;
}

/** Something that comes from outside. */
export interface Disturbance {
  readonly kind: 'force' | 'steal' | 'evict' | 'forget' | 'pause' | 'suspend' | 'step' | 'close';
  readonly at: number;
  readonly process: number;
  readonly key: string;
  readonly ms: number;
}

/** What happens in one simulation. */
export interface Schedule {
  readonly processes: number;
  readonly keys: readonly string[];
  /** From here on nothing goes wrong any more. */
  readonly calmAt: number;
  /** How probable a fault is for each request. */
  readonly faults: number;
  /** The longest trip of a message, in ms. */
  readonly latency: number;
  readonly tasks: readonly Task[];
  readonly elections: readonly Election[];
  readonly disturbances: readonly Disturbance[];
}

/** How many there are, where the seed is not to decide. */
export interface Sizes {
  /** @default 3 to 6 */
  readonly processes?: number | undefined;
  /**
   * No more than these: each has one holder, and nobody campaigns.
   *
   * @default 4 to 6, those that several may hold, and the leadership
   */
  readonly keys?: number | undefined;
}

const TTLS = [300, 300, 1_000, 1_000, 1_000, 5_000, 25_000];
/** The longest that a task works under its lock, in ms. */
export const LONGEST_HOLD = 1_500;
/** The key of the leadership; no task wants it. */
export const LEADER = 'leader';
/** Those that several may hold: readers, or as many as the name says. */
export const SEVERAL: readonly string[] = ['readers', 'limit-2', 'limit-5'];
/** Callers do not agree on its limit. */
export const DISPUTED = 'disputed';

export function maySeveralHold(key: string): boolean {
  return SEVERAL.includes(key) || key === DISPUTED;
}

/** Whether a conflict may be told to those who want these keys. */
export function isDisputed(keys: readonly string[]): boolean {
  return keys.includes(DISPUTED);
}

/** How many may hold a key at once, by its name. */
export function limitOf(key: string): number {
  return key.startsWith('limit-') ? Number(key.slice('limit-'.length)) : 1;
}

function wishFor(dice: Dice, keys: readonly string[]): Wish {
  const shared = keys.every((key) => key === 'readers') && dice.chance(0.7);
  const known = new Map(
    [...new Set(keys)].map((key) => [key, key === DISPUTED ? dice.pick([2, 2, 3]) : limitOf(key)]),
  );
  const limits = keys.map((key) => known.get(key) as number);
  const [limit = 1] = limits;
  const heavy = known.size === 1 && dice.chance(0.4);
  return { shared, limits, weight: heavy ? dice.between(1, limit) : 1 };
}

export function taskOf(dice: Dice, at: number, process: number, keys: readonly string[]): Task {
  const ttl = dice.pick(TTLS);
  const several = dice.chance(0.15);
  const wanted = several
    ? Array.from({ length: dice.between(2, 3) }, () => dice.pick(keys))
    : [dice.pick(keys)];
  const longHold = dice.chance(0.15);
  const crashes = dice.chance(0.04);
  return {
    kind: 'task',
    at,
    process,
    callback: !crashes && dice.chance(0.4),
    keys: wanted,
    sharing: wishFor(dice, wanted),
    wait: dice.pick([0, 200, 2_000, Infinity, Infinity, Infinity]),
    ttl: crashes ? Math.min(ttl, 1_000) : ttl,
    owner: dice.chance(0.12) ? `owner-${dice.between(1, 2)}` : undefined,
    renew: !crashes && !dice.chance(0.15),
    maxHold: dice.chance(0.06) ? dice.between(50, 600) : Infinity,
    holdAtLeast: dice.chance(0.05) ? dice.between(50, 800) : 0,
    hold: longHold ? dice.between(300, LONGEST_HOLD) : dice.between(0, 60),
    abortAfter: dice.chance(0.15) ? dice.between(0, 1_000) : undefined,
    extendTo: dice.chance(0.1) ? dice.pick(TTLS) : undefined,
    crashes,
  };
}

/** Several tasks of one process that want one key at about the same time, and little else. */
export function crowdOf(
  dice: Dice,
  calmAt: number,
  process: number,
  keys: readonly string[],
): Task[] {
  const at = dice.between(0, calmAt - 1_000);
  const key = dice.pick(keys);
  const ttl = dice.pick(TTLS);
  const many = SEVERAL.includes(key);
  return Array.from({ length: many ? dice.between(4, 14) : dice.between(2, 6) }, () => {
    const task = taskOf(dice, at + dice.between(0, 30), process, keys);
    const wanted = [key, ...task.keys.slice(1)];
    const plain = { wait: Infinity, owner: undefined, holdAtLeast: 0 };
    const hold = dice.between(0, many ? 60 : 10);
    const sharing = wishFor(dice, wanted);
    return { ...task, ...plain, renew: true, crashes: false, ttl, keys: wanted, sharing, hold };
  });
}

/** An owner comes again, and again, perhaps for more or for less, where others may hold beside it. */
export function returnsOf(
  dice: Dice,
  calmAt: number,
  processes: number,
  keys: readonly string[],
): Task[] {
  const several = keys.filter(maySeveralHold);
  if (several.length === 0) return [];
  const at = dice.between(0, calmAt - 2_000);
  const key = dice.pick(several);
  return Array.from({ length: dice.between(3, 6) }, (_, index) => {
    const process = dice.between(0, processes - 1);
    const task = taskOf(dice, at + index * dice.between(20, 200), process, [key]);
    const owner = index % 3 === 1 ? undefined : 'owner-3';
    const wait = dice.pick([0, Infinity, Infinity]);
    const hold = dice.between(100, LONGEST_HOLD);
    return { ...task, owner, wait, hold, holdAtLeast: 0, abortAfter: undefined };
  });
}

/** A few who campaign at about the same time. */
export function electionsOf(dice: Dice, calmAt: number, processes: number): Election[] {
  if (dice.chance(0.5)) return [];
  return Array.from({ length: dice.between(2, 4) }, (): Election => {
    const at = dice.between(0, 2_000);
    const process = dice.between(0, processes - 1);
    return { at, process, ms: dice.between(1_000, calmAt - 2_500) };
  });
}

/** Draws a schedule. All chance of a simulation comes from its world, so a seed is enough to repeat it. */
export function draw(world: World, sizes: Sizes = {}): Schedule {
  const { workload, network, disturbances: outside } = world;
  const drawn = { processes: workload.between(3, 6), keys: workload.between(4, 6) };
  const processes = sizes.processes ?? drawn.processes;
  const plain = Array.from({ length: sizes.keys ?? drawn.keys }, (_, index) => `key-${index}`);
  const keys = sizes.keys === undefined ? [...plain, ...SEVERAL, DISPUTED] : plain;
  const calmAt = workload.between(6_000, 10_000);
  const process = (): number => workload.between(0, processes - 1);
  const scattered = Array.from({ length: workload.between(60, 95) }, () =>
    // Half of them come early, so that there is contention.
    taskOf(workload, workload.between(0, workload.chance(0.5) ? 1_500 : calmAt), process(), keys),
  );
  const crowds = Array.from({ length: workload.between(6, 12) }, () =>
    crowdOf(workload, calmAt, process(), keys),
  );
  const elections = sizes.keys === undefined ? electionsOf(workload, calmAt, processes) : [];
  const returns = returnsOf(workload, calmAt, processes, keys);
  const tasks = [...scattered, ...crowds.flat(), ...returns];
  const kinds: readonly Disturbance['kind'][] = [
    ...(['pause', 'pause', 'pause', 'suspend', 'step', 'force'] as const),
    ...(['steal', 'evict', 'forget', 'close'] as const),
  ];
  const disturbances = Array.from({ length: outside.between(4, 14) }, (): Disturbance => {
    const kind = outside.pick(kinds);
    const long =
      kind === 'suspend'
        ? outside.between(20, outside.pick([600, 3_000]))
        : outside.between(20, 2_500);
    return {
      kind,
      at: outside.between(0, calmAt - 2_500),
      process: outside.between(0, processes - 1),
      key: outside.pick([...keys, LEADER]),
      // Too big to hide that the machine slept.
      ms: kind === 'step' ? outside.pick([-1, 1]) * outside.between(5_000, 60_000) : long,
    };
  });
  return {
    processes,
    keys,
    calmAt,
    faults: network.pick([0, 0.02, 0.05, 0.15]),
    latency: network.pick([0, 2, 20]),
    tasks,
    elections,
    disturbances,
  };
}

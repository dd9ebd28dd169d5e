import type { World } from './world.ts';

/** One call for a lock, and what its caller does with it. */
export interface Task {
  readonly kind: 'task';
  readonly at: number;
  readonly process: number;
  readonly callback: boolean;
  readonly keys: readonly string[];
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
  readonly disturbances: readonly Disturbance[];
}

const TTLS = [300, 300, 1_000, 1_000, 1_000, 5_000, 25_000];
/** The longest that a task works under its lock, in ms. */
export const LONGEST_HOLD = 1_500;

export function taskOf(world: World, at: number, process: number, keys: readonly string[]): Task {
  const ttl = world.pick(TTLS);
  const several = world.chance(0.15);
  const wanted = several
    ? Array.from({ length: world.between(2, 3) }, () => world.pick(keys))
    : [world.pick(keys)];
  const longHold = world.chance(0.15);
  return {
    kind: 'task',
    at,
    process,
    callback: world.chance(0.4),
    keys: wanted,
    wait: world.pick([0, 200, 2_000, Infinity, Infinity, Infinity]),
    ttl,
    owner: world.chance(0.12) ? `owner-${world.between(1, 2)}` : undefined,
    renew: !world.chance(0.15),
    maxHold: world.chance(0.06) ? world.between(50, 600) : Infinity,
    holdAtLeast: world.chance(0.05) ? world.between(50, 800) : 0,
    hold: longHold ? world.between(300, LONGEST_HOLD) : world.between(0, 60),
    abortAfter: world.chance(0.15) ? world.between(0, 1_000) : undefined,
    extendTo: world.chance(0.1) ? world.pick(TTLS) : undefined,
  };
}

/** Several tasks of one process that want one key at about the same time, and little else. */
export function crowdOf(
  world: World,
  calmAt: number,
  process: number,
  keys: readonly string[],
): Task[] {
  const at = world.between(0, calmAt - 1_000);
  const key = world.pick(keys);
  const ttl = world.pick(TTLS);
  return Array.from({ length: world.between(2, 6) }, () => {
    const task = taskOf(world, at + world.between(0, 30), process, keys);
    const wanted = [key, ...task.keys.slice(1)];
    const plain = { wait: Infinity, owner: undefined, renew: true, holdAtLeast: 0 };
    return { ...task, ...plain, ttl, keys: wanted, hold: world.between(0, 10) };
  });
}

/** Draws a schedule. All chance of a simulation comes from its world, so a seed is enough to repeat it. */
export function draw(world: World): Schedule {
  const processes = world.between(3, 6);
  const keys = Array.from({ length: world.between(5, 7) }, (_, index) => `key-${index}`);
  const calmAt = world.between(6_000, 10_000);
  const process = (): number => world.between(0, processes - 1);
  const scattered = Array.from({ length: world.between(52, 85) }, () =>
    // Half of them come early, so that there is contention.
    taskOf(world, world.between(0, world.chance(0.5) ? 1_500 : calmAt), process(), keys),
  );
  const crowds = Array.from({ length: world.between(5, 10) }, () =>
    crowdOf(world, calmAt, process(), keys),
  );
  const tasks = [...scattered, ...crowds.flat()];
  const kinds: readonly Disturbance['kind'][] = [
    ...(['pause', 'pause', 'pause', 'suspend', 'step', 'force'] as const),
    ...(['steal', 'evict', 'forget', 'close'] as const),
  ];
  const disturbances = Array.from({ length: world.between(4, 14) }, (): Disturbance => {
    const kind = world.pick(kinds);
    const long =
      kind === 'suspend' ? world.between(20, world.pick([600, 3_000])) : world.between(20, 2_500);
    return {
      kind,
      at: world.between(0, calmAt - 2_500),
      process: world.between(0, processes - 1),
      key: world.pick(keys),
      // Too big to hide that the machine slept.
      ms: kind === 'step' ? world.pick([-1, 1]) * world.between(5_000, 60_000) : long,
    };
  });
  return {
    processes,
    keys,
    calmAt,
    faults: world.pick([0, 0.02, 0.05, 0.15]),
    latency: world.pick([0, 2, 20]),
    tasks,
    disturbances,
  };
}

import {
  crowdOf,
  DISPUTED,
  electionsOf,
  LEADER,
  LONGEST_HOLD,
  limitOf,
  returnsOf,
  SEVERAL,
  taskOf,
  type Election,
  type Task,
} from '../schedule.ts';
import type { Dice } from '../dice.ts';
import type { World } from '../world.ts';
import type { OldPrimary } from './replica-group.ts';
import type { TopologyName } from './topology.ts';

/** Something that happens to a process or to a server. */
export type Disturbance = { readonly at: number } & (
  | { readonly kind: 'pause' | 'suspend' | 'crash'; readonly process: number; readonly ms: number }
  | { readonly kind: 'step'; readonly process: number; readonly ms: number }
  | { readonly kind: 'close' | 'force'; readonly process: number; readonly key: string }
  | {
      readonly kind: 'silence';
      readonly process: number;
      readonly server: number;
      readonly ms: number;
    }
  | { readonly kind: 'freeze' | 'full' | 'stall'; readonly server: number; readonly ms: number }
  | {
      readonly kind: 'restart';
      readonly server: number;
      readonly ms: number;
      readonly loading: number;
    }
  | { readonly kind: 'lose-data'; readonly server: number; readonly ms: number }
  | { readonly kind: 'flush-scripts' | 'delete'; readonly server: number; readonly key: string }
  | { readonly kind: 'clock'; readonly server: number; readonly ms: number }
  | {
      readonly kind: 'failover';
      readonly server: number;
      readonly old: OldPrimary;
      readonly ms: number;
    }
  | {
      readonly kind: 'slot-move';
      readonly server: number;
      readonly key: string;
      readonly ms: number;
    }
);

type DisturbanceKind = Disturbance['kind'];

/** What happens in one simulation of the whole stack. */
export interface StackSchedule {
  readonly processes: number;
  readonly keys: readonly string[];
  /** From here on nothing goes wrong any more. */
  readonly calmAt: number;
  /** How probable a fault is for each request. */
  readonly faults: number;
  /** The longest trip of a request or an answer, in ms. */
  readonly latency: number;
  /** The longest that a write is on its way to a replica, in ms. */
  readonly lag: number;
  readonly reconnectsOnReadOnly: boolean;
  readonly tasks: readonly Task[];
  readonly elections: readonly Election[];
  readonly disturbances: readonly Disturbance[];
}

const OF_ALL: readonly DisturbanceKind[] = [
  ...(['pause', 'pause', 'suspend', 'crash', 'crash', 'step', 'close', 'force'] as const),
  ...(['silence', 'silence', 'freeze', 'freeze'] as const),
];
const OF_REDIS: readonly DisturbanceKind[] = [
  ...OF_ALL,
  ...(['full', 'restart', 'restart', 'lose-data', 'flush-scripts'] as const),
  ...(['delete', 'clock', 'clock'] as const),
];
const OF_REPLICAS: readonly DisturbanceKind[] = ['failover', 'failover', 'failover', 'stall'];

const KINDS: Readonly<Record<TopologyName, readonly DisturbanceKind[]>> = {
  single: OF_REDIS,
  quorum: OF_REDIS,
  failover: [...OF_REDIS, ...OF_REPLICAS],
  durability: [...OF_REDIS, ...OF_REPLICAS],
  cluster: [...OF_REDIS, 'failover', 'stall', 'slot-move', 'slot-move', 'slot-move'],
  memcached: [...OF_ALL, 'lose-data', 'delete', 'delete'],
};

/** The lease of one who stays, in ms: long enough that nobody asks when it ends. */
const STAYING_TTL = 5_000;

/** Pauses are short most of the time, and sometimes minutes. */
function pauseOf(dice: Dice): number {
  return dice.chance(0.06) ? dice.between(10_000, 120_000) : dice.between(1, 2_500);
}

function disturbanceOf(
  dice: Dice,
  topology: TopologyName,
  { processes, keys, calmAt }: Pick<StackSchedule, 'processes' | 'keys' | 'calmAt'>,
): Disturbance {
  const at = dice.between(0, calmAt - 1_500);
  const process = dice.between(0, processes - 1);
  const server = dice.between(0, 2);
  const key = dice.pick(keys);
  const kind = dice.pick(KINDS[topology]);
  switch (kind) {
    case 'pause':
      return { kind, at, process, ms: pauseOf(dice) };
    case 'suspend':
      return { kind, at, process, ms: dice.between(20, dice.pick([600, 3_000])) };
    case 'crash':
      return { kind, at, process, ms: dice.between(1, 1_500) };
    case 'step': {
      const most = dice.pick([1_000, 60_000, 7_200_000]);
      return { kind, at, process, ms: dice.pick([-1, 1]) * dice.between(501, most) };
    }
    case 'close':
    case 'force':
      return { kind, at, process, key };
    case 'silence':
      return { kind, at, process, server, ms: dice.between(50, 3_000) };
    case 'freeze':
    case 'full':
    case 'stall':
      return { kind, at, server, ms: dice.between(50, dice.pick([400, 3_000])) };
    case 'restart': {
      const loading = dice.chance(0.3) ? dice.between(50, 600) : 0;
      return { kind, at, server, ms: dice.between(1, 800), loading };
    }
    case 'lose-data':
      return { kind, at, server, ms: dice.between(1, 800) };
    case 'flush-scripts':
    case 'delete':
      return { kind, at, server, key };
    case 'clock': {
      const [low, high] = dice.pick([
        [-2_000, -1],
        [1, 40],
        [1, 40],
        [41, 30_000],
      ] as const);
      return { kind, at, server, ms: dice.between(low, high) };
    }
    case 'failover': {
      const old = dice.pick(['dies', 'demoted', 'isolated'] as const);
      return { kind, at, server, old, ms: dice.between(100, 2_000) };
    }
    default:
      return { kind, at, server, key, ms: dice.between(20, 400) };
  }
}

/** Whether several may hold a lock there. */
function hasPermits(topology: TopologyName): boolean {
  return topology === 'single' || topology === 'cluster' || topology === 'failover';
}

/** Few keys, most of them such that several may hold. */
function withSeveral(dice: Dice, alone: readonly string[]): string[] {
  const all = [...SEVERAL, ...SEVERAL, DISPUTED];
  const chosen = Array.from({ length: dice.between(1, 3) }, () => dice.pick(all));
  return [...alone.slice(0, dice.between(1, 2)), ...new Set(chosen)];
}

/** Draws a schedule. All chance of a simulation comes from its world, so a seed is enough to repeat it. */
export function draw(world: World, topology: TopologyName): StackSchedule {
  const { workload, network, disturbances: outside } = world;
  const processes = workload.between(2, 4);
  const alone = Array.from({ length: workload.between(2, 4) }, (_, index) => `key-${index}`);
  const keys = hasPermits(topology) && workload.chance(0.5) ? withSeveral(workload, alone) : alone;
  const calmAt = workload.between(4_000, 7_000);
  const process = (): number => workload.between(0, processes - 1);
  const scattered = Array.from({ length: workload.between(16, 28) }, () =>
    taskOf(workload, workload.between(0, workload.chance(0.5) ? 1_500 : calmAt), process(), keys),
  );
  const crowds = Array.from({ length: workload.between(1, 3) }, () =>
    crowdOf(workload, calmAt, process(), keys),
  );
  const elections = topology === 'quorum' ? [] : electionsOf(workload, calmAt, processes);
  const returns = returnsOf(workload, calmAt, processes, keys);
  const site = { processes, keys: elections.length > 0 ? [...keys, LEADER] : keys, calmAt };
  const drawn: StackSchedule = {
    processes,
    keys,
    calmAt,
    faults: network.pick([0, 0, 0.01, 0.03, 0.1]),
    latency: network.pick([1, 2, 20]),
    // Replicas that are late for every grant would leave no lock to look at.
    lag: network.pick(topology === 'durability' ? [1, 5, 20] : [1, 20, 200]),
    reconnectsOnReadOnly: network.chance(0.5),
    tasks: [...scattered, ...crowds.flat(), ...returns].map((task) =>
      fitting(workload, task, topology),
    ),
    elections,
    disturbances: Array.from({ length: outside.between(2, 8) }, () =>
      disturbanceOf(outside, topology, site),
    ),
  };
  const limited = keys.find((key) => limitOf(key) > 1);
  return limited !== undefined && isMild(drawn) ? quiet(drawn, limited) : drawn;
}

/** Whether little goes wrong. */
function isMild({ faults, disturbances }: StackSchedule): boolean {
  return faults === 0 && disturbances.length <= 5;
}

/**
 * Nothing goes wrong at all, and one has all permits of a key but one, all the while. How long others
 * wait for that one though it is free can only be told so: faults are an excuse for seconds, and
 * whoever holds last lets the next one in.
 */
function quiet(schedule: StackSchedule, key: string): StackSchedule {
  const { calmAt } = schedule;
  const wishes = schedule.tasks.filter(({ keys }) => keys.includes(key));
  const limit = limitOf(key);
  const tasks = schedule.tasks.map((task) => {
    if (!wishes.includes(task)) return task;
    const stays = task === wishes[0];
    const sharing = { shared: false, limits: [limit], weight: stays ? limit - 1 : 1 };
    const light = { ...task, keys: [key], sharing, owner: undefined };
    if (!stays) return light;
    const staying = { at: 0, wait: Infinity, ttl: STAYING_TTL, hold: calmAt, renew: true };
    return { ...light, ...staying, maxHold: Infinity, abortAfter: undefined, extendTo: undefined };
  });
  return { ...schedule, disturbances: [], tasks };
}

/** The shortest lease of a topology, in ms. */
const SHORTEST: Partial<Record<TopologyName, number>> = { quorum: 500, memcached: 2_000 };

/** Some hold a lock for longer, so that there are leases to be lost. */
function fitting(dice: Dice, planned: Task, topology: TopologyName): Task {
  const isLong = dice.chance(0.1);
  // Whole processes crash here.
  const stays = { ...planned, crashes: false };
  const task = isLong ? { ...stays, hold: dice.between(800, LONGEST_HOLD) } : stays;
  const shortest = SHORTEST[topology];
  if (shortest === undefined) return task;
  const { ttl, extendTo } = task;
  return {
    ...task,
    ttl: Math.max(ttl, shortest),
    extendTo: extendTo === undefined ? undefined : Math.max(extendTo, shortest),
  };
}

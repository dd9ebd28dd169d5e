import {
  crowdOf,
  DISPUTED,
  electionsOf,
  LEADER,
  LONGEST_HOLD,
  SEVERAL,
  taskOf,
  type Election,
  type Task,
} from '../schedule.ts';
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

/** Pauses are short most of the time, and sometimes minutes. */
function pauseOf(world: World): number {
  return world.chance(0.06) ? world.between(10_000, 120_000) : world.between(1, 2_500);
}

function disturbanceOf(
  world: World,
  topology: TopologyName,
  { processes, keys, calmAt }: Pick<StackSchedule, 'processes' | 'keys' | 'calmAt'>,
): Disturbance {
  const at = world.between(0, calmAt - 1_500);
  const process = world.between(0, processes - 1);
  const server = world.between(0, 2);
  const key = world.pick(keys);
  const kind = world.pick(KINDS[topology]);
  switch (kind) {
    case 'pause':
      return { kind, at, process, ms: pauseOf(world) };
    case 'suspend':
      return { kind, at, process, ms: world.between(20, world.pick([600, 3_000])) };
    case 'crash':
      return { kind, at, process, ms: world.between(1, 1_500) };
    case 'step': {
      const most = world.pick([1_000, 60_000, 7_200_000]);
      return { kind, at, process, ms: world.pick([-1, 1]) * world.between(501, most) };
    }
    case 'close':
    case 'force':
      return { kind, at, process, key };
    case 'silence':
      return { kind, at, process, server, ms: world.between(50, 3_000) };
    case 'freeze':
    case 'full':
    case 'stall':
      return { kind, at, server, ms: world.between(50, world.pick([400, 3_000])) };
    case 'restart': {
      const loading = world.chance(0.3) ? world.between(50, 600) : 0;
      return { kind, at, server, ms: world.between(1, 800), loading };
    }
    case 'lose-data':
      return { kind, at, server, ms: world.between(1, 800) };
    case 'flush-scripts':
    case 'delete':
      return { kind, at, server, key };
    case 'clock': {
      const [low, high] = world.pick([
        [-2_000, -1],
        [1, 40],
        [1, 40],
        [41, 30_000],
      ] as const);
      return { kind, at, server, ms: world.between(low, high) };
    }
    case 'failover': {
      const old = world.pick(['dies', 'demoted', 'isolated'] as const);
      return { kind, at, server, old, ms: world.between(100, 2_000) };
    }
    default:
      return { kind, at, server, key, ms: world.between(20, 400) };
  }
}

/** Whether several may hold a lock there. */
function hasPermits(topology: TopologyName): boolean {
  return topology === 'single' || topology === 'cluster' || topology === 'failover';
}

/** Few keys, most of them such that several may hold. */
function withSeveral(world: World, alone: readonly string[]): string[] {
  const all = [...SEVERAL, ...SEVERAL, DISPUTED];
  const chosen = Array.from({ length: world.between(1, 3) }, () => world.pick(all));
  return [...alone.slice(0, world.between(1, 2)), ...new Set(chosen)];
}

/** Draws a schedule. All chance of a simulation comes from its world, so a seed is enough to repeat it. */
export function draw(world: World, topology: TopologyName): StackSchedule {
  const processes = world.between(2, 4);
  const alone = Array.from({ length: world.between(2, 4) }, (_, index) => `key-${index}`);
  const keys = hasPermits(topology) && world.chance(0.5) ? withSeveral(world, alone) : alone;
  const calmAt = world.between(4_000, 7_000);
  const process = (): number => world.between(0, processes - 1);
  const scattered = Array.from({ length: world.between(16, 28) }, () =>
    taskOf(world, world.between(0, world.chance(0.5) ? 1_500 : calmAt), process(), keys),
  );
  const crowds = Array.from({ length: world.between(1, 3) }, () =>
    crowdOf(world, calmAt, process(), keys),
  );
  const elections = topology === 'quorum' ? [] : electionsOf(world, calmAt, processes);
  const site = { processes, keys: elections.length > 0 ? [...keys, LEADER] : keys, calmAt };
  return {
    processes,
    keys,
    calmAt,
    faults: world.pick([0, 0, 0.01, 0.03, 0.1]),
    latency: world.pick([1, 2, 20]),
    // Replicas that are late for every grant would leave no lock to look at.
    lag: world.pick(topology === 'durability' ? [1, 5, 20] : [1, 20, 200]),
    reconnectsOnReadOnly: world.chance(0.5),
    tasks: [...scattered, ...crowds.flat()].map((task) => fitting(world, task, topology)),
    elections,
    disturbances: Array.from({ length: world.between(2, 8) }, () =>
      disturbanceOf(world, topology, site),
    ),
  };
}

/** The shortest lease of a topology, in ms. */
const SHORTEST: Partial<Record<TopologyName, number>> = { quorum: 500, memcached: 2_000 };

/** Some hold a lock for longer, so that there are leases to be lost. */
function fitting(world: World, planned: Task, topology: TopologyName): Task {
  const isLong = world.chance(0.1);
  // Whole processes crash here.
  const stays = { ...planned, crashes: false };
  const task = isLong ? { ...stays, hold: world.between(800, LONGEST_HOLD) } : stays;
  const shortest = SHORTEST[topology];
  if (shortest === undefined) return task;
  const { ttl, extendTo } = task;
  return {
    ...task,
    ttl: Math.max(ttl, shortest),
    extendTo: extendTo === undefined ? undefined : Math.max(extendTo, shortest),
  };
}

import type { LockStore } from '@holdfast/core';
import { redisQuorum, redisStore } from '@holdfast/redis';
import { slotOf } from '../../../packages/redis/src/commands/slots.ts';
import type { World } from '../world.ts';
import { ModelRedis, type ModelOptions } from './client.ts';
import { ModelCluster } from './cluster.ts';
import type { Host } from './host.ts';
import type { LuaRuntime } from './lua.ts';
import type { Network } from './network.ts';
import { ReplicaGroup, type OnFailover } from './replica-group.ts';
import { RedisServer, type OnScript } from './server.ts';
import { SlotMap, type OnMove } from './slot-map.ts';

export const TOPOLOGIES = ['single', 'cluster', 'failover', 'quorum', 'durability'] as const;
export type TopologyName = (typeof TOPOLOGIES)[number];

/** How many replicas must have a grant, of two. */
const DURABILITY = { minReplicas: 1, timeout: 100 };

/** What differs from seed to seed. */
export interface TopologyOptions {
  /** The longest that a write is on its way to a replica, in ms. */
  readonly lag: number;
  /** Whether the clients leave a server that has become a replica, as the README tells. */
  readonly reconnectsOnReadOnly: boolean;
  /** Of the locks, as the store has them. */
  readonly lockKeys: readonly string[];
  readonly rewrite: (source: string) => string;
  readonly onScript: OnScript;
  readonly onMove: OnMove;
  readonly onFailover: OnFailover;
}

type UserClient = ModelRedis | ModelCluster;

/** What one process has of a topology. */
export interface ProcessStore {
  readonly store: LockStore;
  /** The user's own. */
  readonly clients: readonly UserClient[];
  /** All that are open, the user's and the store's. */
  readonly connections: ReadonlySet<ModelRedis>;
}

const leaveReplica = (error: Error): 2 | false =>
  error.message.startsWith('READONLY') ? 2 : false;

/** The servers of a simulation, and how processes reach them. */
export class Topology {
  readonly groups: readonly ReplicaGroup[];
  readonly slots: SlotMap | undefined;

  constructor(
    readonly name: TopologyName,
    world: World,
    private readonly network: Network,
    lua: LuaRuntime,
    private readonly options: TopologyOptions,
  ) {
    const { lag, rewrite, onScript, onFailover } = options;
    const slots = name === 'cluster' ? new SlotMap(world, options.onMove) : undefined;
    const server = (group: number, place: number): RedisServer => {
      const rate = 1 + (world.random() - 0.5) / 125;
      const one = new RedisServer(`10.0.${group}.${place}`, 6379, world, rate, {
        lua,
        rewrite,
        onScript,
        slots,
      });
      // Clocks of different servers agree but for a little.
      one.ahead = world.between(0, 20);
      return one;
    };
    const counts = { single: 1, cluster: 3, failover: 1, quorum: 3, durability: 1 };
    const replicas = { single: 0, cluster: 1, failover: 1, quorum: 0, durability: 2 }[name];
    this.groups = Array.from({ length: counts[name] }, (_, group) => {
      const all = Array.from({ length: replicas }, (__, place) => server(group, place + 1));
      return new ReplicaGroup(world, [server(group, 0), ...all], lag, onFailover);
    });
    this.slots = slots;
    if (slots === undefined) return;
    slots.groups = this.groups;
    for (const one of this.servers) {
      one.neighbours.push(...this.servers.filter((other) => other !== one));
    }
  }

  get servers(): readonly RedisServer[] {
    return this.groups.flatMap(({ servers }) => servers);
  }

  /** The servers that grant a lock: one, or those of a quorum. */
  authoritiesOf(lock: string): readonly RedisServer[] {
    if (this.slots !== undefined) return [this.slots.serverOf(lock)];
    return this.groups.map(({ primary }) => primary);
  }

  open(host: Host): ProcessStore {
    const connections = new Set<ModelRedis>();
    const { network } = this;
    const { reconnectsOnReadOnly } = this.options;
    const options: ModelOptions = reconnectsOnReadOnly ? { reconnectOnError: leaveReplica } : {};
    if (this.name === 'cluster') {
      const client = new ModelCluster({ host, network }, this.view(), connections);
      return { store: redisStore(client as never), clients: [client], connections };
    }
    const clients = this.groups.map(
      (group) => new ModelRedis({ host, network, locate: () => group.known }, options, connections),
    );
    if (this.name === 'quorum') {
      return { store: redisQuorum(clients as never), clients, connections };
    }
    const durability = this.name === 'durability' ? DURABILITY : undefined;
    const store = redisStore(clients[0] as never, { durability });
    return { store, clients, connections };
  }

  private view(): ConstructorParameters<typeof ModelCluster>[1] {
    const slots = [...new Set(this.options.lockKeys.map(slotOf))];
    return {
      masters: () => this.groups.map(({ known }) => known),
      ownerOf: (slot) => (this.slots as SlotMap).ownerOf(slot).known,
      slots: () => slots,
    };
  }
}

import type { LockStore } from '@holdfast/core';
import { memcachedStore } from '@holdfast/memcached';
import { redisQuorum, redisStore } from '@holdfast/redis';
import { slotOf } from '../../../packages/redis/src/commands/slots.ts';
import type { World } from '../world.ts';
import type { Branches } from './branches.ts';
import { ModelRedis, type ModelOptions } from './client.ts';
import { ModelCluster } from './cluster.ts';
import type { Host } from './host.ts';
import type { LuaRuntime } from './lua.ts';
import { ModelMemjs, type ModelSocket } from './memcached-client.ts';
import { MemcachedServer, type OnRequest } from './memcached-server.ts';
import type { Network } from './network.ts';
import { ReplicaGroup, type OldPrimary, type OnFailover } from './replica-group.ts';
import { RedisServer, type OnScript } from './server.ts';
import { SlotMap, type OnMove } from './slot-map.ts';
import type { StackServer } from './stack-server.ts';

export const TOPOLOGIES = [
  ...(['single', 'cluster', 'failover', 'quorum', 'durability'] as const),
  'memcached',
] as const;
export type TopologyName = (typeof TOPOLOGIES)[number];
type RedisTopologyName = Exclude<TopologyName, 'memcached'>;

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
  readonly branches?: Branches | undefined;
  readonly onScript: OnScript;
  readonly onMove: OnMove;
  readonly onFailover: OnFailover;
  /** Told of each request that memcached has carried out. */
  readonly onRequest: OnRequest;
  /** Told that somebody is about to end what others hold of a lock. */
  readonly onForce: (lock: string) => void;
}

/** A connection, which is closed for a process that has crashed. */
interface ProcessConnection {
  abandon(): void;
}

/** A client of the user's. */
interface UserClient {
  /** How many scripts, or requests for items, it was asked for. */
  readonly scripts: number;
  /** Those of its connections that stay when all lockers are closed. */
  kept(): readonly ProcessConnection[];
  eventNames(): readonly (string | symbol)[];
}

/** What one process has of a topology. */
export interface ProcessStore {
  readonly store: LockStore;
  readonly clients: readonly UserClient[];
  /** All connections that are open, the user's and the store's. */
  readonly connections: ReadonlySet<ProcessConnection>;
}

/** A server, or a primary with those that can take its place. */
export interface ServerGroup {
  readonly primary: StackServer;
  /** Until when it is being restarted or replaced. */
  busyUntil: number;
  /** Nothing is written to the replicas for a while. */
  stall(ms: number): void;
  /** @returns whether there is a replica that can take over */
  failOver(old: OldPrimary, ms: number): boolean;
}

/** The servers of a simulation, and how processes reach them. */
export interface Topology {
  readonly name: TopologyName;
  readonly groups: readonly ServerGroup[];
  readonly slots: SlotMap | undefined;
  /** The servers that grant a lock: one, or those of a quorum. */
  authoritiesOf(lock: string): readonly StackServer[];
  /** A slot begins to move, if it can. */
  moveSlot(slot: number, to: number, ms: number): boolean;
  open(host: Host): ProcessStore;
}

export function topologyOf(
  name: TopologyName,
  world: World,
  network: Network,
  lua: LuaRuntime,
  options: TopologyOptions,
): Topology {
  return name === 'memcached'
    ? new MemcachedTopology(world, network, options)
    : new RedisTopology(name, world, network, lua, options);
}

const leaveReplica = (error: Error): 2 | false =>
  error.message.startsWith('READONLY') ? 2 : false;

class RedisTopology implements Topology {
  readonly groups: readonly ReplicaGroup[];
  readonly slots: SlotMap | undefined;

  constructor(
    readonly name: RedisTopologyName,
    world: World,
    private readonly network: Network,
    lua: LuaRuntime,
    private readonly options: TopologyOptions,
  ) {
    const { lag, rewrite, branches, onScript, onFailover } = options;
    const slots = name === 'cluster' ? new SlotMap(world, options.onMove) : undefined;
    const server = (group: number, place: number): RedisServer => {
      const rate = 1 + (world.random() - 0.5) / 125;
      const one = new RedisServer(`10.0.${group}.${place}`, 6379, world, rate, {
        lua,
        rewrite,
        branches,
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

  private get servers(): readonly RedisServer[] {
    return this.groups.flatMap(({ servers }) => servers);
  }

  authoritiesOf(lock: string): readonly RedisServer[] {
    if (this.slots !== undefined) return [this.slots.serverOf(lock)];
    return this.groups.map(({ primary }) => primary);
  }

  moveSlot(slot: number, to: number, ms: number): boolean {
    return (
      this.slots?.move(slot, this.groups[to % this.groups.length] as ReplicaGroup, ms) === true
    );
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

/** One memcached, which has no replica and keeps nothing when it is restarted. */
class MemcachedTopology implements Topology {
  readonly name = 'memcached';
  readonly groups: readonly ServerGroup[];
  readonly slots = undefined;
  private readonly server: MemcachedServer;

  constructor(
    world: World,
    private readonly network: Network,
    private readonly options: TopologyOptions,
  ) {
    const rate = 1 + (world.random() - 0.5) / 125;
    this.server = new MemcachedServer('10.0.0.0', 11_211, world, rate, options.onRequest);
    this.server.ahead = world.between(0, 999);
    const alone = { busyUntil: 0, stall: () => {}, failOver: () => false };
    this.groups = [{ primary: this.server, ...alone }];
  }

  authoritiesOf(): readonly StackServer[] {
    return [this.server];
  }

  moveSlot(): boolean {
    return false;
  }

  open(host: Host): ProcessStore {
    const connections = new Set<ModelSocket>();
    const client = new ModelMemjs(host, this.network, this.server, connections);
    const store = memcachedStore(client);
    const forceRelease = store.forceRelease.bind(store);
    store.forceRelease = (key, owner) => {
      this.options.onForce(`{${key}}`);
      return forceRelease(key, owner);
    };
    return { store, clients: [client], connections };
  }
}

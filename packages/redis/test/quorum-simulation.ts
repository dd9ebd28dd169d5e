import assert from 'node:assert/strict';
import {
  memoryStore,
  type AcquireRequest,
  type LockStore,
  type RenewReply,
  type RenewRequest,
} from '@holdfast/core';
import { virtualClock, type VirtualClock } from '@holdfast/testing';
import type {
  NodeAcquireReply,
  NodeAcquireRequest,
  NodeHolder,
  QuorumClock,
  QuorumNode,
} from '../src/quorum/node.ts';
import { QuorumStore } from '../src/quorum/quorum-store.ts';

/**
 * How a server answers: at once; not, because it refuses (`failing`) or because its answer is lost
 * (`losing`); not until it is thawed (`hanging`); late (`slow`).
 */
export type Mode = 'up' | 'failing' | 'losing' | 'hanging' | 'slow';

/** ms until an answer. */
export const QUICK = 1;
export const SLOW = 300;

/** A server's memory, with the same leases as a real one's. */
class SimulatedServer {
  readonly store: LockStore;

  constructor(readonly clock: VirtualClock) {
    this.store = memoryStore({ clock });
  }

  /** Who holds a key. */
  async holder(key: string): Promise<string | undefined> {
    return (await this.store.inspect({ key, client: '' }))?.owner;
  }
}

/** One process's connection to a server: what is sent arrives in order. */
class SimulatedNode implements QuorumNode {
  readonly isOpening = false;
  connected = true;
  latency = QUICK;
  /** How many requests were executed. */
  executed = 0;
  private current: Mode = 'up';
  private frozen: (() => void)[] = [];
  private readonly onReconnected = new Set<() => void>();

  constructor(readonly server: SimulatedServer) {}

  get mode(): Mode {
    return this.current;
  }

  set mode(mode: Mode) {
    this.current = mode;
    if (mode === 'hanging') return;
    for (const execute of this.frozen.splice(0)) execute();
  }

  disconnect(): void {
    this.connected = false;
  }

  reconnect(): void {
    this.connected = true;
    for (const tell of this.onReconnected) tell();
  }

  problem(): Error | undefined {
    return this.connected ? undefined : new Error('not connected');
  }

  opened(): Promise<void> {
    return Promise.resolve();
  }

  acquire(request: NodeAcquireRequest): Promise<NodeAcquireReply> {
    const { key, onlyFree } = request;
    return this.send(async (store) => {
      const held = await store.inspect({ key, client: '' });
      if (onlyFree === true && held !== null && held.owner !== request.owner) {
        return { granted: false, replaced: false, holder: held.owner };
      }
      const asked: AcquireRequest = { ...request, client: 'quorum', tokens: 1, wait: false };
      const { granted, replaced = false } = await store.acquire(asked);
      return { granted, replaced, holder: held?.owner };
    });
  }

  renew(requests: readonly RenewRequest[]): Promise<readonly RenewReply[]> {
    return this.send(async (store) => store.renew(requests));
  }

  release(key: string, id: string, keepFor: number | undefined): Promise<boolean> {
    return this.send(async (store) => store.release({ key, id, keepFor }));
  }

  inspect(key: string): Promise<NodeHolder | null> {
    return this.send(async (store) => {
      const grant = await store.inspect({ key, client: '' });
      return grant === null ? null : { ...grant, remaining: grant.remaining };
    });
  }

  forceRelease(key: string): Promise<boolean> {
    return this.send(async (store) => store.forceRelease(key));
  }

  evictionPolicy(): Promise<string | undefined> {
    return Promise.resolve(undefined);
  }

  listen(onReconnected: () => void): () => void {
    this.onReconnected.add(onReconnected);
    return () => this.onReconnected.delete(onReconnected);
  }

  private send<T>(execute: (store: LockStore) => Promise<T>): Promise<T> {
    const { mode, connected } = this;
    const { clock, store } = this.server;
    return new Promise((resolve, reject) => {
      const answer = (): void => {
        if (mode === 'failing') {
          reject(new Error('failing'));
          return;
        }
        this.executed += 1;
        const reply = execute(store);
        if (mode === 'losing') reject(new Error('lost'));
        else if (mode === 'slow') clock.setTimeout(() => resolve(reply), SLOW - this.latency);
        else resolve(reply);
      };
      const arrive = (): void => {
        if (!connected) reject(new Error('not connected'));
        // Behind what is frozen already.
        else if (this.current === 'hanging') this.frozen.push(answer);
        else answer();
      };
      clock.setTimeout(arrive, this.latency);
    });
  }
}

/** Servers, and a process that is connected to them. */
export interface World {
  readonly clock: VirtualClock;
  readonly servers: readonly SimulatedServer[];
}

export function worldOf(size: number, clock = virtualClock({ seed: 7 })): World {
  return { clock, servers: Array.from({ length: size }, () => new SimulatedServer(clock)) };
}

export interface Process {
  readonly nodes: readonly SimulatedNode[];
  readonly store: QuorumStore;
}

export function processOf({ clock, servers }: World, nodeTimeout?: number): Process {
  const nodes = servers.map((server) => new SimulatedNode(server));
  return { nodes, store: new QuorumStore(nodes, timeOf(clock), { nodeTimeout }) };
}

function timeOf(clock: VirtualClock): QuorumClock {
  return {
    now: () => clock.now(),
    setTimeout: (callback, ms) => clock.setTimeout(callback, ms),
    clearTimeout: (timer) => clock.clearTimeout(timer),
    random: () => clock.random?.() ?? 0.5,
  };
}

export function requestOf(id: string, more: Partial<AcquireRequest> = {}): AcquireRequest {
  const common = { key: 'key', id, owner: id, label: 'test', ttl: 1_000, tokens: 1 };
  return { ...common, client: 'client', wait: true, ...more };
}

/** All ways to give each of `size` servers one of some things. */
export function combinations<T>(things: readonly T[], size: number): T[][] {
  if (size === 0) return [[]];
  return combinations(things, size - 1).flatMap((rest) => things.map((thing) => [...rest, thing]));
}

/** Runs a body for many cases, some at a time on one clock. */
export async function forAll<T>(
  cases: readonly T[],
  body: (item: T, clock: VirtualClock) => Promise<void>,
  ms: number,
): Promise<void> {
  const AT_A_TIME = 25;
  for (let from = 0; from < cases.length; from += AT_A_TIME) {
    const clock = virtualClock({ seed: from });
    const runs = cases.slice(from, from + AT_A_TIME).map((item) => body(item, clock));
    const done = Promise.all(runs);
    await Promise.race([clock.advance(ms), done]);
    await done;
  }
}

/** For one of many cases. */
export function same(actual: unknown, wanted: unknown, about: readonly string[]): void {
  assert.deepEqual(actual, wanted, `${about.join()}: ${String(actual)}, not ${String(wanted)}`);
}

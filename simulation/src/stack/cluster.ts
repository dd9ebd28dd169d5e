import { EventEmitter } from 'node:events';
import { slotOf } from '../../../packages/redis/src/commands/slots.ts';
import { CLOSED, ModelRedis, type ModelOptions, type Site } from './client.ts';
import type { RedisServer } from './server.ts';

/** What a cluster says of itself. */
export interface ClusterView {
  readonly masters: () => readonly RedisServer[];
  /** Who has a slot, as the cluster knows by now. */
  readonly ownerOf: (slot: number) => RedisServer;
  /** The slots of the keys that are used. */
  readonly slots: () => readonly number[];
}

/** As ioredis has them by default, in ms. */
const FAILOVER_DELAY = 100;
const TRY_AGAIN_DELAY = 100;
const REDIRECTIONS = 16;

/** A node's own client does not connect anew: the cluster makes another. */
const NODE_OPTIONS: ModelOptions = { retryStrategy: null, lazyConnect: true };

/** A client of a Redis Cluster, with the shape and the ways of ioredis' `Cluster`. */
export class ModelCluster extends EventEmitter {
  status = 'connecting';
  readonly options: ModelOptions = {};
  /** By slot: the address of its master, as far as is known. */
  readonly slots: (string[] | undefined)[] = [];
  /** How many scripts it was asked to run. */
  scripts = 0;
  private readonly pool = new Map<string, ModelRedis>();
  private offline: (() => void)[] = [];
  private refreshing = false;

  constructor(
    private readonly site: Omit<Site, 'locate'>,
    private readonly view: ClusterView,
    private readonly all: Set<ModelRedis>,
  ) {
    super();
    this.refresh();
  }

  nodes(role: 'all' | 'master' | 'slave' = 'all'): ModelRedis[] {
    return role === 'slave' ? [] : [...this.pool.values()];
  }

  kept(): readonly ModelRedis[] {
    return this.nodes();
  }

  connect(): Promise<void> {
    return Promise.resolve();
  }

  duplicate(): never {
    throw new Error('Nothing of Holdfast duplicates a cluster.');
  }

  disconnect(): void {
    this.status = 'end';
    for (const node of this.pool.values()) node.disconnect();
    this.pool.clear();
    this.tell('end');
    for (const go of this.offline.splice(0)) go();
  }

  evalsha(sha: string, keys: number, words: string[]): Promise<unknown> {
    this.scripts += 1;
    return this.command(['EVALSHA', sha, String(keys), ...words], words[0] ?? '');
  }

  eval(source: string, keys: number, words: string[]): Promise<unknown> {
    this.scripts += 1;
    return this.command(['EVAL', source, String(keys), ...words], words[0] ?? '');
  }

  info(): Promise<unknown> {
    throw new Error('Nothing of Holdfast asks a cluster as a whole.');
  }

  scan(): Promise<unknown> {
    return this.info();
  }

  private async command(words: string[], key: string): Promise<unknown> {
    const slot = slotOf(key);
    let [moved, asking] = [this.slots[slot]?.[0], false];
    for (let left = REDIRECTIONS; ; left--) {
      while (this.status !== 'ready' && this.status !== 'end') await this.online();
      if (this.status === 'end') throw new Error(CLOSED);
      const node = this.nodeAt(moved ?? this.slots[slot]?.[0]);
      try {
        if (node === undefined) throw new Error(CLOSED);
        return await node.request(words, asking);
      } catch (error) {
        if (left === 0) throw new Error('Too many Cluster redirections.', { cause: error });
        const { message } = error as Error;
        const [code = '', , address] = message.split(' ');
        [moved, asking] = [undefined, false];
        if (code === 'MOVED') {
          this.slots[slot] = [address as string];
          this.refresh();
        } else if (code === 'ASK') {
          [moved, asking] = [address, true];
        } else if (code === 'TRYAGAIN') {
          await this.delay(TRY_AGAIN_DELAY);
        } else if (message === CLOSED) {
          await this.delay(FAILOVER_DELAY);
          this.refresh();
        } else {
          throw error;
        }
      }
    }
  }

  /** The client of a node that is known; one that was told of is made. */
  private nodeAt(address: string | undefined): ModelRedis | undefined {
    if (address === undefined) return undefined;
    const known = this.pool.get(address);
    if (known !== undefined) return known;
    const server = this.view.masters().find((one) => one.address === address);
    return server && this.addNode(server);
  }

  private addNode(server: RedisServer): ModelRedis {
    const { address, host, port } = server;
    const options = { ...NODE_OPTIONS, host, port };
    const node = new ModelRedis({ ...this.site, locate: () => server }, options, this.all);
    this.pool.set(address, node);
    node.on('end', () => this.removeNode(address, node));
    node.connect().catch(() => {});
    return node;
  }

  private removeNode(address: string, node: ModelRedis): void {
    if (this.pool.get(address) !== node) return;
    this.pool.delete(address);
    this.tell('-node', node);
    if (this.pool.size > 0 || this.status === 'end') return;
    this.status = 'close';
    this.tell('close');
    this.refresh();
  }

  /** Asks any node who has which slots. */
  private refresh(): void {
    if (this.refreshing || this.status === 'end') return;
    this.refreshing = true;
    const { host, network } = this.site;
    const asked = this.view.masters().filter(({ isUp, isFrozen }) => isUp && !isFrozen);
    const took = asked.length === 0 ? FAILOVER_DELAY : 2 * network.tripTime();
    network.world.after(took, () =>
      host.enter(() => {
        this.refreshing = false;
        if (this.status === 'end') return;
        if (asked.length === 0) this.refresh();
        else this.refreshed();
      }),
    );
  }

  private refreshed(): void {
    const { masters, ownerOf, slots } = this.view;
    for (const slot of slots()) this.slots[slot] = [ownerOf(slot).address];
    const addresses = new Set(masters().map(({ address }) => address));
    for (const server of masters()) if (!this.pool.has(server.address)) this.addNode(server);
    for (const [address, node] of this.pool) if (!addresses.has(address)) node.disconnect();
    if (this.status === 'ready') return;
    this.status = 'ready';
    this.tell('ready');
    for (const go of this.offline.splice(0)) go();
  }

  private online(): Promise<void> {
    return new Promise((resolve) => this.offline.push(resolve));
  }

  private delay(ms: number): Promise<void> {
    const { host, network } = this.site;
    return new Promise((resolve) => {
      network.world.after(ms, () => host.enter(resolve));
    });
  }

  private tell(event: string, ...args: unknown[]): void {
    const { host, network } = this.site;
    network.world.after(0, () => host.enter(() => this.emit(event, ...args)));
  }
}

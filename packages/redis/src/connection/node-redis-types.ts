/** Events, as all clients of node-redis tell them. */
interface NodeRedisEvents {
  /** Whether `connect()` has been called, and nothing has closed the client since. */
  readonly isOpen: boolean;
  // The listener's arguments depend on the event.
  // oxlint-disable-next-line typescript/no-explicit-any
  on(event: string, listener: (...args: any[]) => void): unknown;
  // oxlint-disable-next-line typescript/no-explicit-any
  off(event: string, listener: (...args: any[]) => void): unknown;
}

/**
 * A client of one Redis server: what Holdfast needs of the one that `createClient()` of node-redis
 * (`redis`) 5 and 6 makes. It is the user's: it has to be connected by `connect()`, and Holdfast never
 * closes it.
 */
export interface NodeRedisClient extends NodeRedisEvents {
  readonly isReady: boolean;
  readonly options: object | undefined;
  sendCommand(args: readonly string[], options?: object): Promise<unknown>;
  subscribe(channels: string[], listener: (message: string) => unknown): Promise<unknown>;
  duplicate(overrides?: object): NodeRedisClient;
  connect(): Promise<unknown>;
  destroy(): void;
}

/** A server of a {@link NodeRedisCluster}. */
export interface NodeRedisClusterNode {
  readonly address: string;
  readonly client?: NodeRedisClient | undefined;
}

/** A client of a Redis Cluster: what Holdfast needs of the one that `createCluster()` of node-redis 5 and 6 makes. */
export interface NodeRedisCluster extends NodeRedisEvents {
  readonly masters: readonly NodeRedisClusterNode[];
  readonly slots: readonly { readonly master: NodeRedisClusterNode }[];
  // The parameter is of a type of node-redis' own.
  // oxlint-disable-next-line typescript/no-explicit-any
  nodeClient(node: any): Promise<NodeRedisClient> | NodeRedisClient;
  sendCommand(
    firstKey: string | undefined,
    isReadonly: boolean | undefined,
    args: string[],
    options?: object,
  ): Promise<unknown>;
}

/**
 * A client of the primary that Sentinel names: what Holdfast needs of the one that `createSentinel()` of
 * node-redis 5 and 6 makes.
 */
export interface NodeRedisSentinel extends NodeRedisEvents {
  readonly isReady: boolean;
  getMasterNode(): unknown;
  sendCommand(isReadonly: boolean | undefined, args: string[], options?: object): Promise<unknown>;
}

import type { AnyRedisClient, AnyRedisCluster } from '@holdfast/redis';

/** How a client reaches one server. */
export interface SingleOptions {
  readonly host: string;
  readonly port: number;
  readonly db?: number | undefined;
  readonly keyPrefix?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly tls?: { readonly ca: string } | undefined;
  /** Whether the client sends again what it has no answer to, where it can be told. */
  readonly resends?: boolean | undefined;
}

/** How a client reaches a Cluster. */
export interface ClusterOptions {
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  readonly keyPrefix?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly tls?: { readonly ca: string } | undefined;
  /** Where servers are, by the address that they tell. */
  readonly natMap?: Readonly<Record<string, { readonly host: string; readonly port: number }>>;
  readonly readsFromReplicas?: boolean | undefined;
}

/** How a client reaches the primary that a Sentinel names. */
interface SentinelOptions {
  readonly host: string;
  readonly port: number;
  readonly name: string;
  readonly password?: string | undefined;
  readonly sentinelPassword?: string | undefined;
}

/** A client as a user would make it, of whichever library. */
export interface MadeClient<C extends AnyRedisClient | AnyRedisCluster = AnyRedisClient> {
  readonly client: C;
  /** Breaks the connection; the client connects anew. */
  cut(): Promise<unknown> | void;
  close(): Promise<unknown> | void;
}

/** A library of clients. */
export interface ClientKind {
  readonly name: string;
  /** What it cannot do, by the name of an environment, with the reason. */
  readonly cannot: Readonly<Record<string, string>>;
  /** Whether it can be told to send again, or not, what it has no answer to. */
  readonly maySendAgain: boolean;
  /** Whether replicas can be waited for on a connection of it (`durability`). */
  readonly canWait: boolean;

  single(options: SingleOptions): Promise<MadeClient>;
  cluster(options: ClusterOptions): Promise<MadeClient<AnyRedisCluster>>;
  sentinel(options: SentinelOptions): Promise<MadeClient>;
}

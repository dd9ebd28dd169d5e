import type { RenewReply, RenewRequest, StorePhase } from '@holdfast/core';
import type { NodeAcquireReply, NodeAcquireRequest } from '../scripts/acquire-on-node.ts';

export type { NodeAcquireReply, NodeAcquireRequest };

export interface NodeHolder {
  readonly owner: string;
  readonly label: string;
  /** ms, if it ends. */
  readonly remaining: number | undefined;
}

/**
 * One of the servers. Its verbs are those of a `LockStore`: atomic, idempotent by id, and they reject
 * when the server failed or did not answer. Requests reach the server in the order in which they were
 * sent, but for those that the driver or the server makes come again.
 */
export interface QuorumNode {
  /** Whether it is being connected to for the first time. */
  readonly isOpening: boolean;

  /** Why there is no use in asking it now: it is not connected, or has not answered for long. */
  problem(phase: StorePhase): Error | undefined;
  /** Resolves when it is not opening any more. Never rejects. */
  opened(): Promise<void>;
  acquire(request: NodeAcquireRequest): Promise<NodeAcquireReply>;
  renew(requests: readonly RenewRequest[]): Promise<readonly RenewReply[]>;
  /** @param attempt the last whose grant is to be ended: a request that comes late ends no later one */
  release(
    key: string,
    id: string,
    keepFor: number | undefined,
    attempt: number | undefined,
  ): Promise<boolean>;
  inspect(key: string): Promise<NodeHolder | null>;
  forceRelease(key: string): Promise<boolean>;
  /** A policy that may drop locks, if the server has one. */
  evictionPolicy(): Promise<string | undefined>;
  /** Tells when it is connected again, until the returned function is called. */
  listen(onReconnected: () => void): () => void;
}

/** What a quorum needs of time. */
export interface QuorumClock {
  /** Monotonic, in ms. */
  now(): number;
  /** Calls back once, after what has arrived by then has been read. */
  setTimeout(callback: () => void, ms: number): QuorumTimer;
  clearTimeout(timer: QuorumTimer): void;
  /** In [0, 1). */
  random(): number;
}

export interface QuorumTimer {
  unref?(): unknown;
}

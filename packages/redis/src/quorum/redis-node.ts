import type { RenewReply, RenewRequest, StorePhase } from '@holdfast/core';
import { ScriptCalls } from '../commands/script-calls.ts';
import type { ClientPort, ClientState } from '../connection/port.ts';
import { toStoreError } from '../commands/errors.ts';
import { evictionPolicies } from '../eviction.ts';
import { renewAll } from '../commands/renew-all.ts';
import { NODE_ACQUISITIONS } from '../scripts/acquire-on-node.ts';
import { FORCED_RELEASES } from '../scripts/force-release.ts';
import { INSPECTIONS } from '../scripts/inspect.ts';
import { RELEASES } from '../scripts/release.ts';
import { renewals } from '../scripts/renew.ts';
import type {
  NodeAcquireReply,
  NodeAcquireRequest,
  NodeHolder,
  QuorumClock,
  QuorumNode,
} from './node.ts';
import { StallDetector } from './stall-detector.ts';

/** There are no tokens to be remembered. */
const RENEWALS = renewals(0);

/** Before the first connection. */
const OPENING: ReadonlySet<ClientState> = new Set(['idle', 'opening']);

/** A Redis server, by the user's client. */
export class RedisNode implements QuorumNode {
  private readonly calls: ScriptCalls;
  private readonly stalls: StallDetector;
  /** Whether the client has been disconnected since it is being listened to. */
  private away = false;

  constructor(
    private readonly client: ClientPort,
    clock: QuorumClock,
  ) {
    this.calls = new ScriptCalls(client);
    this.stalls = new StallDetector(clock);
  }

  get isOpening(): boolean {
    return !this.away && OPENING.has(this.client.state);
  }

  problem(phase: StorePhase): Error | undefined {
    // A lazy client connects when it is used.
    if (this.client.state === 'idle') this.client.connect();
    // While it is not connected, the client would keep requests until it is.
    if (this.client.state !== 'ready') return this.unconnected(phase);
    return this.stalls.isStalled ? new Error('The server does not answer.') : undefined;
  }

  opened(): Promise<void> {
    return new Promise((resolve) => {
      const settle = (): void => {
        unwatch();
        resolve();
      };
      const unwatch = this.client.watch({ ready: settle, away: settle, closed: settle });
    });
  }

  acquire(request: NodeAcquireRequest): Promise<NodeAcquireReply> {
    return this.stalls.during(this.calls.one(NODE_ACQUISITIONS, request));
  }

  renew(requests: readonly RenewRequest[]): Promise<readonly RenewReply[]> {
    return this.stalls.during(renewAll(this.calls, RENEWALS, requests));
  }

  async release(
    key: string,
    id: string,
    keepFor: number | undefined,
    attempt: number | undefined,
  ): Promise<boolean> {
    // Also to a server that does not answer: what it was asked before may still be executed.
    if (this.client.state !== 'ready') throw this.unconnected('release');
    return this.stalls.during(this.calls.one(RELEASES, { key, id, keepFor, attempt }));
  }

  async inspect(key: string): Promise<NodeHolder | null> {
    const grant = await this.stalls.during(this.calls.one(INSPECTIONS, { key, member: '-' }));
    // Several may hold a lock of one server alone: on a quorum it is somebody else's data.
    if (grant === null || grant === 'several') return null;
    const { owner, label, remaining } = grant;
    return { owner, label, remaining };
  }

  async forceRelease(key: string): Promise<boolean> {
    return (await this.stalls.during(this.calls.one(FORCED_RELEASES, { key }))) === true;
  }

  async evictionPolicy(): Promise<string | undefined> {
    const [policy] = await evictionPolicies(this.client);
    return policy;
  }

  listen(onReconnected: () => void): () => void {
    const unwatchScripts = this.calls.watch();
    const unwatch = this.client.watch({
      away: () => (this.away = true),
      ready: () => {
        if (this.away) onReconnected();
        this.away = false;
      },
    });
    return () => {
      unwatchScripts();
      unwatch();
    };
  }

  private unconnected(phase: StorePhase): Error {
    return toStoreError(new Error('The client is not connected.'), this.client, phase) as Error;
  }
}

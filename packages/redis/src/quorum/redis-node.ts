import type { RenewReply, RenewRequest, StorePhase } from '@holdfast/core';
import { ScriptCalls } from '../commands/script-calls.ts';
import type { ClientPort, ClientState } from '../connection/port.ts';
import { toStoreError } from '../commands/errors.ts';
import { evictionPolicy } from '../eviction.ts';
import { fromWord, lockKey, queueKey, tokenKey, toWord } from '../redis-keys.ts';
import { renewAll } from '../commands/renew-all.ts';
import { RELEASES } from '../scripts/codec.ts';
import { CLAIM } from '../scripts/claim.ts';
import { FORCE_RELEASE } from '../scripts/force-release.ts';
import { INSPECT } from '../scripts/inspect.ts';
import type { ClaimReply, ClaimRequest, NodeGrant, QuorumClock, QuorumNode } from './node.ts';
import { StallDetector } from './stall-detector.ts';

/** Before the first connection. */
const OPENING: ReadonlySet<ClientState> = new Set(['idle', 'opening']);

/** A Redis server, by the user's client. */
export class RedisNode implements QuorumNode {
  private readonly calls: ScriptCalls;
  private readonly silence: StallDetector;
  /** Whether the client has been disconnected since it is being listened to. */
  private away = false;

  constructor(
    private readonly client: ClientPort,
    clock: QuorumClock,
  ) {
    this.calls = new ScriptCalls(client);
    this.silence = new StallDetector(clock);
  }

  get isOpening(): boolean {
    return !this.away && OPENING.has(this.client.state);
  }

  problem(phase: StorePhase): Error | undefined {
    // A lazy client connects when it is used.
    if (this.client.state === 'idle') this.client.connect();
    // While it is not connected, the client would keep requests until it is.
    if (this.client.state !== 'ready') return this.unconnected(phase);
    return this.silence.isLong ? new Error('The server is silent.') : undefined;
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

  async acquire(request: ClaimRequest): Promise<ClaimReply> {
    const { key, id, owner, label, ttl, replaces, onlyFree } = request;
    const answer = await this.one('acquire', CLAIM, namesOf(key), [
      toWord(id),
      String(ttl),
      replaces === undefined ? '=' : toWord(replaces),
      onlyFree === true ? '1' : '0',
      toWord(label),
      owner === id ? '=' : toWord(owner),
    ]);
    const [kind, holder] = answer as [kind: number, holder: string];
    const replaced = kind >= 2;
    if (kind % 2 === 1) return { granted: true, replaced };
    return { granted: false, replaced, holder: holder === '' ? undefined : fromWord(holder) };
  }

  renew(requests: readonly RenewRequest[]): Promise<readonly RenewReply[]> {
    return this.silence.during(renewAll(this.calls, requests));
  }

  async release(key: string, id: string, keepFor: number | undefined): Promise<boolean> {
    // Also to a server that is silent: what it was asked before may still be executed.
    if (this.client.state !== 'ready') throw this.unconnected('release');
    const [freed] = await this.silence.during(this.calls.all(RELEASES, [{ key, id, keepFor }]));
    if (freed instanceof Error) throw freed;
    return freed === true;
  }

  async inspect(key: string): Promise<NodeGrant | null> {
    const names = [...namesOf(key), tokenKey(key)];
    const answer = await this.one('inspect', INSPECT, names, ['-']);
    if (answer === null) return null;
    const [owner, label, , left] = answer as [
      owner: string,
      label: string,
      _: number,
      left: number,
    ];
    return {
      owner: fromWord(owner),
      label: fromWord(label),
      remaining: left < 0 ? undefined : left,
    };
  }

  async forceRelease(key: string): Promise<boolean> {
    return (await this.one('force-release', FORCE_RELEASE, namesOf(key), [])) === 1;
  }

  evictionPolicy(): Promise<string | undefined> {
    return evictionPolicy(this.client);
  }

  listen(onReconnected: () => void): () => void {
    return this.client.watch({
      away: () => (this.away = true),
      ready: () => {
        if (this.away) onReconnected();
        this.away = false;
      },
    });
  }

  private one(...call: Parameters<ScriptCalls['one']>): Promise<unknown> {
    return this.silence.during(this.calls.one(...call));
  }

  private unconnected(phase: StorePhase): Error {
    return toStoreError(new Error('The client is not connected.'), this.client, phase) as Error;
  }
}

function namesOf(key: string): [lock: string, queue: string] {
  return [lockKey(key), queueKey(key)];
}

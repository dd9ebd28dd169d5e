import type {
  AcquireReply,
  AcquireRequest,
  InspectRequest,
  LockStore,
  ReleaseRequest,
  RenewReply,
  RenewRequest,
  StoreCapabilities,
  StoredGrant,
  StoreEvent,
} from '@holdfast/core';
import { evictionWarning } from '../eviction.ts';
import type { Listener } from '../messages/subscriber.ts';
import { QuorumAcquire } from './acquire.ts';
import {
  askAll,
  count,
  errorsOf,
  majorityOf,
  tally,
  tooManyFailed,
  verdictOf,
} from './majority.ts';
import { QuorumAcquisitions } from './acquisitions.ts';
import { holderOf } from './inspect.ts';
import type { QuorumClock, QuorumNode } from './node.ts';
import { Renewals } from './renew.ts';
import { answerLimitsFor, type AnswerLimits } from './timeouts.ts';

const CAPABILITIES: StoreCapabilities = {
  fencing: 'none',
  wakeUp: 'poll',
  minTtl: 500,
  granularity: 1,
  sharedClock: false,
  exactLoss: true,
};

/** How long first connections may take, in ms, at most half of the ttl. */
const OPENING = 2_000;

/** Settings of a quorum. */
export interface QuorumSettings {
  /** How long one server may take where a majority has answered, in ms; absent: by the ttl. */
  readonly nodeTimeout: number | undefined;
}

/** A lock is held by whom a majority of independent servers has granted it to. */
export class QuorumStore implements LockStore {
  readonly name = 'redis-quorum';
  readonly capabilities = CAPABILITIES;
  /** What this process has under way, for tests. */
  readonly acquisitions: QuorumAcquisitions;
  private readonly acquirer: QuorumAcquire;
  private readonly renewals: Renewals;
  private readonly listeners = new Map<string, Listener>();
  private unlisten: (() => void)[] = [];
  private policyAsked = false;
  private policyWarning: StoreEvent | undefined;

  constructor(
    private readonly nodes: readonly QuorumNode[],
    private readonly clock: QuorumClock,
    private readonly settings: QuorumSettings,
  ) {
    this.acquisitions = new QuorumAcquisitions(nodes, clock);
    this.acquirer = new QuorumAcquire(clock, this.acquisitions);
    this.renewals = new Renewals(nodes, clock, this.acquisitions);
  }

  acquire(request: AcquireRequest): Promise<AcquireReply> {
    const startedAt = this.clock.now();
    const { key, id, ttl } = request;
    const acquisition = this.acquisitions.open(key, id);
    return acquisition.inTurn(async () => {
      const opening = this.opened(Math.min(ttl / 2, OPENING));
      if (opening !== undefined) await opening;
      try {
        return await this.acquirer.acquire(
          acquisition,
          request,
          startedAt,
          this.answerLimitsFor(ttl),
        );
      } finally {
        this.askForPolicies();
      }
    });
  }

  renew(requests: readonly RenewRequest[]): Promise<readonly RenewReply[]> {
    const limits = requests
      .map(({ key, id, ttl }) => (ttl > 0 ? ttl : this.acquisitions.get(key, id)?.request?.ttl))
      .map((ttl) => this.answerLimitsFor(ttl));
    return this.renewals.renew(requests, {
      straggler: Math.max(...limits.map(({ straggler }) => straggler)),
      limit: Math.max(...limits.map(({ limit }) => limit)),
    });
  }

  async release({ key, id, keepFor = 0 }: ReleaseRequest): Promise<boolean> {
    const acquisition = this.acquisitions.recall(key, id);
    acquisition.released = true;
    if (acquisition.ended) return false;
    if (keepFor > 0) acquisition.keepUntil ??= this.clock.now() + keepFor;
    const asked = acquisition.nodeGrants.map((nodeGrant) => nodeGrant.end());
    acquisition.cleared();
    const limits = this.answerLimitsFor(acquisition.request?.ttl);
    const freed = await count(asked, limits, this.clock, (votes) => {
      const verdict = verdictOf(tally(votes, Boolean));
      if (verdict === 'failed') throw tooManyFailed('release', votes.length, errorsOf(votes));
      return verdict === undefined ? undefined : verdict === 'yes';
    });
    acquisition.ended = true;
    return freed;
  }

  async inspect({ key }: InspectRequest): Promise<StoredGrant | null> {
    await this.opened(OPENING);
    const asked = askAll(this.nodes, 'inspect', (node) => node.inspect(key));
    const found = await count(asked, this.answerLimitsFor(), this.clock, (votes) => {
      const errors = errorsOf(votes);
      if (errors.length > votes.length - majorityOf(votes.length)) {
        throw tooManyFailed('inspect', votes.length, errors);
      }
      const holder = holderOf(votes);
      return holder === undefined ? undefined : { holder };
    });
    return found.holder;
  }

  async forceRelease(key: string): Promise<boolean> {
    await this.opened(OPENING);
    const asked = askAll(this.nodes, 'force-release', (node) => node.forceRelease(key));
    return count(asked, this.answerLimitsFor(), this.clock, (votes) => {
      const said = tally(votes, Boolean);
      const { size, yes, no } = said;
      const verdict = verdictOf(said);
      if (verdict === 'failed') throw tooManyFailed('force-release', size, errorsOf(votes));
      if (verdict !== 'no') return verdict === 'yes' ? true : undefined;
      // Those that did not answer may have been the rest of its majority.
      return yes > 0 && size - no >= majorityOf(size);
    });
  }

  subscribe(client: string, listener: Listener): () => void {
    if (this.listeners.size === 0) this.listen();
    this.listeners.set(client, listener);
    const { policyWarning } = this;
    if (policyWarning !== undefined) void Promise.resolve(policyWarning).then(listener);
    return () => {
      if (this.listeners.get(client) !== listener) return;
      this.listeners.delete(client);
      if (this.listeners.size > 0) return;
      for (const stop of this.unlisten.splice(0)) stop();
      this.acquisitions.rest();
    };
  }

  /** Waits for first connections, if without them there would be no majority. */
  private opened(limit: number): Promise<void> | undefined {
    const { nodes, clock } = this;
    const isEnough = (): boolean => {
      const ready = nodes.filter((node) => node.problem('acquire') === undefined).length;
      const opening = nodes.filter(({ isOpening }) => isOpening).length;
      const majority = majorityOf(nodes.length);
      return ready >= majority || ready + opening < majority;
    };
    if (isEnough()) return undefined;
    return new Promise((resolve) => {
      const timer = clock.setTimeout(resolve, limit);
      const look = (): void => {
        if (!isEnough()) return;
        clock.clearTimeout(timer);
        resolve();
      };
      for (const node of nodes) if (node.isOpening) void node.opened().then(look);
    });
  }

  private answerLimitsFor(ttl?: number): AnswerLimits {
    return answerLimitsFor(ttl, this.settings.nodeTimeout);
  }

  private listen(): void {
    for (const [index, node] of this.nodes.entries()) {
      const stop = node.listen(() => {
        this.acquisitions.hurry(index);
        this.tell({ type: 'reconnected' });
      });
      this.unlisten.push(stop);
    }
  }

  private tell(event: StoreEvent): void {
    for (const listener of this.listeners.values()) listener(event);
  }

  /** Once, after the first answer. */
  private askForPolicies(): void {
    if (this.policyAsked) return;
    this.policyAsked = true;
    const warn = (policy: string | undefined): void => {
      if (policy === undefined || this.policyWarning !== undefined) return;
      this.policyWarning = evictionWarning(policy);
      this.tell(this.policyWarning);
    };
    // Whoever may not ask is not warned.
    for (const answer of askAll(this.nodes, 'inspect', (node) => node.evictionPolicy())) {
      answer.then(warn, () => {});
    }
  }
}

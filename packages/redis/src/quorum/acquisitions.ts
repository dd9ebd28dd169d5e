import type { NodeAcquireRequest, QuorumClock, QuorumNode } from './node.ts';
import { NodeGrant, type NodeGrantTiming } from './node-grant.ts';

/** Between two looks at everything: so that looking costs little per acquisition. */
const SWEEP_EVERY = 1_000;

/** One acquisition, and what each server may have granted to it. */
export class QuorumAcquisition implements NodeGrantTiming {
  readonly nodeGrants: readonly NodeGrant[];
  keepUntil: number | undefined = undefined;
  /** What was asked for last, if it was by us. */
  request: NodeAcquireRequest | undefined = undefined;
  /** Its release was asked for. */
  released = false;
  /** A release has been answered. */
  ended = false;
  /** The last of the attempts to acquire, which go one by one. */
  private turn: Promise<unknown> | undefined;

  /** @param known otherwise the servers may hold it already, for all that is known */
  constructor(
    readonly key: string,
    readonly id: string,
    nodes: readonly QuorumNode[],
    clock: QuorumClock,
    known: boolean,
    readonly nextAttempt: () => number,
    private readonly onClear: (acquisition: QuorumAcquisition) => void,
  ) {
    this.nodeGrants = nodes.map((node) => new NodeGrant(node, clock, this, !known));
  }

  /** Runs when what was asked before for this acquisition has been decided. */
  inTurn<T>(run: () => Promise<T>): Promise<T> {
    const before = this.turn;
    const result = before === undefined ? run() : before.then(run, run);
    this.turn = result;
    const over = (): void => {
      if (this.turn !== result) return;
      this.turn = undefined;
      this.cleared();
    };
    result.then(over, over);
    return result;
  }

  /** The servers keep it for `ttl` from now, if they heard of it. */
  keep(ttl: number): void {
    for (const nodeGrant of this.nodeGrants) nodeGrant.keep(ttl);
  }

  /** Ends it in the background. */
  undo(): void {
    for (const nodeGrant of this.nodeGrants) nodeGrant.end().catch(() => {});
  }

  /** One server holds nothing of it any more. */
  cleared(): void {
    if (this.turn !== undefined || this.nodeGrants.some((nodeGrant) => nodeGrant.mayHold)) return;
    this.onClear(this);
  }

  isIdle(now: number): boolean {
    return this.turn === undefined && this.nodeGrants.every((nodeGrant) => nodeGrant.isIdle(now));
  }
}

/** What this process has asked for, until it is over or confirmed to be ended. */
export class QuorumAcquisitions {
  private readonly known = new Map<string, QuorumAcquisition>();
  private sweepAt = SWEEP_EVERY;
  /** How many requests for grants were made. */
  private attempts = 0;

  constructor(
    private readonly nodes: readonly QuorumNode[],
    private readonly clock: QuorumClock,
  ) {}

  get size(): number {
    return this.known.size;
  }

  get(key: string, id: string): QuorumAcquisition | undefined {
    return this.known.get(nameOf(key, id));
  }

  /** For an acquisition that may be a new one. */
  open(key: string, id: string): QuorumAcquisition {
    return this.get(key, id) ?? this.add(key, id, true);
  }

  /** For an acquisition that was made, of which nothing may be known here any more. */
  recall(key: string, id: string): QuorumAcquisition {
    return this.get(key, id) ?? this.add(key, id, false);
  }

  /** A server is back: what is owed to it is asked for now. */
  hurry(node: number): void {
    for (const { nodeGrants } of this.known.values()) nodeGrants[node]?.hurry();
  }

  /** Ends all timers. */
  rest(): void {
    for (const { nodeGrants } of this.known.values())
      for (const nodeGrant of nodeGrants) nodeGrant.rest();
  }

  private add(key: string, id: string, known: boolean): QuorumAcquisition {
    const { nodes, clock } = this;
    const next = (): number => ++this.attempts;
    const acquisition = new QuorumAcquisition(key, id, nodes, clock, known, next, (clear) => {
      if (this.get(key, id) === clear) this.known.delete(nameOf(key, id));
    });
    if (this.known.size >= this.sweepAt) this.sweep();
    this.known.set(nameOf(key, id), acquisition);
    return acquisition;
  }

  /** Drops what has run out without a release. */
  private sweep(): void {
    const now = this.clock.now();
    for (const [name, acquisition] of this.known) {
      if (!acquisition.isIdle(now)) continue;
      for (const nodeGrant of acquisition.nodeGrants) nodeGrant.rest();
      this.known.delete(name);
    }
    this.sweepAt = Math.max(SWEEP_EVERY, this.known.size * 2);
  }
}

/** Encoded keys have no spaces. */
const nameOf = (key: string, id: string): string => `${key} ${id}`;

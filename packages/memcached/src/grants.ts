import type { Version } from './items.ts';

/** A grant of this store, as this process knows it. */
export interface Grant {
  readonly id: string;
  readonly owner: string;
  readonly label: string;
  readonly token: number;
  version: Version;
  /** When it was asked for, by the same clock as {@link until}. */
  readonly askedAt: number;
  /** The end of its lease by this process's monotonic clock, in ms. */
  until: number;
}

/** An acquisition of which it is not known whether it was granted. */
interface UnknownOutcome {
  readonly owner: string;
  readonly until: number;
  /** A request for it was sent and not answered: it may still reach the server. */
  readonly lost: boolean;
}

/** The fewest additions between two sweeps, so that a sweep costs little per entry. */
const SWEEP_EVERY = 1_000;

/** The longest, in ms, that an item may outlive its lease, and a little more. */
const OUTLIVES = 5_000;

/**
 * Remembers this process's grants, so that most requests need not read the item first. All of it may
 * be forgotten: then the item is read. Entries are dropped some time after their lease has ended.
 */
export class Grants {
  /** A dropped grant leaves an empty entry until the next sweep: a `Map` that shrinks and grows is slow. */
  private readonly byKey = new Map<string, Grant | undefined>();
  private readonly unknownOutcomes = new Map<string, UnknownOutcome>();
  private untilSweep = SWEEP_EVERY;

  /** The latest grant of a key. */
  latest(key: string): Grant | undefined {
    return this.byKey.get(key);
  }

  /** Whether another acquisition of this process was granted the key later, and may have it still. */
  isFollowed(key: string, id: string): boolean {
    const grant = this.byKey.get(key);
    return grant !== undefined && grant.id !== id && performance.now() < grant.until + OUTLIVES;
  }

  /** The grant of an acquisition, unless a later one of this process has followed it. */
  of(key: string, id: string): Grant | undefined {
    const grant = this.byKey.get(key);
    return grant?.id === id ? grant : undefined;
  }

  /** Remembers a grant, unless its answer has come so late that a later one of this process has followed it. */
  add(key: string, grant: Grant): void {
    const { id, askedAt } = grant;
    const latest = this.byKey.get(key);
    const isFollowed =
      latest !== undefined &&
      latest.id !== id &&
      latest.askedAt > askedAt &&
      latest.until > performance.now();
    if (isFollowed) return;
    this.byKey.set(key, grant);
    this.sweep();
  }

  drop(key: string, id: string): void {
    if (this.byKey.get(key)?.id === id) this.byKey.set(key, undefined);
    this.arrived(id);
  }

  /** Notes that an acquisition may have been granted, or may yet be. */
  outcomeUnknown(id: string, owner: string, until: number, lost = true): void {
    this.unknownOutcomes.set(id, {
      owner,
      until,
      lost: lost || this.unknownOutcomes.get(id)?.lost === true,
    });
    this.sweep();
  }

  /** No request for this acquisition can reach the server any more. */
  arrived(id: string): void {
    if (this.unknownOutcomes.size > 0) this.unknownOutcomes.delete(id);
  }

  /** The server has answered the latest request; an earlier one that was lost stays unknown. */
  settle(id: string): void {
    if (this.unknownOutcomes.size > 0 && this.unknownOutcomes.get(id)?.lost === false)
      this.unknownOutcomes.delete(id);
  }

  /** The latest time at which a lease of an acquisition with an unknown outcome can end. */
  unknownUntil(id: string): number | undefined {
    return this.unknownOutcomes.get(id)?.until;
  }

  ownerOf(key: string, id: string): string | undefined {
    return (this.of(key, id) ?? this.unknownOutcomes.get(id))?.owner;
  }

  private sweep(): void {
    this.untilSweep -= 1;
    if (this.untilSweep > 0) return;
    const longAgo = performance.now() - OUTLIVES;
    for (const map of [this.byKey, this.unknownOutcomes]) {
      for (const [name, entry] of map) {
        if (entry === undefined || entry.until < longAgo) map.delete(name);
      }
    }
    this.untilSweep = Math.max(SWEEP_EVERY, this.byKey.size + this.unknownOutcomes.size);
  }
}

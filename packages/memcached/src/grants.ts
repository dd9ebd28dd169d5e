import type { Version } from './items.ts';

/** A grant of this store's, as we know it. */
export interface Grant {
  readonly id: string;
  readonly owner: string;
  readonly label: string;
  readonly token: number;
  version: Version;
  /** Until when it was granted, by this process's monotonic clock, in ms. */
  until: number;
}

/** An acquisition whose outcome is not known (yet). */
interface Doubt {
  readonly owner: string;
  readonly until: number;
  /** A request for it went out, was not answered, and may reach the server at any time. */
  readonly lost: boolean;
}

/** Entries, at least, between two looks at everything: so that looking costs little per entry. */
const SWEEP_EVERY = 1_000;

/** An item outlives its promise by this much, in ms, and a little. */
const OUTLIVES = 5_000;

/**
 * What is remembered of our grants, so that most requests need no question first. All of it can be
 * forgotten: then the item is read. What has run out is forgotten.
 */
export class Grants {
  /** What goes leaves its place until the next look: a `Map` that shrinks and grows is slow. */
  private readonly byKey = new Map<string, Grant | undefined>();
  private readonly doubts = new Map<string, Doubt>();
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

  add(key: string, grant: Grant): void {
    this.byKey.set(key, grant);
    this.sweep();
  }

  drop(key: string, id: string): void {
    if (this.byKey.get(key)?.id === id) this.byKey.set(key, undefined);
    this.arrived(id);
  }

  /** It is not known whether an acquisition was granted, or will be. */
  doubt(id: string, owner: string, until: number, lost = true): void {
    this.doubts.set(id, { owner, until, lost: lost || this.doubts.get(id)?.lost === true });
    this.sweep();
  }

  /** Nothing that was asked for it is under way any more. */
  arrived(id: string): void {
    if (this.doubts.size > 0) this.doubts.delete(id);
  }

  /** The server has answered. That is no answer to a request that was lost before. */
  settle(id: string): void {
    if (this.doubts.size > 0 && this.doubts.get(id)?.lost === false) this.doubts.delete(id);
  }

  /** Until when, at the latest, an acquisition whose outcome is not known was to be granted. */
  doubtfulUntil(id: string): number | undefined {
    return this.doubts.get(id)?.until;
  }

  ownerOf(key: string, id: string): string | undefined {
    return (this.of(key, id) ?? this.doubts.get(id))?.owner;
  }

  private sweep(): void {
    this.untilSweep -= 1;
    if (this.untilSweep > 0) return;
    const longAgo = performance.now() - OUTLIVES;
    for (const map of [this.byKey, this.doubts]) {
      for (const [name, entry] of map) {
        if (entry === undefined || entry.until < longAgo) map.delete(name);
      }
    }
    this.untilSweep = Math.max(SWEEP_EVERY, this.byKey.size + this.doubts.size);
  }
}

import type { KnownGrant } from '../scripts/codec.ts';

/** So many vacated places may stay before they are given up. */
const SPARE_PLACES = 1_000;

interface Recent extends KnownGrant {
  /** The {@link RecentGrants.turn} in which it was made. */
  readonly since: number;
}

/**
 * What is held of the grants that were made before messages arrive. A grant that is over leaves its
 * place for the next of its lock: a map that shrinks and grows all the time costs more than all else.
 */
export class RecentGrants {
  private places = new Map<string, Recent | undefined>();
  private held = 0;
  /** By id: those whose lock has been granted again. Their holders may not know. */
  private readonly overtaken = new Map<string, Recent>();
  private turn = 0;

  get size(): number {
    return this.held + this.overtaken.size;
  }

  add({ member, key, id }: KnownGrant): void {
    const before = this.places.get(key);
    if (before === undefined) this.held += 1;
    else if (before.id !== id) this.overtaken.set(before.id, before);
    this.places.set(key, { member, key, id, since: this.turn });
  }

  forget(key: string, id: string): void {
    if (this.places.get(key)?.id !== id) {
      this.overtaken.delete(id);
      return;
    }
    this.places.set(key, undefined);
    this.held -= 1;
    if (this.places.size > SPARE_PLACES && this.held < this.places.size / 2) this.tidy();
  }

  all(): readonly KnownGrant[] {
    return this.recent();
  }

  /** Begins another turn, and tells whether something has been held for all of the one that ends. */
  nextTurn(): boolean {
    this.turn += 1;
    return this.recent().some(({ since }) => since < this.turn - 1);
  }

  clear(): void {
    this.places = new Map();
    this.held = 0;
    this.overtaken.clear();
  }

  private recent(): Recent[] {
    const held = [...this.places.values()].filter((grant) => grant !== undefined);
    return [...held, ...this.overtaken.values()];
  }

  private tidy(): void {
    const places = new Map<string, Recent | undefined>();
    for (const [key, grant] of this.places) if (grant !== undefined) places.set(key, grant);
    this.places = places;
  }
}

import { LockArgumentError } from '../errors.ts';

/** So many keys are looked at per page. */
const LOOKED_AT = 2_000;
/** A walk that nobody goes on with for so long, in ms, is over. */
const ABANDONED_AFTER = 60_000;
/** The most walks that are under way at once. */
const MOST_WALKS = 100;

/** What is walked. */
interface Keys {
  /** Everything that is there all the while comes up. */
  keys(): Iterator<string>;
}

/** One listing of all keys, page by page. */
interface Walk {
  readonly rest: Iterator<string>;
  /** The keys that it came past: a page may be asked for again. */
  readonly passed: string[];
  usedAt: number;
}

/**
 * Listings of the memory store. A `Map` cannot be entered in the middle, so a walk keeps its place
 * between two pages: a cursor names a walk and a place in it.
 */
export class MemoryWalks {
  private readonly walks = new Map<number, Walk>();
  private lastWalk = 0;

  /**
   * Shows the keys of one page, from `cursor` on, until `wants` has had enough.
   *
   * @param wants whether it wants another key after this one
   * @returns the cursor of the next page, if there is one
   * @throws LockArgumentError for a cursor that is not of this store, or too old
   */
  page(
    keys: Keys,
    cursor: string | undefined,
    now: number,
    wants: (key: string) => boolean,
  ): string | undefined {
    this.sweep(now);
    const [id, from] = cursor === undefined ? [this.begin(keys, now), 0] : parse(cursor);
    const walk = this.walks.get(id);
    if (walk === undefined || from > walk.passed.length) {
      throw new LockArgumentError('The cursor is unknown or too old: list from the beginning.');
    }
    this.walks.delete(id);
    this.walks.set(id, walk);
    walk.usedAt = now;
    for (let at = from; ; at++) {
      const key = walk.passed[at] ?? advance(walk);
      const full = key !== undefined && (!wants(key) || at - from >= LOOKED_AT);
      const next = full ? (walk.passed[at + 1] ?? advance(walk)) : key;
      if (full && next !== undefined) return `${id}.${at + 1}`;
      if (next === undefined) {
        // Nobody can go on with a walk of one page.
        if (from === 0) this.walks.delete(id);
        return undefined;
      }
    }
  }

  /** Ends those that were abandoned. */
  sweep(now: number): void {
    for (const [id, { usedAt }] of this.walks) {
      if (now - usedAt < ABANDONED_AFTER && this.walks.size <= MOST_WALKS) return;
      this.walks.delete(id);
    }
  }

  private begin(keys: Keys, now: number): number {
    this.lastWalk += 1;
    this.walks.set(this.lastWalk, { rest: keys.keys(), passed: [], usedAt: now });
    return this.lastWalk;
  }
}

/** The next key that no page has come to yet. */
function advance({ rest, passed }: Walk): string | undefined {
  const { done, value } = rest.next();
  if (done === true) return undefined;
  passed.push(value);
  return value;
}

function parse(cursor: string): [walk: number, from: number] {
  const [, walk, from] = /^(\d{1,15})\.(\d{1,15})$/.exec(cursor) ?? [];
  return [Number(walk), Number(from)];
}

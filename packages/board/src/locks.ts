import { LockArgumentError, type Locker } from '@holdfast/core';
import type { KeyNames } from './key-names.ts';
import type { BoardContext } from './options.ts';
import { holdersOf, rowOf } from './picture.ts';
import type { LockDetails, LockPageReply, LockRow } from './protocol.ts';
import type { Releases } from './releases.ts';

const PAGE = 100;
const LONGEST_PAGE = 500;
/** The most locks that are looked through for one page of a filter. */
const LOOKED_THROUGH = 20_000;

/** What is held, page by page, and one lock in full. */
export class Locks {
  constructor(
    private readonly lockers: ReadonlyMap<string, Locker>,
    private readonly names: KeyNames,
    private readonly releases: Releases,
  ) {}

  /** @throws LockArgumentError */
  async page(query: URLSearchParams): Promise<LockPageReply> {
    const [name, locker] = this.lockerOf(query.get('locker'));
    const filter = (query.get('filter') ?? '').toLowerCase();
    const limit = Math.min(Number(query.get('limit') ?? PAGE) || PAGE, LONGEST_PAGE);
    const locks: LockRow[] = [];
    let cursor = query.get('cursor') ?? undefined;
    let looked = 0;
    do {
      // With a filter most of a page is in vain.
      const wanted = filter === '' ? limit - locks.length : LONGEST_PAGE;
      const page = await locker.list({ limit: wanted, cursor });
      for (const lock of page.locks) {
        // In what is shown, not in the key: else one could find out the keys.
        const labels = holdersOf(lock).map(({ label }) => label);
        const text = [this.names.shown(lock.key), ...labels].join('\n').toLowerCase();
        if (text.includes(filter)) locks.push(rowOf(name, lock, this.names));
      }
      looked += Math.max(page.locks.length, 1);
      cursor = page.cursor;
    } while (cursor !== undefined && locks.length < limit && looked < LOOKED_THROUGH);
    return { locks, cursor };
  }

  /** @returns `undefined` where it is free */
  async details(
    query: URLSearchParams,
    request: Request,
    context: BoardContext,
  ): Promise<LockDetails | undefined> {
    const [name, locker] = this.lockerOf(query.get('locker'));
    const key = this.names.keyOf(query.get('id') ?? '');
    if (key === undefined) throw new LockArgumentError('This board has not named that lock.');
    const lock = await locker.inspect(key);
    if (lock === null) return undefined;
    const action = { type: 'release', locker: name, key } as const;
    const mayRelease = await this.releases.may(request, action, context);
    const heldBy = holdersOf(lock).map(({ label, fencingToken: token, since, remaining }) => {
      return { label, token, since, remaining };
    });
    return { ...rowOf(name, lock, this.names), heldBy, queue: lock.queue ?? [], mayRelease };
  }

  private lockerOf(name: string | null): readonly [string, Locker] {
    const [first] = this.lockers;
    const found = name === null ? first : ([name, this.lockers.get(name)] as const);
    if (found?.[1] === undefined) throw new LockArgumentError('There is no such locker.');
    return [found[0], found[1]];
  }
}

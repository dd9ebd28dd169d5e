import type {
  AcquireReply,
  AcquireRequest,
  ReleaseRequest,
  Sharing,
  StoredGrant,
} from '@holdfast/core';
import { LONGEST_GAP } from './commands/renew-all.ts';
import type { ScriptCalls } from './commands/script-calls.ts';
import type { Subscriber } from './messages/subscriber.ts';
import type { Inspected } from './scripts/inspect.ts';
import { PERMIT_ACQUISITIONS, wantedWords } from './scripts/permits/acquire.ts';
import { PERMIT_ENDINGS, PERMIT_RELEASES } from './scripts/permits/end.ts';
import { PERMIT_INSPECTIONS } from './scripts/permits/inspect.ts';
import { PERMIT_LEAVES, PERMIT_REFRESHES } from './scripts/permits/queue.ts';
import type { Refreshed } from './scripts/refresh.ts';
import type { QueuePlace } from './scripts/reserved.ts';

/** What an acquisition waits for. */
interface Wish {
  readonly id: string;
  readonly words: string;
}

/**
 * Locks that several hold. The scripts for locks that are held alone come first, and say where it is one of
 * these: so a lock that is held alone costs what it would cost without them.
 */
export class Permits {
  /** By locker, then by lock: what it waits for there, where that is not the lock alone. */
  private readonly wanted = new Map<string, Map<string, Wish>>();

  constructor(
    private readonly calls: ScriptCalls,
    private readonly inbox: Subscriber,
    /** How long a key remembers its last token, in ms. */
    private readonly retention: number,
  ) {}

  async acquire(request: AcquireRequest, sharing: Sharing): Promise<AcquireReply> {
    const { key, id, client, wait } = request;
    const member = this.inbox.memberOf(client);
    const heard = this.inbox.connection.live;
    const { retention } = this;
    const reply = await this.calls.one(PERMIT_ACQUISITIONS, {
      request,
      sharing,
      member,
      retention,
    });
    if (reply.granted) {
      if (wait && this.wanted.get(client)?.get(key)?.id === id) this.forget(client, key);
      this.inbox.granted(member, key, id, heard);
    } else if (wait && reply.conflict === undefined) {
      this.waits(client, key, { id, words: wantedWords(sharing) });
      this.inbox.registered(member, key, heard);
    } else if (wait) {
      this.forget(client, key);
    }
    return reply;
  }

  release({ key, id, keepFor, asks }: ReleaseRequest): Promise<boolean> {
    return this.calls.one(PERMIT_RELEASES, { key, id, keepFor, asks });
  }

  /** Ends the permits of an owner, or all. */
  async end(key: string, owner: string | undefined): Promise<boolean> {
    let ended = await this.calls.one(PERMIT_ENDINGS, { key, owner });
    const found = ended !== 'none';
    while (ended === 'more') ended = await this.calls.one(PERMIT_ENDINGS, { key, owner });
    return found;
  }

  /** @param hints as the usual script has answered: below 0 where several hold the lock */
  async refresh(
    places: readonly Refreshed[],
    hints: readonly (number | Error)[],
  ): Promise<readonly (number | Error)[]> {
    const several = places.filter((_, index) => isBelowZero(hints[index]));
    if (several.length === 0) return hints;
    const others = (await this.calls.all(PERMIT_REFRESHES, several, LONGEST_GAP)).values();
    return hints.map((hint) => (isBelowZero(hint) ? (others.next().value ?? 0) : hint));
  }

  async leave(registration: QueuePlace, left: Promise<boolean>): Promise<void> {
    if (await left) await this.calls.one(PERMIT_LEAVES, registration);
  }

  async inspect(
    asked: Inspected,
    seen: Promise<StoredGrant | 'several' | null>,
  ): Promise<StoredGrant | null> {
    const grant = await seen;
    return grant === 'several' ? this.calls.one(PERMIT_INSPECTIONS, asked) : grant;
  }

  /** As {@link inspect}, for many locks and without their queues. */
  async look(
    asked: readonly Inspected[],
    seen: readonly (StoredGrant | 'several' | null | Error)[],
  ): Promise<readonly (StoredGrant | null | Error)[]> {
    const several = asked.filter((_, index) => seen[index] === 'several');
    const replies = several.length === 0 ? [] : await this.calls.all(PERMIT_INSPECTIONS, several);
    const others = replies.values();
    return seen.map((grant) => {
      if (grant !== 'several') return grant;
      const other = others.next().value ?? null;
      return other === null || other instanceof Error ? other : { ...other, queue: undefined };
    });
  }

  /** What a locker waits for, where that is not the lock alone. */
  wantedBy(client: string, key: string): string | undefined {
    return this.wanted.get(client)?.get(key)?.words;
  }

  /** A locker waits for a lock no longer, or for the lock alone; or it waits for nothing any more. */
  forget(client: string, key?: string): void {
    const locks = this.wanted.get(client);
    if (locks === undefined) return;
    if (key !== undefined) locks.delete(key);
    if (key === undefined || locks.size === 0) this.wanted.delete(client);
  }

  private waits(client: string, key: string, wish: Wish): void {
    const locks = this.wanted.get(client);
    if (locks === undefined) this.wanted.set(client, new Map([[key, wish]]));
    else locks.set(key, wish);
  }
}

function isBelowZero(hint: number | Error | undefined): boolean {
  return typeof hint === 'number' && hint < 0;
}

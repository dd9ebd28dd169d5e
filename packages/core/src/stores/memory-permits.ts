import {
  RESERVATION,
  type AcquireReply,
  type AcquireRequest,
  type RenewReply,
  type Sharing,
} from '../store.ts';
import { KeptEntry, type MemoryGrants } from './memory-grants.ts';
import type { MemoryQueues } from './memory-queues.ts';
import { SharedKey, type Permit } from './memory-shared-key.ts';

/** The keys that several hold, each with a permit. */
export class MemoryPermits {
  constructor(
    private readonly grants: MemoryGrants,
    private readonly queues: MemoryQueues,
  ) {}

  /** A key that several hold, if it is one, without what has run out. */
  shared(key: string, now: number): SharedKey | undefined {
    const entry = this.grants.live(key, now);
    if (!(entry instanceof SharedKey)) return undefined;
    if (entry.endExpired(now)) this.serve(key, now);
    return this.grants.entries.get(key) === entry ? entry : undefined;
  }

  /** Who wants a permit. */
  decide(request: AcquireRequest, sharing: Sharing, now: number): AcquireReply {
    const { grants, queues } = this;
    const { key, owner, client, wait } = request;
    const shared = this.shared(key, now);
    if (shared !== undefined) return this.decideAmong(request, sharing, shared, now);
    const entry = grants.live(key, now);
    if (entry === undefined) {
      const turn = queues.turn(key, now);
      if (turn !== undefined && !(turn === client && wait)) {
        return { granted: false, retryAfter: queues.reservedUntil(key) - now };
      }
    } else if (entry.owner === owner && !(entry instanceof KeptEntry)) {
      grants.endEarly(key, entry, 'superseded');
    } else {
      if (sharing.limit !== 1) return { granted: false, conflict: 1 };
      const delay = queues.delay(key, client, now);
      return { granted: false, retryAfter: entry.expiresAt - now + delay };
    }
    return this.grantFirst(request, sharing, now);
  }

  /**
   * Who wants a key alone that is shared by others, or by nobody but its owner.
   *
   * @returns `undefined` if it is not shared any more
   */
  decideBeside(request: AcquireRequest, shared: SharedKey, now: number): AcquireReply | undefined {
    const { grants, queues } = this;
    const { key, owner, client, wait, givesUp } = request;
    if (this.shared(key, now) !== shared) return undefined;
    // What it was woken for, it does not want any more.
    let changed = wait && shared.limit === 1 && shared.unreserve(client);
    const own = shared.of(owner);
    if (own !== undefined && shared.isAll(own)) {
      grants.endEarly(key, own, 'superseded');
      if (wait) queues.remove(key, client);
      return grants.grant(request, now);
    }
    if (shared.limit !== 1) return { granted: false, conflict: shared.limit };
    if (own !== undefined && givesUp === true) {
      this.giveUp(key, shared, own);
      changed = true;
    }
    if (changed) {
      this.serve(key, now);
      if (grants.entries.get(key) !== shared) return undefined;
    }
    return { granted: false, retryAfter: shared.expiresAt - now };
  }

  renew(shared: SharedKey, id: string, ttl: number, now: number): RenewReply {
    const permit = shared.permits.get(id);
    if (permit === undefined || permit.expiresAt <= now || permit.kept) {
      return this.grants.ended.get(id)?.reason ?? 'evicted';
    }
    if (ttl > 0) {
      permit.expiresAt = Math.max(permit.expiresAt, Math.ceil(now) + ttl);
      shared.endsAt(permit.expiresAt);
    }
    return 'renewed';
  }

  /** @param asks whether its client asks for the key by itself right after this */
  release(
    key: string,
    shared: SharedKey,
    id: string,
    now: number,
    keepFor: number,
    asks: boolean,
  ): boolean {
    const permit = shared.permits.get(id);
    if (permit === undefined) return false;
    if (keepFor > 0) {
      permit.kept = true;
      permit.expiresAt = Math.ceil(now + keepFor);
      shared.endsAt(permit.expiresAt);
      return true;
    }
    shared.remove(permit);
    this.serve(key, now, asks ? permit.client.id : undefined);
    this.grants.flush();
    return true;
  }

  forceRelease(key: string, owner: string | undefined, now: number): boolean {
    const shared = this.shared(key, now);
    let found = false;
    for (const permit of shared?.permits.values() ?? []) {
      if (owner !== undefined && permit.owner !== owner) continue;
      found = true;
      this.grants.endEarly(key, permit, 'forced');
      shared?.remove(permit);
    }
    this.serve(key, now);
    this.grants.flush();
    return found;
  }

  /**
   * Serves those who wait for a key, whatever they want it for, as far as there is room.
   *
   * @param asking the client that asks by itself, and need not be woken
   */
  serve(key: string, now: number, asking?: string): void {
    const { grants, queues } = this;
    const entry = grants.live(key, now);
    if (!(entry instanceof SharedKey)) {
      if (entry === undefined) queues.turn(key, now);
      return;
    }
    for (;;) {
      if (entry.isEmpty) {
        grants.entries.delete(key);
        queues.turn(key, now);
        return;
      }
      const head = queues.head(key, now);
      if (head === undefined) return;
      const { client, sharing } = head;
      const conflicts = (sharing?.limit ?? 1) !== entry.limit;
      if (!conflicts && !entry.fits(sharing)) return;
      queues.remove(key, client);
      // One with another limit is to ask, and hear of it.
      if (!conflicts) entry.reserve(client, sharing?.weight ?? 1, Math.ceil(now) + RESERVATION);
      if (conflicts || client !== asking) grants.tell(client, { type: 'wake', key });
    }
  }

  private decideAmong(
    request: AcquireRequest,
    sharing: Sharing,
    shared: SharedKey,
    now: number,
  ): AcquireReply {
    const { queues } = this;
    const { key, id, owner, client, wait, ttl, givesUp } = request;
    // Its turn is over with this request, whatever comes of it.
    const woken = wait && shared.unreserve(client);
    const same = shared.permits.get(id);
    const own = shared.of(owner);
    if (sharing.limit !== shared.limit) {
      if (own === undefined || !shared.isAll(own)) {
        return { granted: false, conflict: shared.limit };
      }
      this.grants.endEarly(key, own, 'superseded');
      return this.grantFirst(request, sharing, now);
    }
    // Released, and kept busy: the request is late.
    if (same?.kept === true) {
      if (woken) this.serve(key, now);
      return { granted: false, retryAfter: shared.nextEnd - now };
    }
    if (same !== undefined) {
      same.expiresAt = Math.max(same.expiresAt, Math.ceil(now) + ttl);
      shared.endsAt(same.expiresAt);
      // A request that came late: another acquisition of its client may be in line.
      if (wait) queues.forget(client, key, id);
      if (woken) this.serve(key, now);
      return { granted: true, token: same.token, tokens: 1 };
    }
    if (own !== undefined && shared.fits(sharing, own.weight)) {
      this.giveUp(key, shared, own);
      return this.grantPermit(request, sharing, shared, now);
    }
    const head = queues.head(key, now);
    const itsTurn = woken || head === undefined || (wait && head.client === client);
    if (itsTurn && shared.fits(sharing)) return this.grantPermit(request, sharing, shared, now);
    const gaveUp = own !== undefined && givesUp === true;
    if (gaveUp) this.giveUp(key, shared, own);
    if (woken || gaveUp) this.serve(key, now);
    return { granted: false, retryAfter: shared.nextEnd - now + (itsTurn ? 0 : RESERVATION) };
  }

  /**
   * An owner's earlier permit is ended by its later request: granted, or waiting because others hold the key
   * too. Whoever waits keeps nothing back: it would wait for itself, and two who both want more for each other.
   */
  private giveUp(key: string, shared: SharedKey, own: Permit): void {
    this.grants.endEarly(key, own, 'superseded');
    shared.remove(own);
  }

  /** The first permit of a key that is free, or whose grant was ended. */
  private grantFirst(request: AcquireRequest, sharing: Sharing, now: number): AcquireReply {
    const { grants } = this;
    const by = grants.clientOf(request);
    const first = new SharedKey(sharing.limit, by, grants.lastToken + 1, Math.floor(now));
    grants.entries.set(request.key, first);
    return this.grantPermit(request, sharing, first, now);
  }

  private grantPermit(
    request: AcquireRequest,
    { weight }: Sharing,
    shared: SharedKey,
    now: number,
  ): AcquireReply {
    const { grants, queues } = this;
    const { key, id, owner, ttl, client, wait } = request;
    if (wait) {
      queues.remove(key, client);
      queues.forget(client, key, id);
    }
    grants.ended.delete(id);
    const token = grants.lastToken + 1;
    grants.lastToken = token;
    shared.add({
      id,
      owner,
      client: grants.clientOf(request),
      token,
      grantedAt: Math.floor(now),
      expiresAt: Math.ceil(now) + ttl,
      weight,
      kept: false,
    });
    this.serve(key, now);
    const room = queues.head(key, now) === undefined ? shared.room : 0;
    return { granted: true, token, tokens: 1, room };
  }
}

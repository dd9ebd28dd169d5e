import type { Context } from '../context.ts';
import type { MaybePromise } from '../store.ts';
import { SlotMap } from '../util/slot-map.ts';
import type { Lease } from './lease.ts';

/** What this process holds and has not lost: by stored key, and permits by their id besides. */
export class HeldLocks {
  /** Called when the last lock is gone. */
  onIdle: (() => void) | undefined = undefined;
  /** By stored key, who holds it alone. */
  readonly alone = new SlotMap<Lease>();
  private readonly permits = new Map<string, Map<string, Lease>>();
  private permitCount = 0;

  constructor(private readonly context: Context) {}

  get size(): number {
    return this.alone.size + this.permitCount;
  }

  /** Anyone who holds a key, alone or beside others. */
  any(stored: string): Lease | undefined {
    return this.alone.get(stored) ?? this.permits.get(stored)?.values().next().value;
  }

  /** The grant of this id. */
  find(stored: string, id: string): Lease | undefined {
    const lease = this.alone.get(stored);
    return lease?.id === id ? lease : this.permits.get(stored)?.get(id);
  }

  *values(): IterableIterator<Lease> {
    yield* this.alone.values();
    for (const permits of this.permits.values()) yield* permits.values();
  }

  /** A lease begins. */
  add(lease: Lease): void {
    if (lease.settings.sharing !== undefined) {
      this.addPermit(lease);
    } else {
      const older = this.alone.set(lease.stored, lease);
      // The store has granted the key anew: what we believed to hold is gone, and by whom is known.
      if (older !== undefined) loseTo(older, lease);
      if (this.permitCount > 0) this.permitsOf(lease.stored).forEach((one) => loseTo(one, lease));
    }
    this.context.renewer.schedule(lease);
  }

  /** Its holder releases it: the lease passes to the next of this process, or ends on the store. */
  release(lease: Lease, now: number): MaybePromise<boolean> {
    const { queues, releases } = this.context;
    const isPermit = lease.settings.sharing !== undefined;
    if (isPermit) this.removePermit(lease);
    else this.alone.vacate(lease.stored);
    let freed: MaybePromise<boolean> | undefined;
    const queue = queues.byKey.get(lease.stored);
    if (queue === undefined) {
      freed = releases.release(lease, now);
    } else {
      const kept = lease.keepUntil > now;
      freed = kept ? undefined : queue.succeed(lease, now);
      if (freed === undefined) {
        // Most often there is room now, and the store need not tell of it first.
        const asks = isPermit && !kept ? queue.contender : undefined;
        freed = releases.release(lease, now, undefined, asks && true);
        queue.review();
        asks?.ask();
      }
    }
    if (this.onIdle !== undefined && this.size === 0) this.onIdle();
    return freed;
  }

  /** It was lost. */
  remove(lease: Lease): void {
    if (this.find(lease.stored, lease.id) !== lease) return;
    if (lease.settings.sharing !== undefined) this.removePermit(lease);
    else this.alone.delete(lease.stored);
    // Those in line have to ask the store now.
    this.context.queues.byKey.get(lease.stored)?.review();
    if (this.size === 0) this.onIdle?.();
  }

  private addPermit(lease: Lease): void {
    const { stored, id, settings } = lease;
    // Nobody holds it alone beside a permit, nor twice with one owner.
    const older = this.alone.get(stored);
    if (older !== undefined) loseTo(older, lease);
    if (settings.owner !== undefined) {
      for (const one of this.permitsOf(stored)) {
        if (one.settings.owner === settings.owner) loseTo(one, lease);
      }
    }
    const permits = this.permits.get(stored);
    if (permits === undefined) this.permits.set(stored, new Map([[id, lease]]));
    else permits.set(id, lease);
    this.permitCount += 1;
  }

  private removePermit({ stored, id }: Lease): void {
    const permits = this.permits.get(stored);
    if (permits?.delete(id) !== true) return;
    if (permits.size === 0) this.permits.delete(stored);
    this.permitCount -= 1;
  }

  private permitsOf(stored: string): Lease[] {
    return [...(this.permits.get(stored)?.values() ?? [])];
  }
}

/** The store has granted a key anew, and so ended what we believed to hold. */
function loseTo(older: Lease, lease: Lease): void {
  const { owner } = lease.settings;
  const same = owner !== undefined && owner === older.settings.owner;
  older.lose(same ? 'superseded' : 'stolen');
}

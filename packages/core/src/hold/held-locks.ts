import type { Context } from '../context.ts';
import type { MaybePromise } from '../store.ts';
import { SlotMap } from '../util/slot-map.ts';
import type { Lease } from './lease.ts';

/** By stored key: what this process holds and has not lost. */
export class HeldLocks {
  /** Called when the last lock is gone. */
  onIdle: (() => void) | undefined = undefined;
  private readonly leases = new SlotMap<Lease>();

  constructor(private readonly context: Context) {}

  get size(): number {
    return this.leases.size;
  }

  get(stored: string): Lease | undefined {
    return this.leases.get(stored);
  }

  values(): IterableIterator<Lease> {
    return this.leases.values();
  }

  /** A lease begins. */
  add(lease: Lease): void {
    const older = this.leases.set(lease.stored, lease);
    if (older !== undefined) {
      // The store has granted the key anew: what we believed to hold is gone, and by whom is known.
      const { owner } = lease.settings;
      const same = owner !== undefined && owner === older.settings.owner;
      older.lose(same ? 'superseded' : 'stolen');
    }
    this.context.renewer.schedule(lease);
  }

  /** Its holder releases it: the lease passes to the next of this process, or ends on the store. */
  release(lease: Lease, now: number): MaybePromise<boolean> {
    const { queues, releases } = this.context;
    const queue = queues.get(lease.stored);
    const kept = lease.keepUntil > now;
    this.leases.vacate(lease.stored);
    let freed = kept ? undefined : queue?.succeed(lease, now);
    if (freed === undefined) {
      freed = releases.release(lease, now);
      queue?.review();
    }
    if (this.size === 0) this.onIdle?.();
    return freed;
  }

  /** It was lost. */
  remove(lease: Lease): void {
    if (this.leases.get(lease.stored) !== lease) return;
    this.leases.delete(lease.stored);
    // Those in line have to ask the store now.
    this.context.queues.get(lease.stored)?.review();
    if (this.size === 0) this.onIdle?.();
  }
}

import {
  MAX_QUEUE_SHOWN,
  REGISTRATION,
  RESERVATION,
  type AcquireRequest,
  type QueuedClient,
  type Sharing,
} from '../store.ts';

/** A client's place in a queue. */
interface Registration {
  until: number;
  label: string;
  /** What it waits for: a permit, or the key alone. */
  sharing: Sharing | undefined;
  readonly since: number;
}

/** What an acquisition waits for. */
interface Wish {
  readonly id: string;
  readonly sharing: Sharing;
}

/** The clients that wait for one key. */
interface Queue {
  /** By client, in the order of their coming. */
  readonly registered: Map<string, Registration>;
  /** The client that was woken, and until when nobody else is granted the key. */
  reservedFor: string | undefined;
  reservedUntil: number;
}

/**
 * Who waits for which key, first come, first served: short registrations, and for the first in line a
 * short reservation when the key becomes free. There are no timers: whoever asks moves a queue on.
 */
export class MemoryQueues {
  private readonly queues = new Map<string, Queue>();
  /**
   * By client and key, what a client waits for, if not for the key alone: also while it is in no queue, for
   * its next refresh.
   */
  private readonly wanted = new Map<string, Map<string, Wish>>();

  constructor(private readonly wake: (client: string, key: string) => void) {}

  /** Most of the time nobody waits for anything. */
  get isEmpty(): boolean {
    return this.queues.size === 0;
  }

  /** Whose turn it is at a free key: a reservation is made, and passed on when it has run out. */
  turn(key: string, now: number): string | undefined {
    const queue = this.of(key);
    if (queue === undefined) return undefined;
    const { registered } = queue;
    if (queue.reservedFor !== undefined) {
      if (now < queue.reservedUntil) return queue.reservedFor;
      const client = queue.reservedFor;
      const renewed = registered.get(client);
      registered.delete(client);
      // One that has registered anew since then waits behind the others.
      if (renewed !== undefined && renewed.until - REGISTRATION >= queue.reservedUntil) {
        registered.set(client, { ...renewed, since: renewed.until - REGISTRATION });
      }
      queue.reservedFor = undefined;
    }
    const next = this.first(queue, now);
    if (next === undefined) {
      this.queues.delete(key);
      return undefined;
    }
    queue.reservedFor = next;
    queue.reservedUntil = now + RESERVATION;
    this.wake(next, key);
    return next;
  }

  /**
   * Registers a client, at the end unless it is there already.
   *
   * @param asked who waits, and what for; absent: as it was
   */
  register(key: string, client: string, now: number, asked?: AcquireRequest): void {
    let queue = this.queues.get(key);
    if (queue === undefined) {
      queue = { registered: new Map(), reservedFor: undefined, reservedUntil: 0 };
      this.queues.set(key, queue);
    }
    this.first(queue, now);
    const until = now + REGISTRATION;
    const registration = queue.registered.get(client);
    if (asked !== undefined) this.wants(asked);
    const sharing = this.wanted.get(client)?.get(key)?.sharing;
    if (registration === undefined) {
      queue.registered.set(client, { until, label: asked?.label ?? '', sharing, since: now });
    } else {
      registration.until = until;
      registration.sharing = sharing;
      if (asked !== undefined) registration.label = asked.label;
    }
  }

  /** Who is first in line, and what for; of no account to it is for whom the key is reserved. */
  head(key: string, now: number): { client: string; sharing: Sharing | undefined } | undefined {
    const queue = this.of(key);
    const client = queue && this.first(queue, now);
    if (client === undefined) return undefined;
    return { client, sharing: queue?.registered.get(client)?.sharing };
  }

  remove(key: string, client: string): void {
    const queue = this.of(key);
    if (queue === undefined) return;
    queue.registered.delete(client);
    if (queue.reservedFor === client) queue.reservedFor = undefined;
    if (queue.registered.size === 0) this.queues.delete(key);
  }

  has(key: string, client: string): boolean {
    return this.queues.get(key)?.registered.has(client) === true;
  }

  /**
   * A client waits for a key no more, or for none at all any more.
   *
   * @param id of the acquisition that was granted: another may wait meanwhile
   */
  forget(client: string, key?: string, id?: string): void {
    const wishes = this.wanted.get(client);
    if (wishes === undefined) return;
    if (key !== undefined && id !== undefined && wishes.get(key)?.id !== id) return;
    if (key !== undefined) wishes.delete(key);
    if (key === undefined || wishes.size === 0) this.wanted.delete(client);
  }

  /** How long after a holder's lease a client should ask: the first in line goes first. */
  delay(key: string, client: string, now: number): number {
    const queue = this.queues.get(key);
    return queue === undefined || this.first(queue, now) === client ? 0 : RESERVATION;
  }

  /** When the reservation of a key ends. */
  reservedUntil(key: string): number {
    return this.queues.get(key)?.reservedUntil ?? 0;
  }

  /** How many clients other than this one are registered. */
  count(key: string, client: string, now: number): number {
    let count = 0;
    for (const [id, { until }] of this.of(key)?.registered ?? []) {
      if (id !== client && until > now) count += 1;
    }
    return count;
  }

  /** The first of the clients other than this one. */
  shown(key: string, client: string, now: number): QueuedClient[] {
    const shown: QueuedClient[] = [];
    for (const [id, { until, label, since }] of this.of(key)?.registered ?? []) {
      if (shown.length === MAX_QUEUE_SHOWN) break;
      if (id !== client && until > now) shown.push({ label, since });
    }
    return shown;
  }

  /** Drops the queues that everybody has deserted. */
  sweep(now: number): void {
    for (const [key, queue] of this.queues) {
      const reserved = queue.reservedFor !== undefined && now < queue.reservedUntil;
      if (!reserved && this.first(queue, now) === undefined) this.queues.delete(key);
    }
  }

  private wants({ key, client, id, sharing }: AcquireRequest): void {
    if (sharing === undefined) {
      this.forget(client, key);
      return;
    }
    const wishes = this.wanted.get(client);
    if (wishes === undefined) this.wanted.set(client, new Map([[key, { id, sharing }]]));
    else wishes.set(key, { id, sharing });
  }

  private of(key: string): Queue | undefined {
    return this.isEmpty ? undefined : this.queues.get(key);
  }

  /** The first client whose registration has not run out; those before it are dropped. */
  private first({ registered, reservedFor }: Queue, now: number): string | undefined {
    for (const [client, { until }] of registered) {
      if (until > now || client === reservedFor) return client;
      registered.delete(client);
    }
    return undefined;
  }
}

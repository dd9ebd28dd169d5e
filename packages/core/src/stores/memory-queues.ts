import { REGISTRATION, RESERVATION } from '../store.ts';

/** The clients that wait for one key. */
interface Queue {
  /** Until when each is registered, in the order of their coming. */
  readonly registered: Map<string, number>;
  /** The client that was woken, and until when nobody else is granted the key. */
  reservedFor: string | undefined;
  reservedUntil: number;
}

/**
 * Who waits for which key, as contract 6.2 has it: short registrations, and for the first in line a
 * short reservation when the key becomes free. There are no timers: whoever asks moves a queue on.
 */
export class MemoryQueues {
  private readonly queues = new Map<string, Queue>();

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
      registered.delete(queue.reservedFor);
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

  /** Registers a client, at the end unless it is there already. */
  register(key: string, client: string, now: number): void {
    let queue = this.queues.get(key);
    if (queue === undefined) {
      queue = { registered: new Map(), reservedFor: undefined, reservedUntil: 0 };
      this.queues.set(key, queue);
    }
    this.first(queue, now);
    queue.registered.set(client, now + REGISTRATION);
  }

  remove(key: string, client: string): void {
    const queue = this.of(key);
    if (queue === undefined) return;
    queue.registered.delete(client);
    if (queue.reservedFor === client) queue.reservedFor = undefined;
    if (queue.registered.size === 0) this.queues.delete(key);
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
    for (const [id, until] of this.queues.get(key)?.registered ?? []) {
      if (id !== client && until > now) count += 1;
    }
    return count;
  }

  /** Drops the queues that everybody has deserted. */
  sweep(now: number): void {
    for (const [key, queue] of this.queues) {
      const reserved = queue.reservedFor !== undefined && now < queue.reservedUntil;
      if (!reserved && this.first(queue, now) === undefined) this.queues.delete(key);
    }
  }

  private of(key: string): Queue | undefined {
    return this.isEmpty ? undefined : this.queues.get(key);
  }

  /** The first client whose registration has not run out; those before it are dropped. */
  private first({ registered, reservedFor }: Queue, now: number): string | undefined {
    for (const [client, until] of registered) {
      if (until > now || client === reservedFor) return client;
      registered.delete(client);
    }
    return undefined;
  }
}

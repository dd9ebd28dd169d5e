import type { Grant, Lease } from '../hold/lease.ts';
import { HeldLock } from '../hold/lock.ts';
import type { LockSettings } from '../options.ts';
import type { MaybePromise } from '../store.ts';
import type { Lock } from '../types.ts';
import { isPromiseLike } from '../util/promises.ts';
import { Acquisition } from './acquisition.ts';
import { ask, type Sent } from './attempt.ts';
import { Waiter, type NamedKey } from './waiter.ts';

/**
 * Asks for a lock with one key. Where nobody of this process is before us the store is asked at once;
 * with an embedded store that is most often all there is to it.
 *
 * @param demanding whether a lock that stays busy is an error; otherwise it is `null`
 */
export function acquire(
  settings: LockSettings,
  key: string,
  stored: string,
  demanding: boolean,
): MaybePromise<Lock | null> {
  const { context, storeOwner } = settings;
  const { time, queues, ids } = context;
  const sentAt = time.now();
  if (queues.isTaken(stored, settings)) {
    return new KeyAcquisition(settings, { key, stored }, demanding, sentAt).start();
  }
  const id = ids.next();
  const registers = queues.mayWait(settings);
  const reply = ask(settings, stored, id, storeOwner, registers);
  if (!isPromiseLike(reply) && reply.granted) {
    const tenure = queues.tenureOf(reply.token, reply.tokens);
    // No time has passed: the store answered in the same call.
    const lock = new HeldLock(
      settings,
      key,
      stored,
      { id, sentAt, token: reply.token, tenure },
      sentAt,
    );
    lock.announce(0);
    return lock;
  }
  const acquisition = new KeyAcquisition(settings, { key, stored }, demanding, sentAt, id);
  return acquisition.start({ sentAt, registers, reply });
}

/** A call for a lock with one key. */
class KeyAcquisition extends Acquisition {
  readonly owner: string | undefined;
  protected readonly waiter: Waiter;

  constructor(
    settings: LockSettings,
    named: NamedKey,
    demanding: boolean,
    since: number,
    id?: string,
  ) {
    super(settings, [named.key], demanding, since);
    this.owner = settings.storeOwner;
    this.waiter = new Waiter(this, named, id);
  }

  start(sent?: Sent): Promise<Lock | null> {
    this.begin();
    this.context.queues.request(this.waiter, sent);
    this.limit();
    return this.lock;
  }

  granted({ key, stored }: Waiter, grant: Grant, now: number): Lease {
    const lock = new HeldLock(this.settings, key, stored, grant, now);
    this.succeed(lock, now);
    return lock;
  }

  protected giveBack(): void {
    this.waiter.withdraw();
  }
}

import type { LockStoreError } from '../errors.ts';
import { isFresh, type Grant, type Lease } from '../hold/lease.ts';
import { announce, type Handle } from '../hold/lock-events.ts';
import { HeldLock } from '../hold/lock.ts';
import type { LockSettings } from '../options.ts';
import type { AcquireReply } from '../store.ts';
import type { Pending } from '../util/store-calls.ts';
import type { Timeout } from '../util/timeouts.ts';
import type { Lock } from '../types.ts';
import { Acquisition, type Call } from './acquisition.ts';
import { ask, Attempt, type Sent } from './attempt.ts';
import { Waiter } from './waiter.ts';

/**
 * Asks for a lock with one key. Where nobody of this process is before us the store is asked at once;
 * with an embedded store that is most often all there is to it.
 */
export function acquire(
  settings: LockSettings,
  key: string,
  stored: string,
  call: Call,
): Handle | Promise<Lock | null> {
  const { time, queues, ids } = settings.context;
  // A sleep before it must not count as one that came after.
  const sentAt = time.checkedNow();
  if (queues.isTaken(stored, settings)) {
    return new KeyAcquisition(settings, key, stored, call, sentAt).wait();
  }
  const id = ids.next();
  const registers = queues.mayWait(settings);
  const now = sentAt - time.suspended;
  const reply = ask(settings, stored, id, settings.storeOwner, registers, undefined, now);
  if ('then' in reply) {
    return new KeyAcquisition(settings, key, stored, call, sentAt, id).await(reply, registers);
  }
  if (!reply.granted) {
    const acquisition = new KeyAcquisition(settings, key, stored, call, sentAt, id);
    return acquisition.wait({ sentAt, registers, reply });
  }
  // No time has passed: the store answered in the same call.
  const lock = new HeldLock(settings, key, stored, queues.grantOf(id, reply, sentAt), sentAt);
  announce(lock, 0);
  return lock;
}

/**
 * A call for a lock with one key. As long as nobody else of this process wants the key, and the store
 * simply grants it, there is nothing but this: otherwise a waiter and its attempt see to the rest.
 */
export class KeyAcquisition extends Acquisition implements Pending<AcquireReply> {
  list: Timeout['list'] = undefined;
  timeoutAt = 0;
  earlier: Timeout | undefined = undefined;
  later: Timeout | undefined = undefined;
  readonly phase = 'acquire';
  /** The first request, while it is under way. */
  private reply: PromiseLike<AcquireReply> | undefined = undefined;
  /** Whether it asked for a place in the key's queue. */
  private registers = false;
  private wish: Waiter | undefined = undefined;

  constructor(
    settings: LockSettings,
    readonly key: string,
    readonly stored: string,
    call: Call,
    since: number,
    private readonly id?: string,
  ) {
    super(settings, call, since);
  }

  get keys(): readonly string[] {
    return [this.key];
  }

  get owner(): string | undefined {
    return this.settings.storeOwner;
  }

  /** @param sent its first request, if it was answered already; else somebody is before it */
  wait(sent?: Sent): Promise<Lock | null> {
    this.context.queues.request(this.waiter, sent, sent === undefined);
    this.limit();
    return this.answer();
  }

  /** Waits for the answer to its first request; nobody is before it. */
  await(reply: PromiseLike<AcquireReply>, registers: boolean): Promise<Lock | null> {
    const { context, settings, stored, since } = this;
    const { storeTimeout } = settings.timing;
    this.reply = reply;
    this.registers = registers;
    if (registers) context.queues.alone.set(stored, this);
    context.calls.await(this, reply, storeTimeout, since);
    // Most often it is answered long before its limit, which needs no timer then.
    if (settings.wait > 0 && settings.wait <= storeTimeout) this.limit();
    return this.answer();
  }

  answered(reply: AcquireReply): void {
    const { context, settings, key, stored, since } = this;
    const now = context.time.checkedNow();
    if (!reply.granted || !isFresh(since, settings.timing, now)) {
      this.handOver().answered(reply);
      return;
    }
    if (this.registers) context.queues.alone.vacate(stored);
    const grant = context.queues.grantOf(this.id as string, reply, since);
    this.succeed(new HeldLock(settings, key, stored, grant, now), now);
  }

  errored(error: LockStoreError): void {
    this.handOver().errored(error);
  }

  timedOut(): void {
    // The attempt has the same limit, and so it runs out in the same look at the timeouts.
    this.handOver(this.reply);
  }

  /** The attempt hears of it too. */
  late(): void {}

  granted({ key, stored }: Waiter, grant: Grant, now: number): Lease {
    const lock = new HeldLock(this.settings, key, stored, grant, now);
    this.succeed(lock, now);
    return lock;
  }

  /** What asks for it from now on: somebody else wants the key too, or the store does not simply grant it. */
  asAttempt(): Attempt {
    return this.handOver(this.reply);
  }

  get waiter(): Waiter {
    if (this.wish !== undefined) return this.wish;
    if (this.reply !== undefined) return this.handOver(this.reply).waiter;
    this.wish = new Waiter(this, this, this.id);
    return this.wish;
  }

  protected giveBack(): void {
    this.waiter.withdraw();
  }

  /** @param reply of the first request, if that is still under way */
  private handOver(reply?: PromiseLike<AcquireReply>): Attempt {
    const { context, stored, registers, since } = this;
    const waiter = new Waiter(this, this, this.id);
    const attempt = new Attempt(waiter, context.queues, registers);
    this.wish = waiter;
    waiter.attempt = attempt;
    if (registers) context.queues.alone.set(stored, attempt);
    context.timeouts.end(this);
    attempt.takeOver(since, reply);
    this.limit();
    return attempt;
  }
}

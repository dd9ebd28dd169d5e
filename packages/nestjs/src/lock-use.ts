import { runWithLock, setRenewal, type Lock } from '@holdfast/core';

/** Learns how a {@link LockUse} ends. */
export interface LockUseOwner {
  /** Nothing uses the lock any more, and it is released. */
  ended(lockUse: LockUse): void;
  /** The ttl ran out before anybody consumed the result that the lock was kept for. */
  unconsumed(lockUse: LockUse): void;
}

/**
 * Holds one lock until its last {@link Use} is over: the method is one, and so is a stream, iterable or
 * Observable that the method returned. While no use runs but one still may, the lock is not renewed, so
 * that its ttl frees it if none ever does.
 */
export class LockUse {
  /** Uses that are not over. */
  private open = 0;
  /** Those of them that run now. */
  private running = 0;
  /** Those of them that ran until their consumer left. */
  private left = 0;
  /** Whether the end of the lease is listened for. */
  private watched = false;
  private settle: (() => void) | undefined = undefined;
  private ended: Promise<void> | undefined = undefined;

  /**
   * @param lock absent if the work runs without one, because its key is `null`
   * @param joined whether an enclosing call renews and releases the lock
   * @param control cancels the wait for the lock, and then aborts its signal and ends its renewal
   * @param throwIfLost whether {@link assertKept} throws
   */
  constructor(
    readonly lock: Lock | undefined,
    readonly joined: boolean,
    readonly control: AbortController,
    private readonly owner: LockUseOwner,
    private readonly throwIfLost = false,
  ) {
    if (lock === undefined || joined) return;
    void runWithLock(
      lock,
      () =>
        new Promise<void>((resolve) => {
          this.settle = resolve;
        }),
    );
  }

  /**
   * To be called when a use has succeeded.
   *
   * @param value its result
   * @throws LockLostError if the lock was lost meanwhile, and whoever asked for it wants to know
   */
  assertKept(value?: unknown): void {
    if (!this.throwIfLost || this.lock?.state !== 'lost') return;
    try {
      this.lock.assertHeld();
    } catch (error) {
      throw Object.defineProperty(error as Error, 'value', { value, configurable: true });
    }
  }

  /** Whether no use runs now. */
  get resting(): boolean {
    return this.running === 0 && this.ended === undefined;
  }

  /** Runs work in the async context of the lock. */
  run<T>(work: () => T): T {
    return this.lock === undefined ? work() : runWithLock(this.lock, work);
  }

  /** A use that runs from now on. */
  begin(): Use {
    this.open += 1;
    this.running += 1;
    return new Use(this, 'running');
  }

  /** A use that may run later. */
  expect(): Use {
    this.open += 1;
    return new Use(this, 'waiting');
  }

  /** Ends it and releases the lock, whatever still runs. Never rejects. */
  end(): Promise<void> {
    return (this.ended ??= this.finish());
  }

  /** A use begins to run; false if the lock is not held any more. */
  wake(): boolean {
    if (this.ended !== undefined) return false;
    if (this.lock !== undefined && this.lock.state !== 'held') return false;
    this.running += 1;
    if (this.running === 1) this.renew(true);
    return true;
  }

  /** The consumer of a running use has left. */
  pause(): void {
    this.running -= 1;
    this.left += 1;
    if (this.running === 0) this.renew(false);
  }

  /** A use is over. */
  leave(from: 'waiting' | 'running' | 'left'): Promise<void> {
    this.open -= 1;
    if (from === 'running') this.running -= 1;
    if (from === 'left') this.left -= 1;
    if (this.open === 0) return this.end();
    if (from === 'running' && this.running === 0) this.renew(false);
    return Promise.resolve();
  }

  private readonly expired = (): void => {
    if (this.left === 0) this.owner.unconsumed(this);
    void this.end();
  };

  private renew(on: boolean): void {
    const { lock } = this;
    if (lock === undefined || this.joined) return;
    setRenewal(lock, on);
    if (on) {
      if (this.watched) lock.signal.removeEventListener('abort', this.expired);
      this.watched = false;
    } else if (lock.signal.aborted) {
      void this.end();
    } else {
      lock.signal.addEventListener('abort', this.expired, { once: true });
      this.watched = true;
    }
  }

  private async finish(): Promise<void> {
    const { lock } = this;
    this.settle?.();
    if (lock !== undefined && !this.joined) {
      // To ask for its signal would make one.
      if (this.watched) lock.signal.removeEventListener('abort', this.expired);
      await lock.release();
    }
    this.owner.ended(this);
  }
}

/** One thing that a lock is held for. */
export class Use {
  private state: 'waiting' | 'running' | 'left' | 'over';

  constructor(
    readonly lockUse: LockUse,
    state: 'waiting' | 'running',
  ) {
    this.state = state;
  }

  /** It begins to run; false if its lock is gone. */
  begin(): boolean {
    if (this.state !== 'waiting' || !this.lockUse.wake()) return false;
    this.state = 'running';
    return true;
  }

  /** Nobody follows it any more, but it may still run: the ttl frees the lock if it does for long. */
  leave(): void {
    if (this.state !== 'running') return;
    this.state = 'left';
    this.lockUse.pause();
  }

  /** It is over. Settles once the lock is released, if it was the last. Never rejects. */
  end(): Promise<void> {
    const state = this.state;
    if (state === 'over') return Promise.resolve();
    this.state = 'over';
    return this.lockUse.leave(state);
  }
}

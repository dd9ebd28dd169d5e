import { runWithLock, setRenewal, type Lock } from '@holdfast/core';

/** Who is told what becomes of a {@link Hold}. */
export interface HoldOwner {
  /** It is over, and its lock is released. */
  ended(hold: Hold): void;
  /** The ttl was over before anybody consumed the result it was kept for. */
  unconsumed(hold: Hold): void;
}

/**
 * A lock for as long as anything runs under it: the method, and then whatever the method returned that
 * goes on, each a {@link Part}. While nothing runs but something still may, the lock is not renewed, so
 * that its ttl frees it if nothing ever does.
 */
export class Hold {
  /** Parts that are not over. */
  #open = 0;
  /** Those of them that run now. */
  #running = 0;
  /** Those of them that ran and were left by their consumer. */
  #left = 0;
  /** Whether the end of the lease is listened for. */
  #watched = false;
  #settle: (() => void) | undefined = undefined;
  #ended: Promise<void> | undefined = undefined;

  /**
   * @param lock absent if the work runs without one, because its key is `null`
   * @param joined the lock is somebody else's, who renews and releases it
   * @param control cancels the wait for the lock, and then aborts its signal and ends its renewal
   */
  constructor(
    readonly lock: Lock | undefined,
    readonly joined: boolean,
    readonly control: AbortController,
    private readonly owner: HoldOwner,
  ) {
    if (lock === undefined || joined) return;
    void runWithLock(
      lock,
      () =>
        new Promise<void>((resolve) => {
          this.#settle = resolve;
        }),
    );
  }

  /** Whether nothing runs under it now. */
  get resting(): boolean {
    return this.#running === 0 && this.#ended === undefined;
  }

  /** Runs work in the async context of the lock. */
  run<T>(work: () => T): T {
    return this.lock === undefined ? work() : runWithLock(this.lock, work);
  }

  /** Something that is about to run. */
  begin(): Part {
    this.#open += 1;
    this.#running += 1;
    return new Part(this, 'running');
  }

  /** Something that may run later. */
  expect(): Part {
    this.#open += 1;
    return new Part(this, 'waiting');
  }

  /** Ends it and releases the lock, whatever still runs. Never rejects. */
  end(): Promise<void> {
    return (this.#ended ??= this.#finish());
  }

  /** A part begins to run. Not if the lock is not held any more. */
  wake(): boolean {
    if (this.#ended !== undefined) return false;
    if (this.lock !== undefined && this.lock.state !== 'held') return false;
    this.#running += 1;
    if (this.#running === 1) this.#renew(true);
    return true;
  }

  /** The consumer of a running part has left it. */
  pause(): void {
    this.#running -= 1;
    this.#left += 1;
    if (this.#running === 0) this.#renew(false);
  }

  /** A part is over. */
  leave(from: 'waiting' | 'running' | 'left'): Promise<void> {
    this.#open -= 1;
    if (from === 'running') this.#running -= 1;
    if (from === 'left') this.#left -= 1;
    if (this.#open === 0) return this.end();
    if (from === 'running' && this.#running === 0) this.#renew(false);
    return Promise.resolve();
  }

  readonly #expired = (): void => {
    if (this.#left === 0) this.owner.unconsumed(this);
    void this.end();
  };

  #renew(on: boolean): void {
    const { lock } = this;
    if (lock === undefined || this.joined) return;
    setRenewal(lock, on);
    if (on) {
      if (this.#watched) lock.signal.removeEventListener('abort', this.#expired);
      this.#watched = false;
    } else if (lock.signal.aborted) {
      void this.end();
    } else {
      lock.signal.addEventListener('abort', this.#expired, { once: true });
      this.#watched = true;
    }
  }

  async #finish(): Promise<void> {
    const { lock } = this;
    this.#settle?.();
    if (lock !== undefined && !this.joined) {
      // To ask for its signal would make one.
      if (this.#watched) lock.signal.removeEventListener('abort', this.#expired);
      await lock.release();
    }
    this.owner.ended(this);
  }
}

/** One of the things that a lock is held for. */
export class Part {
  #state: 'waiting' | 'running' | 'left' | 'over';

  constructor(
    readonly hold: Hold,
    state: 'waiting' | 'running',
  ) {
    this.#state = state;
  }

  /** It begins to run; false if its lock is gone. */
  begin(): boolean {
    if (this.#state !== 'waiting' || !this.hold.wake()) return false;
    this.#state = 'running';
    return true;
  }

  /** Nobody follows it any more, but it may still run: the ttl frees the lock if it does for long. */
  leave(): void {
    if (this.#state !== 'running') return;
    this.#state = 'left';
    this.hold.pause();
  }

  /** It is over. Settles once the lock is released, if it was the last. Never rejects. */
  end(): Promise<void> {
    const state = this.#state;
    if (state === 'over') return Promise.resolve();
    this.#state = 'over';
    return this.hold.leave(state);
  }
}
